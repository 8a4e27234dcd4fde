"""`digitvae explore` and `digitvae train --watch`, in processes of their own."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest

# A shell starts background jobs with interrupts ignored, and children inherit it: CI may be such a job.
COMMAND = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
{before}
from digitvae.cli import main
code = main()
{after}
sys.exit(code)
"""


@pytest.fixture
def started(environment, tmp_path):
    """Return a context of a running command, whose standard error is a file."""

    @contextmanager
    def start(*arguments, before="", after="", **variables):
        with (tmp_path / "stderr").open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, "-c", COMMAND.format(before=before, after=after), *map(str, arguments)],
                cwd=tmp_path, env={**environment, **variables},
                stdout=subprocess.PIPE, stderr=errors, text=True,
            )  # fmt: skip
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    return start


def read(url, name=""):
    with urllib.request.urlopen(url + name, timeout=60) as response:
        return response.read()


def interrupted(process):
    process.send_signal(signal.SIGINT)
    return process.communicate(timeout=60)


def test_the_shipped_model_is_served_without_keras_until_it_is_interrupted(started, tmp_path):
    heavy = ("keras", "tensorflow", "matplotlib", "sklearn", "skimage", "onnxruntime")
    after = f"print([name for name in {heavy} if name in sys.modules])"
    with started("explore", "--no-browser", "--json", after=after) as process:
        found = json.loads(process.stdout.readline())
        assert (found["verb"], found["model"]) == ("explore", "mnist")
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", found["url"])
        assert b"<title>digitvae explorer</title>" in read(found["url"])
        assert json.loads(read(found["url"], "model/model.json"))["name"] == "mnist"
        assert len(read(found["url"], "data/map.bin")) == 10_000 * (9 + 40) + 4 * 40
        out, _ = interrupted(process)
        assert process.returncode == 0
        assert out == "[]\n"
        assert (tmp_path / "stderr").read_text().strip() == ""
    with pytest.raises(urllib.error.URLError):
        read(found["url"])


def test_it_says_where_and_takes_the_port_that_is_asked_for(started, run):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with started("explore", run.folder, "--port", port, "--seed", 5, "--no-browser") as process:
        line = process.stdout.readline()
        assert line == f"The explorer of {run.folder}: http://127.0.0.1:{port}/#seed=5 (Ctrl-C ends it)\n"
        assert json.loads(read(f"http://127.0.0.1:{port}/", "data/explorer.json"))["points"] == 12


@pytest.mark.parametrize("opens", [True, False])
def test_a_browser_is_opened_unless_it_shall_not(started, tmp_path, run, opens):
    script = tmp_path / "browser"
    script.write_text(
        f"#!{sys.executable}\nimport sys\nopen({str(tmp_path / 'opened')!r}, 'w').write(sys.argv[1])\n"
    )
    script.chmod(0o755)
    options = [] if opens else ["--no-browser"]
    with started("explore", run.folder, "--json", *options, BROWSER=f"{script} %s") as process:
        url = json.loads(process.stdout.readline())["url"]
        opened = tmp_path / "opened"
        until = time.monotonic() + (60 if opens else 1)
        while time.monotonic() < until and not (opened.is_file() and opened.read_text()):
            time.sleep(0.05)
        assert opened.is_file() == opens
        assert not opens or opened.read_text() == url


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["absent"], 1, "latest or a shipped model (bits, grey, mnist). Received: absent"),
        (["RUN", "--port", "USED"], 1, "Expected a port that is free"),
        (["RUN", "--port", "70000"], 2, "Expected a port from 0 to 65535. Received: 70000"),
        (["RUN", "--port", "x"], 2, "Expected a whole number. Received: x"),
        (["latest"], 1, "Expected a run in runs/ for latest"),
        (["LATER"], 1, "Received: LATER, of digitvae 99.1"),
        (["EMPTY"], 1, "Expected a run folder with a model.keras. Received: EMPTY (it has none)"),
        (["DAMAGED"], 1, "Expected a whole model.keras"),
        (["MOVED"], 1, "Expected 'mnist' or the path of a file or folder"),
    ],
)  # fmt: skip
def test_one_line_and_nothing_written(python, tmp_path, run, arguments, code, part):
    places = {"RUN": run.folder}
    for name in ("LATER", "EMPTY", "DAMAGED", "MOVED"):
        places[name] = tmp_path / name.lower()
        if name == arguments[0]:
            shutil.copytree(run.folder, places[name])
    if arguments[0] in ("LATER", "MOVED"):
        path = places[arguments[0]] / "config.json"
        stored = json.loads(path.read_text())
        if arguments[0] == "LATER":
            stored["versions"]["digitvae"] = "99.1"
        else:
            stored["config"]["data"] = str(tmp_path / "gone.npz")
        path.write_text(json.dumps(stored))
    elif arguments[0] == "EMPTY":
        (places["EMPTY"] / "model.keras").unlink()
    elif arguments[0] == "DAMAGED":
        path = places["DAMAGED"] / "model.keras"
        path.write_bytes(path.read_bytes()[:-500])
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        used.listen()
        places["USED"] = used.getsockname()[1]
        for name, place in places.items():
            arguments = [text.replace(name, str(place)) for text in arguments]
            part = part.replace(name, str(place))
        done = python(
            "-m", "digitvae", "explore", *arguments, "--no-browser", cwd=tmp_path, KERAS_BACKEND="none"
        )
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("digitvae: error: ")
    assert part in line
    assert {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")} == before


def test_a_missing_page_is_said_before_the_data_are_made(python, tmp_path, run):
    code = (
        "import pathlib, sys\n"
        "from digitvae.explorer import site\n"
        "site.PAGE = pathlib.Path('absent')\n"
        "from digitvae.cli import main\n"
        "sys.exit(main())"
    )
    for arguments in (["explore", run.folder], ["train", "--watch", "--data", run.config.data]):
        done = python("-c", code, *arguments, "--no-browser", cwd=tmp_path, KERAS_BACKEND="none")
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert "npm run build" in line
    assert not (run.folder / "explorer").exists()
    assert list(tmp_path.iterdir()) == []


def test_a_training_is_watched_from_its_beginning_to_the_model(started, tmp_path, digits):
    settings = [
        "--recipe",
        "classic",
        "--data",
        digits,
        "--epochs",
        "3",
        "--latent-dim",
        "4",
        "--batch-size",
        "50",
    ]
    before = """
import digitvae.explorer.film as film
import pathlib, time
record = film.Camera.record
def slowly(self, model, epoch, elbo):
    record(self, model, epoch, elbo)
    while epoch < 3 and not pathlib.Path(f"seen{epoch}").exists():
        time.sleep(0.05)
film.Camera.record = slowly
"""
    with started(
        "train", *settings, "--run", "run", "--watch", "--no-browser", "--json", before=before
    ) as process:
        url = None
        while url is None:
            assert process.poll() is None, (tmp_path / "stderr").read_text()
            found = re.search(r"The training as a film: (\S+)", (tmp_path / "stderr").read_text())
            url = found and found[1]
            time.sleep(0.05)
        assert json.loads(read(url, "data/explorer.json"))["map"] is None
        for epoch in (1, 2):
            while len((film := json.loads(read(url, "data/film.json")))["epochs"]) < epoch:
                time.sleep(0.05)
            assert film["live"] is True
            assert [entry["epoch"] for entry in film["epochs"]] == list(range(1, epoch + 1))
            assert len(read(url, "data/" + film["epochs"][-1]["file"])) == 8 * 50 + 30 * 784
            (tmp_path / f"seen{epoch}").touch()
        while "The explorer of run" not in (tmp_path / "stderr").read_text():
            assert process.poll() is None, (tmp_path / "stderr").read_text()
            time.sleep(0.1)
        film = json.loads(read(url, "data/film.json"))
        assert (film["live"], len(film["epochs"])) == (False, 3)
        assert json.loads(read(url, "data/explorer.json"))["map"] == "map.bin"
        assert read(url, "model/weights.bin")
        out, _ = interrupted(process)
        assert process.returncode == 0
        assert json.loads(out)["test"]["images"] == 100


@pytest.mark.parametrize("option", [["--port", "8000"], ["--no-browser"]])
def test_options_of_the_page_want_a_page(python, tmp_path, option):
    done = python("-m", "digitvae", "train", *option, cwd=tmp_path, KERAS_BACKEND="none")
    assert done.returncode == 2
    assert "Expected --port and --no-browser with --watch" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_port_in_use_is_said_before_the_training(python, tmp_path):
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        used.listen()
        port = used.getsockname()[1]
        done = python(
            "-m", "digitvae", "train", "--watch", "--port", port, cwd=tmp_path, KERAS_BACKEND="none"
        )
    assert done.returncode == 1
    assert f"Received: {port} (it is in use)" in done.stderr
    assert list(tmp_path.iterdir()) == []
