"""`digitvae shard` and the words of `digitvae map`; what `map` does is in tests/mapping."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from digitvae import cli
from digitvae.shards import ShardedData, place

PAGE = (Path(__file__).parents[2] / "docs" / "sharded_data.md").read_text(encoding="utf-8")


@pytest.fixture
def images(tmp_path, blobs):
    path = tmp_path / "images.npz"
    pixels = blobs(30)
    np.savez(
        path, x_train=pixels[:25], y_train=np.arange(25) % 3, x_test=pixels[25:], y_test=np.zeros(5, int)
    )
    return path


@pytest.fixture
def refused(monkeypatch, capsys):
    """Return a check that a command fails with one line that has some words."""
    monkeypatch.setattr("warnings.showwarning", None)

    def check(code, words, *arguments):
        assert cli.main([*map(str, arguments)]) == code
        error = capsys.readouterr().err
        assert error.startswith("digitvae: error: Expected")
        assert error.count("\n") == 1
        assert words in error

    return check


@pytest.mark.parametrize("kind", [["--format", "npz"], [], ["--png"]])
def test_images_are_cut_into_shards(digitvae, images, blobs, kind):
    found = digitvae("shard", images, "-o", "data", "--rows", 10, "--first-id", 7, *kind)
    assert (found["rows"], found["shards"], found["output"]) == (25, 3, "data")
    data = ShardedData("data")
    assert [shard.rows for shard in data.shards] == [10, 10, 5]
    last = data.read(data.shards[2])
    np.testing.assert_array_equal(last.images, blobs(30)[20:25])
    np.testing.assert_array_equal(last.labels, np.arange(20, 25) % 3)
    np.testing.assert_array_equal(last.ids, np.arange(27, 32))


def test_the_test_part_goes_to_a_url(digitvae, images, tmp_path):
    found = digitvae("shard", images, "-o", tmp_path.as_uri() + "/data", "--rows", 3, "--part", "test")
    assert (found["rows"], found["shards"]) == (5, 2)
    assert ShardedData(tmp_path / "data").rows == 5


def test_what_cannot_be_cut_is_one_line(refused, images, tmp_path, blobs):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    refused(1, "new or empty folder", "shard", images, "-o", tmp_path / "full", "--rows", 5)
    url = (tmp_path / "full").as_uri()
    refused(1, "new or empty folder", "shard", images, "-o", url, "--rows", 5)
    refused(2, "--png", "shard", images, "-o", tmp_path / "x", "--rows", 5, "--png", "--format", "npz")
    np.save(tmp_path / "plain.npy", blobs(3))
    refused(
        1, "test part", "shard", tmp_path / "plain.npy", "-o", tmp_path / "x", "--rows", 5, "--part", "test"
    )
    assert not (tmp_path / "x").exists()


def test_what_cannot_be_mapped_is_one_line(refused, monkeypatch, tmp_path):
    arguments = ["map", "encode", "--data", tmp_path, "-o", tmp_path / "out"]
    refused(1, "folder of shards", *arguments)
    place(tmp_path).write("a.parquet", b"no shard")
    refused(1, "Expected a whole Parquet file with images. Received", *arguments)
    for module in ("ray", "pyarrow"):
        monkeypatch.setitem(sys.modules, module, None)
        monkeypatch.delitem(sys.modules, f"{module}.data", raising=False)
        monkeypatch.delitem(sys.modules, f"{module}.parquet", raising=False)
    refused(1, "ray to be installed (pip install 'digitvae[ray]')", *arguments, "--ray", "local")
    refused(1, "pyarrow to be installed", *arguments)
    assert not (tmp_path / "out").exists()


def test_the_python_of_the_page_runs(digitvae, images):
    digitvae("shard", images, "-o", "data", "--rows", 10)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(code, {})
    assert ShardedData("copy").rows == 25


def test_one_process_maps_all_shards(digitvae, images, tmp_path, tiny):
    from digitvae.building import build
    from digitvae.runs import Run

    run = Run.create(tiny(architecture="dense"), (9, 13), "0" * 64, tmp_path / "run")
    run.save_model(build(tiny(architecture="dense"), (9, 13)))
    digitvae("shard", images, "-o", "data", "--rows", 10)
    arguments = ["map", "encode", "--model", "run", "--data", "data", "-o", "latents", "--workers", 1]
    found = digitvae(*arguments)
    assert (found["rows"], found["done_now"]["shards"], found["engine"]) == (25, 3, "numpy")
    again = digitvae(*arguments)
    assert (again["rows"], again["done_now"]["shards"]) == (25, 0)


def test_shards_are_coded_by_the_shipped_model_for_grey_images(digitvae, tmp_path):
    pytest.importorskip("constriction")
    from digitvae.codec import decompress
    from digitvae.data import load_dataset

    digits = load_dataset().test_images[:5]
    np.save("digits.npy", digits)
    digitvae("shard", "digits.npy", "-o", "data", "--rows", 5, "--format", "npz")
    found = digitvae("map", "compress", "--data", "data", "-o", "archives", "--workers", 1)
    assert found["engine"] == "codec"
    np.testing.assert_array_equal(decompress(Path("archives/shard-00000.npz.dvc").read_bytes()), digits)
