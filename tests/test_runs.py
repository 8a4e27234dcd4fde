"""The run folder: written whole, read with checks, useless to nobody."""

from __future__ import annotations

import errno
import gc
import json
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from digitvae import files, runs
from digitvae.config import Config
from digitvae.runs import Run, find_run, load

pytestmark = pytest.mark.backend


@pytest.fixture(scope="module")
def saved(tmp_path_factory, make_vae, tiny):
    """A run folder with a model in it; copy it before changing it."""
    run = Run.create(tiny(), (9, 13), "0" * 64, tmp_path_factory.mktemp("runs") / "saved")
    vae = make_vae()
    run.save_model(vae)
    run.save_checkpoint(3, vae.weights)
    return run


@pytest.fixture
def copy(saved, tmp_path):
    """A copy of that run, to be damaged."""
    return Run.open(shutil.copytree(saved.folder, tmp_path / "copy"))


def test_a_new_run_says_what_it_is(tmp_path):
    config = Config(prior="vamp", seed=3)
    run = Run.create(config, (9, 13), "abc", tmp_path / "new")
    stored = json.loads((run.folder / "config.json").read_text())
    assert stored["config"] == config.to_dict()
    assert stored["data_sha256"] == "abc"
    assert {"python", "keras", "numpy"} <= set(stored["versions"])
    opened = Run.open(run.folder)
    assert (opened.config, opened.image_shape, opened.data_sha256) == (config, (9, 13), "abc")
    assert opened.history() == {}


def test_new_runs_get_names_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = [Run.create(Config(recipe="classic"), (9, 13), "").folder for _ in range(3)]
    assert len(set(folders)) == 3
    assert all(folder.parent.name == "runs" and "classic" in folder.name for folder in folders)


def create_overtaken(monkeypatch, moment, folder=None):
    """Creates a run, and another one just before the first makes its folder, or its config.json."""
    others, place = [], files if moment == "file" else Path
    name = "_put_first" if moment == "file" else "mkdir"
    original = getattr(place, name)

    def late(*arguments, **options):
        monkeypatch.setattr(place, name, original)
        others.append(Run.create(Config(seed=1), (9, 13), "", folder))
        original(*arguments, **options)

    monkeypatch.setattr(place, name, late)
    if moment == "file":
        # What the first has begun to write is not there yet when the other looks at the folder.
        monkeypatch.setattr(runs, "leftovers", lambda path: list(path.parent.glob(".config-*")))
    return [Run.create(Config(seed=2), (9, 13), "", folder), *others]


@pytest.mark.parametrize("moment", ["folder", "file"])
def test_two_runs_of_one_second_get_two_folders(tmp_path, monkeypatch, moment):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    made = create_overtaken(monkeypatch, moment)
    assert [Run.open(run.folder).config.seed for run in made] == [2, 1]
    assert [sorted(os.listdir(run.folder)) for run in made] == [["config.json"]] * 2


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("moment", ["folder", "file"])
def test_of_two_who_take_an_empty_folder_one_is_refused(tmp_path, monkeypatch, moment, links):
    if not links:
        monkeypatch.setattr(os, "link", refused)
    with pytest.raises(FileExistsError, match="Expected a new or empty folder"):
        create_overtaken(monkeypatch, moment, tmp_path)
    assert Run.open(tmp_path).config.seed == 1
    assert os.listdir(tmp_path) == ["config.json"]


def refused(*_):
    """A disk without hard links."""
    raise PermissionError(errno.EPERM, "Operation not permitted")


def test_of_many_processes_one_gets_the_folder(tmp_path, environment):
    code = "import sys; from digitvae.runs import Run, Config\n"
    code += "print('ready', flush=True); sys.stdin.readline()\n"
    code += "Run.create(Config(seed=int(sys.argv[1])), (9, 13), '', 'run'); print('mine')"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(seed)], cwd=tmp_path, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for seed in range(6)
    ]  # fmt: skip
    for process in started:
        assert process.stdout.readline() == "ready\n"
    for process in started:
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate() for process in started]
    (winner,) = [seed for seed, (out, _) in enumerate(outputs) if out == "mine\n"]
    assert Run.open(tmp_path / "run").config.seed == winner
    assert all("Expected a new or empty folder" in err for out, err in outputs if not out)


@pytest.mark.parametrize("moment", ["mkdir", "disk_usage", "fsync", "link"])
def test_what_a_killed_process_left_of_a_new_run_hinders_nobody(tmp_path, environment, moment):
    code = "import os, pathlib, shutil, sys; from digitvae.runs import Run, Config\n"
    owner = {"mkdir": "pathlib.Path", "disk_usage": "shutil"}.get(moment, "os")
    code += f"original = {owner}.{moment}\n"
    code += "def last(*arguments, **options):\n    original(*arguments, **options); os.kill(os.getpid(), 9)\n"
    code += f"{owner}.{moment} = last\nRun.create(Config(seed=1), (9, 13), '', 'run')"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=False)
    assert done.returncode == -9
    folder = tmp_path / "run"
    if moment == "link":  # it is a run already
        assert Run.open(folder).config.seed == 1
        return
    assert len(os.listdir(folder)) == (moment == "fsync")
    Run.check_free(folder)
    assert Run.create(Config(seed=2), (9, 13), "", folder).folder == folder
    assert os.listdir(folder) == ["config.json"]


@pytest.fixture
def shipped(saved, tmp_path, monkeypatch):
    """A shipped model called mine; the working directory is another folder."""
    monkeypatch.setattr(runs, "SHIPPED", tmp_path / "models")
    shutil.copytree(saved.folder, tmp_path / "models" / "mine")
    (tmp_path / "models" / "__pycache__").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "models" / "mine"


def test_shipped_models_go_by_their_names(shipped):
    assert runs.shipped_models() == ["mine"]
    assert find_run("mine").folder == shipped
    assert load("mine").generate(1).shape == (1, 9, 13)
    Path("mine").mkdir()  # no run
    assert find_run("mine").folder == shipped
    with pytest.raises(FileNotFoundError, match=r"Expected a run folder, latest or a shipped model \(mine\)"):
        find_run("yours")


@pytest.mark.parametrize("name", ["mine", "latest"])
def test_a_run_folder_called_as_a_name_is_a_path(shipped, name):
    run = Run.create(Config(seed=5), (9, 13), "", name)
    Run.create(Config(), (9, 13), "")
    for path in (f"./{name}", Path(name), Path(name).absolute(), str(run)):
        assert find_run(path).config.seed == 5
    assert Run.open(name).config.seed == 5
    assert str(run) == f"./{name}"
    with pytest.raises(
        ValueError, match=rf"Expected ./{name} for the run folder here, or the path of the "
    ) as caught:
        find_run(name)
    assert ("newest run in runs/" if name == "latest" else str(shipped)) in str(caught.value)
    assert find_run(shipped).folder == shipped


def test_a_path_is_never_a_name(shipped):
    Run.create(Config(), (9, 13), "")
    for name in ("mine", "latest"):
        with pytest.raises(FileNotFoundError, match="no such folder"):
            find_run(Path(name))
        with pytest.raises(FileNotFoundError, match="no such folder"):
            Run.open(name)


def test_the_latest_run_is_the_one_made_last(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"Expected a run in runs/ for latest. Received: none there"):
        find_run("latest")
    for age, name in enumerate(("b", "c", "a")):
        folder = Run.create(Config(), (9, 13), "", tmp_path / "runs" / name).folder
        os.utime(folder / "config.json", (1000 + age, 1000 + age))
    assert find_run("latest").folder.name == "a"


def test_a_folder_that_holds_something_is_refused(tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="Expected a new or empty folder"):
        Run.create(Config(), (9, 13), "", tmp_path)
    with pytest.raises(FileExistsError, match="Expected a new or empty folder"):
        Run.create(Config(), (9, 13), "", tmp_path / "note.txt")
    assert os.listdir(tmp_path) == ["note.txt"]
    assert (tmp_path / "note.txt").read_text() == "mine"


def test_an_empty_folder_is_taken(tmp_path):
    assert Run.create(Config(), (9, 13), "", tmp_path).folder == tmp_path


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Expected a folder for the run that can be written") as caught:
        Run.create(Config(), (9, 13), "", tmp_path / "file" / "run")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("existing", [False, True])
def test_a_full_disk_is_refused_and_leaves_nothing(tmp_path, monkeypatch, existing):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(runs.shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 1000, 1000))
    if existing:
        (tmp_path / "run").mkdir()
    with pytest.raises(OSError, match="MB free"):
        Run.create(Config(), (9, 13), "", tmp_path / "run")
    assert [path.name for path in tmp_path.rglob("*")] == ["run"] * existing


def test_a_run_without_a_checkpoint_has_not_begun_or_lost_it(copy):
    assert copy.has_checkpoint()
    (copy.folder / "checkpoint" / "state.npz").unlink()
    assert not copy.has_checkpoint()
    copy.write_history({"epoch": [1], "loss": [2.0]})
    with pytest.raises(ValueError, match=r"Expected a run with a checkpoint. Received: .*it has none"):
        copy.has_checkpoint()


def test_folders_that_are_no_runs_are_refused(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"Expected a run folder, latest or a shipped model .*Received: .*absent"
    ):
        Run.open(tmp_path / "absent")
    with pytest.raises(
        ValueError, match=r"Expected a run folder with a config.json. Received: .*it has none"
    ):
        Run.open(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"config": {}}',
        b'{"config": 3, "image_shape": [9, 13]}',
        b'{"config": {"epochs": -1}, "image_shape": [9, 13]}',
        b'{"config": {"epoch": 1}, "image_shape": [9, 13]}',
        b'{"config": {}, "image_shape": [9, 13]}',
        b'{"config": {}, "image_shape": [9, 13, 1], "data_sha256": ""}',
        b"\xff\xfe",
    ],
)
def test_damaged_configs_are_refused(copy, content):
    (copy.folder / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"Expected a readable config.json. Received: .*config.json"):
        Run.open(copy.folder)


def test_the_history_comes_back_to_the_last_digit(copy):
    values = [0.1, 1 / 3, 1e-17, 123456.789012345, float("nan"), -1e300]
    history = {"epoch": [float(i) for i in range(6)], "loss": values}
    copy.write_history(history)
    np.testing.assert_equal(copy.history(), history)
    copy.write_history({name: column[:2] for name, column in history.items()})
    assert copy.history()["loss"] == values[:2]


def test_json_is_whole_or_not_there(copy):
    copy.write_json("evaluation.json", {"nll": 1.5})
    before = sorted(os.listdir(copy.folder))
    with pytest.raises(TypeError):
        copy.write_json("evaluation.json", {"nll": object()})
    assert json.loads((copy.folder / "evaluation.json").read_text()) == {"nll": 1.5}
    assert sorted(os.listdir(copy.folder)) == before


def test_a_failed_save_keeps_the_old_model(copy, saved, monkeypatch):
    vae = load(copy.folder)
    old = (copy.folder / "model.keras").read_bytes()

    def fail(path, **_):
        path.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(vae, "save", fail)
    with pytest.raises(OSError, match="no space"):
        copy.save_model(vae)
    assert (copy.folder / "model.keras").read_bytes() == old
    assert sorted(os.listdir(copy.folder)) == sorted(os.listdir(saved.folder))


def test_the_model_comes_back_ready_for_everything(saved, make_vae, blobs):
    vae, original = load(saved.folder), make_vae()
    for ours, theirs in zip(vae.weights, original.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    images = blobs(8)
    np.testing.assert_allclose(vae.encode(images), original.encode(images), atol=1e-6)
    assert np.isfinite(vae.evaluate(images, verbose=0)).all()
    assert np.isfinite(vae.fit(images, verbose=0).history["loss"]).all()


def test_a_missing_model_is_an_error(copy):
    (copy.folder / "model.keras").unlink()
    with pytest.raises(
        ValueError, match=r"Expected a run folder with a model.keras. Received: .*it has none"
    ):
        copy.load_model()


@pytest.mark.parametrize("damage", ["empty", "half", "noise", "bits"])
def test_damaged_models_are_errors_of_one_line(copy, damage):
    path = copy.folder / "model.keras"
    content = bytearray(path.read_bytes())
    if damage == "bits":
        # A byte of the weights: the archive's checksum has to catch it.
        content[len(content) // 2] ^= 0xFF
    path.write_bytes(
        {"empty": b"", "half": content[: len(content) // 2], "noise": b"\x00" * 1000}.get(damage, content)
    )
    with pytest.raises(ValueError, match=r"Expected a whole model.keras. Received: .*model.keras") as caught:
        copy.load_model()
    assert "\n" not in str(caught.value)


def test_the_checkpoint_holds_every_variable(copy, make_vae):
    epochs, values = copy.read_checkpoint(make_vae(seed=5).weights)
    assert epochs == 3
    for ours, theirs in zip(values, make_vae().weights, strict=True):
        np.testing.assert_array_equal(ours, theirs.numpy())


def test_the_checkpoint_holds_no_pickles(saved):
    with np.load(saved.folder / "checkpoint" / "state.npz", allow_pickle=False) as stored:
        assert all(stored[name].dtype != object for name in stored.files)


@pytest.mark.parametrize("damage", ["missing", "empty", "half", "pickle", "other model"])
def test_unusable_checkpoints_are_errors_and_change_nothing(copy, make_vae, damage):
    path = copy.folder / "checkpoint" / "state.npz"
    content = path.read_bytes()
    vae = make_vae(prior="flow" if damage == "other model" else "normal", seed=5)
    before = [weight.numpy().copy() for weight in vae.weights]
    match damage:
        case "missing":
            path.unlink()
        case "pickle":
            np.savez(path, epoch=np.int64(3), variable_0=np.array([{"a": 1}], dtype=object))
        case "empty" | "half":
            path.write_bytes(content[: len(content) // 2 if damage == "half" else 0])
    expected = {"other model": "checkpoint of the run's own model"}
    with pytest.raises(ValueError, match=f"^Expected a {expected.get(damage, 'whole checkpoint')}") as caught:
        copy.read_checkpoint(vae.weights)
    assert "\n" not in str(caught.value)
    # A file that was left open is a warning when it is collected, and warnings are errors.
    del caught
    gc.collect()
    for old, weight in zip(before, vae.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), old)


def test_the_model_file_is_enough_for_another_process(saved, environment, blobs, tmp_path):
    np.save(tmp_path / "images.npy", blobs(5))
    code = (
        "import sys, numpy as np, digitvae\n"
        "np.save('codes.npy', digitvae.load(sys.argv[1]).encode(np.load('images.npy')))\n"
    )
    subprocess.run([sys.executable, "-c", code, saved.folder], cwd=tmp_path, env=environment, check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "codes.npy"), load(saved.folder).encode(blobs(5)))
