"""`digitvae compress` and `decompress`, run as users do."""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import signal
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from digitvae import cli
from digitvae.runs import Run

GOLDEN = Path(__file__).parents[1] / "codec" / "golden"
PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory):
    """A run folder with a codec model of grey images of 9 x 13."""
    made = Run.create(tiny(), (9, 13), "0" * 64, tmp_path_factory.mktemp("codec") / "own")
    shutil.copy(GOLDEN / "grey.npz", made.folder / "codec.npz")
    return made.folder


@pytest.fixture(autouse=True)
def _coded(monkeypatch):
    """Let zlib not shrink, so that the model is used, which has not learned anything."""
    monkeypatch.setattr("digitvae.codec.archive._ZLIB_LEVEL", 0)


@pytest.fixture
def digits(blobs):
    return blobs(40)


@pytest.fixture
def folder(tmp_path, digits):
    """A folder of digits in sub-folders, with files that are something else."""
    root = tmp_path / "digits"
    for number, pixels in enumerate(digits):
        (root / str(number % 3)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / str(number % 3) / f"{number:02}.png")
    Image.fromarray(digits[0]).convert("RGB").save(root / "colour.png")
    Image.fromarray(digits[0][:8]).save(root / "small.png")
    (root / "notes.txt").write_text("where they are from")
    (root / "0" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    return root


def tree(root):
    return {file.relative_to(root).as_posix(): file for file in root.rglob("*") if file.is_file()}


def test_a_folder_comes_back_with_names_and_other_files(digitvae, run, folder, tmp_path):
    found = digitvae("compress", folder, "-o", "digits.dvc", "--model", run)
    assert (found["images"], found["coded"], found["model"]) == (40, 40, "golden-grey")
    cost = found["cost"]
    assert 0 < cost["pixels"] + cost["latents"] - cost["back"] < found["bits_per_dim"]
    assert found["bytes"] == (tmp_path / "digits.dvc").stat().st_size
    assert digitvae("decompress", "digits.dvc", "-o", "again", "--model", run)["images"] == 40
    before, after = tree(folder), tree(tmp_path / "again")
    assert before.keys() == after.keys()
    for name, file in before.items():
        if name.count("/") and "broken" not in name:
            np.testing.assert_array_equal(np.asarray(Image.open(after[name])), np.asarray(Image.open(file)))
        else:
            assert after[name].read_bytes() == file.read_bytes()


def test_arrays_come_back_whole_and_in_part(digitvae, run, digits, tmp_path):
    np.save("digits.npy", digits)
    assert digitvae("compress", "digits.npy", "-o", "digits.dvc", "--model", run / "codec.npz")["coded"] == 40
    for name in ("all.npy", "all.npz"):
        digitvae("decompress", "digits.dvc", "-o", name, "--model", run)
    np.testing.assert_array_equal(np.load("all.npy"), digits)
    np.testing.assert_array_equal(np.load("all.npz")["images"], digits)
    digitvae("decompress", "digits.dvc", "-o", "part.npy", "--range", "7:19", "--model", run)
    np.testing.assert_array_equal(np.load("part.npy"), digits[7:19])
    digitvae("decompress", "digits.dvc", "-o", "part", "--range", "7:9", "--model", run)
    assert sorted(tree(tmp_path / "part")) == ["00007.png", "00008.png"]


def test_labels_come_back(digitvae, run, digits):
    labels = np.arange(40) % 10
    np.savez("digits.npz", images=digits, labels=labels)
    digitvae("compress", "digits.npz", "-o", "digits.dvc", "--model", run)
    digitvae("decompress", "digits.dvc", "-o", "part.npz", "--range", "3:8", "--model", run)
    with np.load("part.npz") as found:
        np.testing.assert_array_equal(found["images"], digits[3:8])
        np.testing.assert_array_equal(found["labels"], labels[3:8])


@pytest.mark.parametrize(
    ("source", "expected"),
    [("labelled.npz", "40 images and their labels"), ("plain.npy", "40 images"),
     ("digits", "40 images, their names and other files"), ("digits/1", "13 images and their names")],
)  # fmt: skip
def test_what_the_bytes_hold_is_said(source, expected, run, folder, digits, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez("labelled.npz", images=digits, labels=np.arange(40) % 10)
    np.save("plain.npy", digits)
    assert cli.main(["compress", source, "-o", "digits.dvc", "--model", str(run)]) == 0
    size = Path("digits.dvc").stat().st_size
    assert capsys.readouterr().out.startswith(f"{expected} in {size:,} bytes, ")


def test_what_is_whole_is_salvaged(digitvae, run, blobs, tmp_path):
    images = blobs(1100)
    np.save("digits.npy", images)
    digitvae("compress", "digits.npy", "-o", "digits.dvc", "--model", run)
    content = bytearray(Path("digits.dvc").read_bytes())
    content[500] ^= 1
    Path("damaged.dvc").write_bytes(content)
    for name in ("rest.npy", "rest.npz"):
        found = digitvae("decompress", "damaged.dvc", "-o", name, "--salvage", "--model", run)
        assert (found["images"], found["salvaged"]) == (100, [[1000, 1100]])
    np.testing.assert_array_equal(np.load("rest.npy"), images[1000:])
    digitvae("decompress", "damaged.dvc", "-o", "rest", "--salvage", "--model", run)
    assert min(tree(tmp_path / "rest")) == "01000.png"


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("decompress damaged.dvc -o x.npy --model RUN", 1, "Expected a whole digitvae archive"),
        ("decompress damaged.dvc -o x --model RUN", 1, "Expected a whole digitvae archive"),
        ("decompress empty.dvc -o x.npy --model RUN", 1, "Received: an empty file"),
        ("decompress good.dvc -o x.npy", 1, "which is not shipped: golden-grey"),
        ("decompress none.dvc -o x.npy", 1, "Expected an archive. Received: none.dvc"),
        ("decompress good.dvc -o x.png --model RUN", 2, "Expected an output that ends in .npy"),
        ("decompress good.dvc -o x.npy --range 3:2", 2, "Expected a range such as"),
        ("decompress good.dvc -o x.npy --range 0:99 --model RUN", 2, "within 40 images"),
        ("compress good.npy -o x.npy --model best", 1, "Expected a folder with a codec model"),
        ("compress none.npy -o x.npy --model RUN", 1, "Expected 'mnist' or the path"),
    ],
)
def test_what_is_wrong_is_one_line_and_leaves_nothing(
    digitvae, capsys, tmp_path, run, digits, text, code, message
):
    np.save("good.npy", digits)
    digitvae("compress", "good.npy", "-o", "good.dvc", "--model", run)
    content = Path("good.dvc").read_bytes()
    Path("damaged.dvc").write_bytes(content[:-9])
    Path("empty.dvc").write_bytes(b"")
    before = set(tmp_path.iterdir())
    assert cli.main([str(run) if word == "RUN" else word for word in text.split()]) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("digitvae: error: ")
    assert message in err
    assert set(tmp_path.iterdir()) == before


def test_names_cannot_lead_out_of_the_folder(digitvae, run, capsys, digits, tmp_path):
    from digitvae.codec import read_codec_model, write

    buffer = io.BytesIO()
    write(buffer, [digits[:1]], read_codec_model(run / "codec.npz"), {"names": ["../escaped.png"]})
    Path("bad.dvc").write_bytes(buffer.getvalue())
    assert cli.main(["decompress", "bad.dvc", "-o", "inner/x", "--model", str(run)]) == 1
    Path("inner").mkdir()
    assert cli.main(["decompress", "bad.dvc", "-o", "inner/x", "--model", str(run)]) == 1
    assert "Expected names of files below the folder" in capsys.readouterr().err
    assert not list(tmp_path.rglob("escaped.png"))
    assert not list(Path("inner").iterdir())


def test_a_full_disk_leaves_nothing(run, digits, small_disk, capsys, tmp_path):
    np.save(tmp_path / "many.npy", np.random.default_rng(0).integers(0, 256, (300, 100, 100), "uint8"))
    code = cli.main(
        ["compress", str(tmp_path / "many.npy"), "-o", str(small_disk / "x.dvc"), "--model", str(run)]
    )
    assert code == 1
    assert "free disk space" in capsys.readouterr().err
    assert not list(small_disk.iterdir())


def test_ctrl_c_leaves_nothing(digitvae, run, digits, capsys, monkeypatch, request, tmp_path):
    np.save("digits.npy", digits)
    digitvae("compress", "digits.npy", "-o", "digits.dvc", "--model", run)
    before = set(tmp_path.iterdir())
    # A shell lets its background jobs ignore the signal, and all that they start.
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(partial(signal.signal, signal.SIGINT, inherited))

    def interrupted(*_):
        # To the process, as a terminal does: the main thread takes it, also where it waits for this one.
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
        raise RuntimeError("The interrupt came too late")

    for name in ("encoded", "decoded"):
        monkeypatch.setattr(f"digitvae.codec.archive.{name}", interrupted)
    for text in (
        "compress digits.npy -o x.dvc",
        "decompress digits.dvc -o x.npy",
        "decompress digits.dvc -o x",
    ):
        assert cli.main([*text.split(), "--model", str(run)]) == 130, capsys.readouterr().err
        assert set(tmp_path.iterdir()) == before


def test_it_needs_no_keras(python, run, digits, tmp_path):
    np.save(tmp_path / "digits.npy", digits)
    script = (
        "import sys\nfrom digitvae.cli import main\n"
        f"main(['compress', 'digits.npy', '-o', 'x.dvc', '--model', {str(run)!r}])\n"
        f"main(['decompress', 'x.dvc', '-o', 'x.npy', '--model', {str(run)!r}])\n"
        "print(*{'keras', 'scipy', 'h5py', 'tensorflow', 'jax', 'torch', 'matplotlib'} "
        "& set(sys.modules), file=sys.stderr)"
    )
    done = python("-c", script, cwd=tmp_path)
    assert done.stderr.split() == []
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), digits)


def test_the_examples_of_the_page(monkeypatch, capsys, run, folder, tmp_path):
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```sh\n(digitvae compress .*?)```", PAGE, re.DOTALL)
    for line in example.splitlines():
        arguments = [str(run) if text == "coder" else text for text in shlex.split(line, comments=True)]
        assert cli.main(arguments[1:]) == 0, capsys.readouterr().err
        assert (tmp_path / arguments[arguments.index("-o") + 1]).exists()
