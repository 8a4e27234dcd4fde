"""The command line, as a process: what it prints where, its exit codes, and what it leaves behind."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from digitvae.config import Config
from digitvae.data import load_dataset
from digitvae.evaluation import evaluate
from digitvae.runs import Run

SMALL = {
    "architecture": "dense", "width": 16, "blocks": 0, "latent_dim": 4, "prior": "normal", "epochs": 1,
    "batch_size": 50, "precision": "float32",
}  # fmt: skip
FIGURES = ["interpolations", "latent_grid", "reconstructions", "samples", "training_curves"]
THREADS = "TF_NUM_INTRAOP_THREADS"
SCRIPT = Path(__file__).parents[1] / "vae.py"


def one_line(text, *parts):
    """Checks that a message is one line of the documented form with these parts in it."""
    lines = text.splitlines()
    assert len(lines) == 1, text
    assert lines[0].startswith("digitvae: error: ")
    for part in parts:
        assert part in lines[0]


def check_figures(folder):
    """Checks that all figures are there and are pictures."""
    assert sorted(path.stem for path in folder.glob("*.png")) == FIGURES
    for path in folder.glob("*.png"):
        with Image.open(path) as image:
            image.load()
            assert min(image.size) > 100


def no_backend(*_, **__):
    pytest.fail("a backend started")


@pytest.fixture
def settings(tmp_path):
    """A file of settings for a very small run."""
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(SMALL))
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory, python, digits):
    """One training through the command line: the process and its run folder."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "settings.json").write_text(json.dumps({**SMALL, "recipe": "classic", "latent_dim": 6}))
    done = python(
        "-m", "digitvae", "train", "--data", digits, "--config", "settings.json", "--latent-dim", "3",
        "--json", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (run,) = (folder / "runs").iterdir()
    return done, run


def test_stdout_is_the_evaluation_and_nothing_else(trained):
    done, run = trained
    result = json.loads(done.stdout)
    assert result == json.loads((run / "evaluation.json").read_text())
    assert set(result) == {
        "schema_version", "protocol", "seed", "test", "train_seconds", "wall_seconds"
    }  # fmt: skip
    assert result["test"]["images"] == 100
    assert 0 < result["train_seconds"] < result["wall_seconds"]


def test_stderr_is_a_line_an_epoch(trained):
    lines = trained[0].stderr.splitlines()
    assert len(lines) == 1, trained[0].stderr
    assert lines[0].startswith("epoch 1/1")


def test_the_run_folder_is_complete_and_clean(trained):
    _, run = trained
    assert {path.name for path in run.iterdir()} == {
        "config.json", "history.csv", "model.keras", "checkpoint", "figures", "evaluation.json", "film"
    }  # fmt: skip
    assert run.name.endswith("-classic")
    check_figures(run / "figures")
    assert len(list(csv.DictReader((run / "history.csv").read_text().splitlines()))) == 1


def test_flags_win_over_the_file_and_the_file_over_the_recipe(trained):
    config = json.loads((trained[1] / "config.json").read_text())["config"]
    assert (config["recipe"], config["latent_dim"], config["width"]) == ("classic", 3, 16)
    assert config["learning_rate"] == 1e-3


def test_resuming_a_finished_run_measures_it_again(trained, python, tmp_path):
    done, run = trained
    copy = shutil.copytree(run, tmp_path / "copy")
    again = python("-m", "digitvae", "train", "--resume", copy, "--json", "--no-progress-bar", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["test"] == json.loads(done.stdout)["test"]


def test_a_resumed_run_takes_no_other_settings(trained, python, tmp_path):
    before = (trained[1] / "config.json").read_bytes()
    done = python(
        "-m", "digitvae", "train", "--resume", trained[1], "--epochs", "5", "--seed", "1", cwd=tmp_path
    )
    assert done.returncode == 2
    one_line(done.stderr, "Expected no other settings with --resume", "--epochs, --seed")
    assert (trained[1] / "config.json").read_bytes() == before


def test_the_script_trains_without_screen_and_network(python, digits, settings, tmp_path):
    blocked = "http://127.0.0.1:9"
    done = python(
        SCRIPT, "--data", digits, "--config", settings, "--run", "mine", "--no-progress-bar",
        cwd=tmp_path, http_proxy=blocked, https_proxy=blocked,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "-ELBO" in done.stdout
    assert "Run folder: mine" in done.stdout
    check_figures(tmp_path / "mine" / "figures")
    assert json.loads((tmp_path / "mine" / "evaluation.json").read_text())["test"]["images"] == 100


@pytest.mark.parametrize("name", ["best", "latest"])
def test_a_run_that_is_called_as_a_name_gets_its_own_numbers(python, digits, settings, tmp_path, name):
    begin = ("-m", "digitvae", "train", "--no-progress-bar", "--json")
    done = python(*begin, "--data", digits, "--config", settings, "--run", name, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / name / "evaluation.json").read_text())
    assert json.loads(done.stdout) == result
    measured = evaluate(Run.open(tmp_path / name).load_model(), load_dataset(digits))["test"]
    assert result["test"] == pytest.approx(measured)
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, "settings.json"]
    again = python(*begin, "--resume", f"./{name}", cwd=tmp_path)
    assert json.loads(again.stdout)["test"] == result["test"], again.stderr
    for verb in (["train", "--resume"], ["evaluate"]):
        done = python("-m", "digitvae", *verb, name, cwd=tmp_path, KERAS_BACKEND="none")
        assert done.returncode == 1
        one_line(done.stderr, f"Expected ./{name} for the run folder here, or the path of the ")


def test_what_is_wrong_with_the_arguments_is_said_without_a_backend(python, tmp_path):
    # With this backend, Keras cannot be imported.
    for arguments in (["train", "--binarization", "none"], ["train", "--data", "x"], ["evaluate", "x"]):
        done = python("-m", "digitvae", *arguments, cwd=tmp_path, KERAS_BACKEND="none")
        one_line(done.stderr, "Expected ")
        assert done.returncode == (2 if "none" in arguments else 1)
    done = python(SCRIPT, "--binarization", "none", cwd=tmp_path, KERAS_BACKEND="none")
    one_line(done.stderr, "no density for grey pixels")
    done = python("-m", "digitvae", "train", cwd=tmp_path, KERAS_BACKEND="none")
    assert "none" in done.stderr  # it is as wrong as it should be
    assert done.returncode == 1


def test_the_script_is_the_command(python, tmp_path):
    helps = [
        python(*command, "--help", cwd=tmp_path, COLUMNS="100").stdout
        for command in ((SCRIPT,), ("-m", "digitvae", "train"))
    ]
    assert helps[0].startswith("usage: vae.py [-h] ")
    assert helps[0].split("options:")[1] == helps[1].split("options:")[1]
    done = python(SCRIPT, "--epoch", "1", cwd=tmp_path)
    assert done.returncode == 2
    one_line(done.stderr, "--epoch", "(vae.py --help lists the options)")


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_the_backend_can_be_chosen(python, digits, settings, tmp_path, backend):
    pytest.importorskip(backend)
    code = "from digitvae.cli import main; r = main(); import keras; print(keras.backend.backend(), r)"
    done = python(
        "-c", code, "train", "--backend", backend, "--data", digits, "--config", settings, "--run", "mine",
        cwd=tmp_path, KERAS_BACKEND="tensorflow",
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == f"{backend} 0", done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_a_backend_that_comes_too_late_is_said(monkeypatch, capsys):
    import keras

    from digitvae import cli

    other = "torch" if keras.backend.backend() != "torch" else "jax"
    monkeypatch.setattr("warnings.showwarning", None)
    monkeypatch.setenv("KERAS_BACKEND", keras.backend.backend())
    assert cli.main(["train", "--backend", other]) == 2
    one_line(capsys.readouterr().err, f"Expected backend {other}, but Keras is loaded already")


# Fast and quiet


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["train", "--help"], ["generate", "--help"], ["inpaint", "--help"], ["--version"]],
)
def test_help_imports_nothing_heavy(python, tmp_path, arguments):
    done = python("-X", "importtime", "-m", "digitvae", *arguments, cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "argparse" in imported
    assert not imported & {
        "keras",
        "tensorflow",
        "jax",
        "torch",
        "numpy",
        "matplotlib",
        "sklearn",
        "scipy",
        "PIL",
    }


def test_a_backend_starts_without_what_keras_could_use_but_we_do_not(python, tmp_path):
    code = (
        "import sys; from digitvae.cli.common import start_backend; start_backend(None); import keras;"
        "print(sorted({'keras', 'sklearn', 'matplotlib'} & set(sys.modules)));"
        "import matplotlib.pyplot, sklearn; print(keras.ops.add(1.0, 1.0))"
    )
    done = python("-c", code, cwd=tmp_path, MPLBACKEND="nonsense_is_not_read")
    assert done.stdout.splitlines()[0] == "['keras']"
    assert "nonsense_is_not_read" in done.stderr  # by Matplotlib, when the user asks for it


def test_help_lists_every_flag_with_its_default(python, tmp_path):
    text = python("-m", "digitvae", "train", "--help", cwd=tmp_path, COLUMNS="200").stdout
    for flag in ("--epochs", "--prior", "--resume", "--json", "--recipe", "--seed", "--backend", "--debug"):
        assert flag in text
    assert f"(default: {Config().learning_rate})" in text


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "VERB"),
        (["fly"], "fly"),
        (["train", "--epoch", "1"], "--epoch"),
        (["train", "--epochs", "few"], "Expected a whole number. Received: few"),
        (["train", "--epochs", "1.5"], "Expected a whole number. Received: 1.5"),
        (["train", "--epochs", "0"], "Expected epochs to be at least 1. Received: 0"),
        (["train", "--beta", "nan"], "Expected beta to be finite. Received: nan"),
        (["train", "--beta", "x"], "Expected a number. Received: x"),
        (["train", "--prior", "best"], "best"),
        (["train", "--recipe", "finest"], "Expected recipe to be one of"),
        (["train", "--recipe", ""], "Expected recipe to be one of"),
        (["train", "--config", "absent.json"], "Expected a readable JSON config file"),
        (["train", "--seed", "-1"], "Expected seed to be from 0"),
        (["train", "--backend", "theano"], "theano"),
        (["train", "stray"], "stray"),
        (["train", "--resume", "x", "--prior", "flow"], "Expected no other settings with --resume"),
        (["train", "--likelihood", "continuous_bernoulli"], "because the pixels are bits"),
        (["train", "--binarization", "none"], "no density for grey pixels"),
        (["train", "--latent-dim", "1"], "Expected latent_dim of at least 2 with prior flow"),
        (["train", "--resume", "best", "--backend", "jax"], "Expected backend tensorflow, on which"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(monkeypatch, tmp_path, capsys, arguments, part):
    # In this process, because nothing heavy may be reached.
    from digitvae import cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("warnings.showwarning", None)
    monkeypatch.setattr("digitvae.cli.train.start_backend", no_backend)
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    one_line(err, part)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["--data", "absent.npy"], 1, "absent.npy"),
        (["--data", "text.npy"], 1, "text.npy"),
        (["--data", "device.npy"], 1, "regular file. Received: device.npy"),
        (["--config", "device.npy"], 2, "Received: device.npy (no regular file)"),
        (["--resume", "absent"], 1, "a shipped model (bits, grey, mnist). Received: absent"),
        (["--resume", "latest"], 1, "for latest"),
        (["--resume", "best"], 1, "Expected a run with a checkpoint"),
        (["--resume", "full"], 1, "Expected a run folder with a config.json"),
        (["--resume", "moved"], 1, "Expected the data that moved was trained on"),
        (["--run", "text.npy/run"], 1, "text.npy/run"),
        (["--run", "full"], 1, "Expected a new or empty folder"),
    ],
)
def test_what_cannot_work_is_one_line_and_leaves_nothing(
    monkeypatch, tmp_path, capsys, digits, settings, arguments, code, part
):
    from digitvae import cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("warnings.showwarning", None)
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note").write_text("mine")
    (tmp_path / "device.npy").symlink_to("/dev/null")
    Run.create(Config(data=str(digits)), (28, 28), "0" * 64, "moved")
    before = sorted(tmp_path.rglob("*"))
    if arguments[-1] != "text.npy/run":  # all others are said at once
        monkeypatch.setattr("digitvae.cli.train.start_backend", no_backend)
    given = [] if "--resume" in arguments else ["--config", str(settings)]
    if not {"--resume", "--data"} & set(arguments):
        given += ["--data", str(digits)]
    assert cli.main(["train", *given, *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    one_line(err, part)
    assert sorted(tmp_path.rglob("*")) == before


def test_missing_data_in_a_real_process(python, tmp_path):
    done = python("-m", "digitvae", "train", "--data", "absent.npy", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    one_line(done.stderr, "Expected 'mnist' or the path", "absent.npy")
    assert not list(tmp_path.iterdir())


def test_debug_shows_where(monkeypatch, tmp_path, capsys):
    from digitvae import cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("warnings.showwarning", None)
    assert cli.main(["train", "--recipe", "finest", "--debug"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert err.splitlines()[-1].startswith("digitvae: error: Expected recipe")


def test_importing_the_package_imports_no_keras(python, tmp_path):
    modules = "digitvae, digitvae.config, digitvae.data, digitvae.figures, digitvae.cli"
    code = f"import sys, {modules}; print('keras' in sys.modules)"
    assert python("-c", code, cwd=tmp_path).stdout.strip() == "False"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "half"),
        ({"DIGITVAE_OFF": "adam,threads"}, "None"),
        ({"DIGITVAE_OFF": "all"}, "None"),
        ({THREADS: "7"}, "7"),
    ],
)
def test_training_shares_the_cores_out_unless_the_user_has(python, tmp_path, settings, expected):
    program = f"""
import os
os.environ.pop({THREADS!r}, None)
os.environ.update({settings!r})
before = os.environ.get({THREADS!r})
from digitvae.machine import usable_cores
from digitvae.speed.process import tuned_for_training
with tuned_for_training():
    print(os.environ.get({THREADS!r}), max(1, usable_cores() // 2))
assert os.environ.get({THREADS!r}) == before
"""
    done = python("-c", program, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found, half = done.stdout.split()
    assert found == (half if expected == "half" else expected)
