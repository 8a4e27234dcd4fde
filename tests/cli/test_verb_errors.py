"""What cannot work: one line, the right exit code, and nothing written; each in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

HALF = ["mnist:1", "--half", "lower"]


@pytest.fixture
def inputs(tmp_path):
    """A folder with inputs that are wrong in some way; commands run in the empty folder beside it."""
    folder = tmp_path / "inputs"
    (folder / "empty").mkdir(parents=True)
    (folder / "corrupt.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    Image.new("L", (9, 13), 200).save(folder / "small.png")
    np.save(folder / "latents5.npy", np.zeros((2, 5)))
    np.save(folder / "nan.npy", np.full((2, 4), np.nan))
    np.save(folder / "complex.npy", np.zeros((2, 4), complex))
    np.save(folder / "large.npy", np.full((2, 4), 1e300))
    np.save(folder / "images0.npy", np.zeros((0, 28, 28), "uint8"))
    np.save(folder / "sides.npy", np.zeros((2, 28, 27), "uint8"))
    np.savez(folder / "other.npz", weights=np.zeros(3))
    Image.new("L", (28, 28)).save(folder / "black.png")
    (folder / "rows0.csv").write_text("z0,z1,z2,z3\n")
    (folder / "gap.csv").write_text("z0,z1,z2,z3\n1,,3,4\n")
    (folder / "table.csv").write_text("name,z0\na,0.5\nb,half\n")
    (folder / "file").write_text("mine")
    (folder / "device.png").symlink_to("/dev/null")
    (folder / "full").mkdir()
    (folder / "full" / "note").write_text("mine")
    (tmp_path / "here").mkdir()
    return folder


def state(folder):
    """The files of a folder with their contents."""
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        # the model
        (["generate", "absent"], 1, "Expected a run folder, latest or a shipped model"),
        (["info", "absent"], 1, "Expected a run folder, latest or a shipped model"),
        (["generate", "PLAIN", "--digit", "7"], 1, "Expected a model that was trained with labels"),
        (["generate", "PLAIN", "--digits", "0-9"], 1, "Expected a model that was trained with labels"),
        (["generate", "LABELLED", "--digit", "12"], 1, "Expected labels from 0 to 9. Received: 12"),
        (["generate", "LABELLED", "--digits", "3,10"], 1, "from 0 to 9. Received: 10"),
        (["traverse", "PLAIN", "--digit", "3"], 1, "Expected a model that was trained with labels"),
        (["traverse", "LABELLED", "--digit", "10"], 1, "Expected labels from 0 to 9. Received: 10"),
        (["manifold", "PLAIN", "--digit", "3"], 1, "Expected a model that was trained with labels"),
        (["manifold", "LABELLED", "--digit", "10"], 1, "Expected a label from 0 to 9. Received: label=10"),
        (["restyle", "PLAIN", "mnist:1"], 1, "Expected a model that was trained with labels"),
        (["restyle", "LABELLED", "mnist:1", "--digits", "3,10"], 1, "from 0 to 9. Received: 10"),
        (["restyle", "LABELLED", "mnist:1-2", "--own", "123"], 2, "for each of 2 images. Received: 3"),
        (["classify", "PLAIN", "mnist:1"], 1, "Expected a model that was trained with labels"),
        # numbers
        (["generate", "PLAIN", "-n", "0"], 2, "Expected a whole number from 1 to 10000000. Received: 0"),
        (["generate", "PLAIN", "-n", "-5"], 2, "Expected a whole number from 1 to 10000000. Received: -5"),
        (["generate", "PLAIN", "-n", "1" + 20 * "0"], 2, "Expected a whole number from 1 to 10000000"),
        (["generate", "PLAIN", "-n", "1e3"], 2, "Expected a whole number. Received: 1e3"),
        (["generate", "PLAIN", "--fps", "1e-9", "-o", "d.gif"], 2, "Expected a number from 0.1 to 100"),
        (["generate", "PLAIN", "--fps", "nan", "-o", "d.gif"], 2, "Expected a number from 0.1 to 100"),
        (["traverse", "PLAIN", "--steps", "1"], 2, "Expected a whole number from 2 to 1000. Received: 1"),
        (["traverse", "PLAIN", "--dimensions", "4"], 1, "Expected dimensions from 0 to 3"),
        (["manifold", "PLAIN", "--size", "100000"], 2, "Expected a whole number from 1 to 1000"),
        (["manifold", "PLAIN", "--axes", "1"], 2, "Expected two --axes. Received: 1"),
        (["manifold", "PLAIN", "--axes", "0,4"], 1, "Expected axes from 0 to 3. Received: 4"),
        (["interpolate", "PLAIN", "mnist:1-2", "--steps", "1"], 2, "Expected a whole number from 2 to 1000"),
        (["interpolate", "PLAIN", "mnist:1"], 2, "Expected at least two images or latents to go between"),
        (["interpolate", "PLAIN", "mnist:1-5", "--matrix"], 2, "Expected four images or latents"),
        (["generate", "PLAIN", "--temperature", "0"], 2, "Expected a number above 0. Received: 0"),
        (["generate", "PLAIN", "--temperature", "-1"], 2, "Expected a number above 0. Received: -1"),
        (["generate", "PLAIN", "--temperature", "inf"], 2, "Expected a number above 0. Received: inf"),
        (["generate", "PLAIN", "--seed", "-1"], 2, "Expected a whole number of at least 0. Received: -1"),
        (["generate", "PLAIN", "--digits", "seven"], 2, "Expected digits such as 0123456789"),
        (["generate", "PLAIN", "--digits", "5-2"], 2, "Expected digits such as 0123456789"),
        (["generate", "PLAIN", "--digits", "0-999999999"], 2, "Expected digits such as 0123456789"),
        (["generate", "PLAIN", "--digits", ""], 2, "Expected digits such as 0123456789"),
        (["generate", "PLAIN", "--digits", "1", "-n", "3"], 2, "Expected --per-digit in place of -n"),
        (["generate", "PLAIN", "--per-digit", "3"], 2, "Expected --digits with --per-digit"),
        # the output
        (["generate", "PLAIN", "-o", "d.jpg"], 2, "Expected an output that ends in .png, .gif"),
        (["generate", "PLAIN", "-o", "d.csv"], 2, "Expected an output that ends in .png, .gif"),
        (["encode", "PLAIN", "mnist:1", "-o", "z.png"], 2, "Expected an output that ends in .csv or .npz"),
        (["generate", "PLAIN", "-o", ""], 2, "Expected an output with a name. Received: nothing"),
        (["generate", "PLAIN", "-o", ".png"], 2, "Expected an output with a name. Received: .png"),
        (["generate", "PLAIN", "-o", "/sys/d.png"], 1, "Expected an output in a folder that exists"),
        (["generate", "PLAIN", "-o", "absent/d.png"], 1, "(absent: No such file or directory)"),
        (["generate", "PLAIN", "-o", "absent/d/"], 1, "(absent: No such file or directory)"),
        (["generate", "PLAIN", "-o", "INPUTS/file/d.png"], 1, "Expected an output in a folder that exists"),
        (["generate", "PLAIN", "-o", "/dev/null"], 1, "Expected a new or empty folder for the output"),
        (["generate", "PLAIN", "-o", "INPUTS/device.png"], 1, "Expected a regular file for the output"),
        (["generate", "PLAIN", "-o", "INPUTS/full"], 1, "Expected a new or empty folder for the output"),
        (["generate", "PLAIN", "-o", "INPUTS/file"], 1, "Expected a new or empty folder for the output"),
        # the inputs
        (["encode", "PLAIN"], 2, "IMAGE"),
        (["encode", "PLAIN", "absent.png"], 1, "absent.png"),
        (["encode", "PLAIN", "INPUTS/corrupt.png"], 1, "corrupt.png"),
        (["encode", "PLAIN", "INPUTS/small.png", "--raw"], 1, "28x28"),
        (["encode", "PLAIN", "INPUTS/empty"], 1, "empty"),
        (["encode", "PLAIN", "mnist:10000"], 1, "from 0 to 9999"),
        (["decode", "PLAIN", "INPUTS/latents5.npy"], 1, "Expected latents of shape (n, 4). Received: "),
        (["decode", "PLAIN", "INPUTS/nan.npy"], 1, "Expected finite latents"),
        (["decode", "PLAIN", "INPUTS/other.npz"], 1, "Expected latents: a .npz with an array latents"),
        (["decode", "PLAIN", "INPUTS/table.csv"], 1, "Expected latents: a .npz with an array latents"),
        (["decode", "PLAIN", "INPUTS/absent.npz"], 1, "no such file"),
        (["decode", "PLAIN", "INPUTS"], 1, "(a folder)"),
        (["decode", "PLAIN", "INPUTS/small.png"], 1, "(neither of them)"),
        (["decode", "PLAIN", "INPUTS/complex.npy"], 1, "(complex128, shape (2, 4))"),
        (["decode", "PLAIN", "INPUTS/large.npy"], 1, "Expected finite latents"),
        (["decode", "PLAIN", "INPUTS/rows0.csv"], 1, "(no rows)"),
        (["decode", "PLAIN", "INPUTS/gap.csv"], 1, "(no number in column z1)"),
        (["inpaint", "PLAIN", "mnist:1", "--mask", "absent.png"], 1, "Received: source='absent.png'"),
        (["inpaint", "PLAIN", "mnist:1", "--mask", "INPUTS/corrupt.png"], 1, "corrupt.png"),
        (["inpaint", "PLAIN", *HALF, "--box", "0,0,1,1"], 2, "not allowed with"),
        (["encode", "PLAIN", "mnist:2-1"], 1, "from 0 to 9999"),
        (["encode", "PLAIN", "INPUTS/images0.npy"], 1, "Expected at least one image"),
        (["encode", "PLAIN", "INPUTS/sides.npy"], 1, "Expected images of the model's size, 28x28"),
        (["encode", "PLAIN", "INPUTS/black.png"], 1, "Expected a picture of a digit"),
        (["inpaint", "PLAIN", "mnist:1", "--mask", "INPUTS/small.png"], 1, "Expected one mask of the images"),
        (["inpaint", "PLAIN", "mnist:1", "--box", "20,0,10,5"], 2, "Expected --box as TOP,LEFT,HEIGHT,WIDTH"),
        (["inpaint", "PLAIN", "mnist:1", "--box", "1,2"], 2, "Expected --box as TOP,LEFT,HEIGHT,WIDTH"),
        (["inpaint", "PLAIN", "mnist:1"], 2, "--half --box --mask"),
        (["inpaint", "PLAIN", *HALF, "--completions", "0"], 2, "Expected a whole number of at least 1"),
        (["denoise", "PLAIN", "mnist:1", "--flip", "0.5"], 2, "Expected a number above 0 and below 0.5"),
    ],
)  # fmt: skip
def test_one_line_and_nothing_written(python, inputs, labelled, plain, arguments, code, part):
    places = {"PLAIN": str(plain), "LABELLED": str(labelled), "INPUTS": str(inputs)}
    for name, place in places.items():
        arguments = [text.replace(name, place) for text in arguments]
    before = state(inputs.parent)
    done = python("-m", "digitvae", *arguments, cwd=inputs.parent / "here")
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("digitvae: error: ")
    assert part in line
    assert state(inputs.parent) == before


def test_a_disk_that_cannot_be_written_is_said_before_the_model_is_read(python, plain, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for name in ("d.png", "digits/"):
        # With this backend Keras cannot be imported.
        arguments = ("generate", plain, "--backend", "jax", "-o", small_disk / name)
        done = python("-m", "digitvae", *arguments, cwd=small_disk.parent, KERAS_BACKEND="none")
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert "Expected an output in a folder that exists and can be written" in line
        assert "Read-only file system" in line


@pytest.mark.parametrize("output", ["d.npz", "digits/"])
def test_a_full_disk_leaves_nothing(python, plain, small_disk, output):
    done = python(
        "-m", "digitvae", "generate", plain, "-n", "30000", "--pixels", "sample", "-o", small_disk / output,
        cwd=small_disk.parent,
    )  # fmt: skip
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "of free disk space" in line
    assert list(small_disk.iterdir()) == []


def test_an_interrupted_verb_leaves_nothing(environment, plain, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "digitvae", "generate", str(plain), "-n", "200000", "-o", "digits/"],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        # A job in the background of a shell inherits that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    # The temporary folder says that it is writing.
    while not list(tmp_path.iterdir()) and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert err == "digitvae: interrupted\n"
    assert list(tmp_path.iterdir()) == []
