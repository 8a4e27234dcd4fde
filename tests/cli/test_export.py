"""`digitvae export`, and the verbs on what it wrote."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from digitvae import load_light
from digitvae.data import load_dataset

WITHOUT = (
    "import sys\n"
    "sys.modules['onnxruntime'] = None\n"
    "from digitvae.cli import main\n"
    "sys.exit(main(sys.argv[1:]))"
)


@pytest.fixture(scope="module")
def exported(labelled, tmp_path_factory):
    """A folder with the model that has labels."""
    import digitvae

    return digitvae.export(labelled, tmp_path_factory.mktemp("exported") / "onnx").folder


def test_it_says_what_it_wrote_and_how_far_it_is_from_keras(digitvae, labelled, tmp_path):
    found = digitvae("export", labelled, "--format", "onnx", "-o", "out")
    assert found["format"] == "onnx"
    assert sorted(found["files"]) == sorted(path.name for path in (tmp_path / "out").iterdir())
    assert 0 < max(found["differences"].values()) < 1e-4


def test_it_prints_the_largest_difference(python, labelled, tmp_path):
    done = python("-m", "digitvae", "export", labelled, "-o", "out", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    *files, difference, last = done.stdout.splitlines()
    assert len(files) == 5
    assert difference.startswith("Largest difference from Keras: ")
    assert last == "Written: out"


def test_a_saved_model_is_written_from_every_backend(python, plain, tmp_path):
    done = python(
        "-m", "digitvae", "export", plain, "--format", "saved-model", "-o", "out", "--json",
        cwd=tmp_path, KERAS_BACKEND="jax",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "saved_model.pb" in json.loads(done.stdout)["files"]


def test_verbs_on_an_exported_model_give_what_they_give_on_the_run(digitvae, exported, labelled, tmp_path):
    for number, model in enumerate((exported, labelled)):
        digitvae("generate", model, "--digits", "0-9", "-o", f"digits{number}.npz")
        digitvae("restyle", model, "mnist:0", "--digits", "3,4", "-o", f"styles{number}.png")
        digitvae("encode", model, "mnist:0-9", "-o", f"codes{number}.npz")
        digitvae("classify", model, "mnist:0-9", "-o", f"labels{number}.npz")
        digitvae("reconstruct", model, "mnist:0-9", "-o", f"again{number}.png")
    for name in ("digits", "codes", "labels"):
        with np.load(f"{name}0.npz") as found, np.load(f"{name}1.npz") as expected:
            assert found.files == expected.files
            for key in found.files:
                if found[key].dtype == np.uint8:
                    assert np.abs(found[key].astype(int) - expected[key]).max() <= 1
                elif found[key].dtype.kind == "f":
                    np.testing.assert_allclose(found[key], expected[key], atol=1e-3)
                else:
                    np.testing.assert_array_equal(found[key], expected[key])
    for name in ("styles", "again"):
        pixels = [np.asarray(Image.open(tmp_path / f"{name}{i}.png")).astype(int) for i in range(2)]
        assert np.abs(pixels[0] - pixels[1]).max() <= 1
    with np.load("codes0.npz") as found:
        expected = load_light(labelled).encode(load_dataset().test_images[:10])
        np.testing.assert_allclose(found["latents"], expected, atol=1e-4)


def test_verbs_on_an_exported_model_need_no_keras(python, exported, tmp_path):
    done = python(
        "-m", "digitvae", "generate", exported, "--digit", "7", "-o", "sevens.png",
        cwd=tmp_path, KERAS_BACKEND="none",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["export", "absent"], 1, "Expected a run folder, latest or a shipped model"),
        (["export", "PLAIN", "--format", "coreml"], 2, "invalid choice: 'coreml' (choose from"),
        (["export", "PLAIN", "-o", "absent/out"], 1, "(absent: No such file or directory)"),
        (["export", "PLAIN", "-o", "MINE"], 1, "Expected a new or empty folder, or an earlier export"),
        (["export", "PLAIN", "-o", "MINE/note"], 1, "Expected a new or empty folder, or an earlier export"),
        (["export", "PLAIN", "-o", "MINE/note/out"], 1, "note: Not a directory"),
        (["export", "PLAIN", "--format", "saved-model", "--backend", "jax"], 2, "Expected --backend tensor"),
        (["export", "PLAIN", "--backend", "none"], 2, "invalid choice: 'none'"),
        (["export", "LATER"], 1, "Received: LATER, of digitvae 99.1"),
        (["export", "UNKNOWN"], 1, "a run of digitvae 99.1"),
        (["export", "DAMAGED"], 1, "Expected a whole model.keras"),
        (["score", "EXPORTED", "mnist:1"], 1, "Expected a run for score. Received: EXPORTED, an exported"),
        (["neighbours", "EXPORTED", "mnist:1"], 1, "Expected a run for neighbours"),
        (["generate", "EXPORTED", "--backend", "jax"], 1, "Expected a run for --backend"),
        (["export", "EXPORTED"], 1, "EXPORTED"),
    ],
)  # fmt: skip
def test_one_line_and_nothing_written(python, tmp_path, plain, exported, arguments, code, part):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note").write_text("mine")
    places = {"PLAIN": plain, "EXPORTED": exported, "MINE": tmp_path / "mine"}
    for name in ("LATER", "UNKNOWN", "DAMAGED"):
        places[name] = tmp_path / name.lower()
        if name == arguments[1]:
            shutil.copytree(plain, places[name])
    if arguments[1] in ("LATER", "UNKNOWN"):
        path = places[arguments[1]] / "config.json"
        stored = json.loads(path.read_text())
        stored["versions"]["digitvae"] = "99.1"
        if arguments[1] == "UNKNOWN":
            stored["config"]["quantum"] = True
        path.write_text(json.dumps(stored))
    elif arguments[1] == "DAMAGED":
        path = places["DAMAGED"] / "model.keras"
        path.write_bytes(path.read_bytes()[:-500])
    for name, place in places.items():
        arguments = [text.replace(name, str(place)) for text in arguments]
        part = part.replace(name, str(place))
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    # With this backend Keras cannot be imported: all of this is said before.
    done = python("-m", "digitvae", *arguments, cwd=tmp_path, KERAS_BACKEND="none")
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("digitvae: error: ")
    assert part in line
    assert {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")} == before


@pytest.fixture
def public():
    """A folder that every user may read; those of pytest are its user's alone."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextmanager
def as_somebody():
    """Be a user whom permissions stop, if this is root."""
    from digitvae import cli

    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        try:
            Path(cli.__file__).stat()
        except PermissionError:
            pytest.skip("the checkout is its owner's alone")
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions are those of POSIX")
@pytest.mark.parametrize("format", ["onnx", "web", "saved-model", "codec"])
@pytest.mark.parametrize("name", ["closed/out", "closed"])
def test_a_folder_that_may_not_be_written_is_one_line(public, capsys, plain, format, name):
    from digitvae import cli

    shutil.copytree(plain, public / "run", copy_function=shutil.copy)
    closed = public / "closed"
    closed.mkdir(mode=0o555)
    with as_somebody():
        code = cli.main(["export", str(public / "run"), "--format", format, "-o", str(public / name)])
    out, err = capsys.readouterr()
    assert (code, out) == (1, "")
    (line,) = err.splitlines()
    assert line.startswith("digitvae: error: Expected an output in a folder that exists and can be written. ")
    assert f"{public / name} ({closed}: Permission denied)" in line
    assert list(closed.iterdir()) == []


@pytest.mark.parametrize("arguments", [["export", "PLAIN"], ["generate", "EXPORTED"]])
def test_a_missing_extra_is_one_line(python, tmp_path, plain, exported, arguments):
    places = {"PLAIN": str(plain), "EXPORTED": str(exported)}
    done = python("-c", WITHOUT, *(places.get(text, text) for text in arguments), cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "digitvae: error: Expected ONNX Runtime to be installed (pip install 'digitvae[onnx]'). "
        "Received: no module onnxruntime\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_target_is_said_before_keras_is_imported(python, plain, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for folder in (small_disk / "out", small_disk):
        done = python("-m", "digitvae", "export", plain, "-o", folder, cwd="/", KERAS_BACKEND="none")
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert "Expected an output in a folder that exists and can be written" in line
        assert "Read-only file system" in line


def test_a_full_disk_leaves_nothing(python, small_disk):
    done = python("-m", "digitvae", "export", "mnist", "-o", small_disk / "out", cwd="/")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "of free disk space" in line
    assert list(small_disk.iterdir()) == []
