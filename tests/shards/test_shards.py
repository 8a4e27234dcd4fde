"""Sharded data, written and read in both formats, here and behind a URL."""

from __future__ import annotations

import ast
import io
import pickle
from itertools import count

import numpy as np
import pytest

from digitvae.shards import BadRow, Shard, ShardedData, decoded, encoded, place, write_shards

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

FORMS = [(".parquet", False), (".parquet", True), (".npz", False)]


@pytest.fixture
def rows(blobs):
    images = blobs(25)
    return Shard(images, np.arange(25) % 4 - 1, 1000 + 3 * np.arange(25))


@pytest.fixture(params=["folder", "memory"])
def folder(request, tmp_path):
    """A path, or a URL of a storage that is no disk."""
    if request.param == "folder":
        yield str(tmp_path / "data")
        return
    fsspec = pytest.importorskip("fsspec")
    url = f"memory://{tmp_path.name}/data"
    yield url
    memory = fsspec.filesystem("memory")
    if memory.exists(f"/{tmp_path.name}"):
        memory.rm(f"/{tmp_path.name}", recursive=True)


def write(folder, rows, size, suffix=".parquet", png=False):
    target = place(folder)
    target.make()
    return list(write_shards(target, [rows.take(slice(0, 3)), rows.take(slice(3, None))], size, suffix, png))


def same(found, rows):
    for one, other in zip(found, rows, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("suffix", "png"), FORMS)
def test_what_was_written_is_read(folder, rows, suffix, png):
    written = write(folder, rows, 10, suffix, png)
    assert written == [(f"shard-0000{i}{suffix}", count) for i, count in enumerate((10, 10, 5))]
    data = pickle.loads(pickle.dumps(ShardedData(folder)))
    assert [(shard.name, shard.rows, shard.first) for shard in data.shards] == [
        (name, count, 10 * i) for i, (name, count) in enumerate(written)
    ]
    assert data.shards[1].ids == (1030, 1057)
    assert (data.rows, data.image_shape) == (25, (9, 13))
    data.check_ids()
    same(map(np.concatenate, zip(*map(data.read, data.shards), strict=True)), rows)


@pytest.mark.parametrize(("suffix", "png"), FORMS)
def test_the_same_rows_are_the_same_bytes(rows, suffix, png):
    assert encoded(rows, suffix, png) == encoded(rows, suffix, png)


def test_hidden_files_are_no_shards(folder, rows):
    write(folder, rows, 25)
    target = place(folder)
    for name in ("_job.parquet", ".temporary.parquet", "notes.txt"):
        target.write(name, b"no shard")
    assert [shard.name for shard in ShardedData(folder).shards] == ["shard-00000.parquet"]


def test_files_of_others_need_neither_ids_nor_labels(tmp_path, rows):
    # As Hugging Face has them: PNG in a struct.
    file = io.BytesIO(encoded(rows, ".parquet", True))
    png = pq.read_table(file)["image"].to_pylist()
    table = pa.table({"image": [{"bytes": image, "path": None} for image in png]})
    pq.write_table(table, tmp_path / "a.parquet")
    np.savez(tmp_path / "b.npz", images=rows.images / 255)
    data = ShardedData(tmp_path)
    first, second = map(data.read, data.shards)
    same(first, Shard(rows.images, np.full(25, -1), np.arange(25)))
    same(second, Shard(rows.images, np.full(25, -1), np.arange(25, 50)))
    data.check_ids()


BAD = {
    "id": [3, 3, -4, None, 7, 8, 9, 10, 11],
    "label": [None, 1, 2, 3, -2, 5, 6, 7, 8],
    "height": [9, 9, 9, 9, 9, 13, 9, 9, 9],
    "width": [13, 13, 13, 13, 13, 9, 12, 13, 13],
}
REASONS = {
    1: "earlier row",
    2: "smaller one",
    3: "none",
    4: "label",
    5: "13x9",
    6: "9 x 12",
    7: "none",
    8: "damaged",
}


def bad_file(rows):
    images = [image.tobytes() for image in rows.images[:9]]
    images[7:] = [None, b"\x89PNG\r\n\x1a\nno"]
    file = io.BytesIO()
    pq.write_table(pa.table({**BAD, "image": pa.array(images, pa.binary())}), file)
    return file.getvalue()


def test_bad_rows_are_refused_or_set_aside_with_their_reason(rows):
    content = bad_file(rows)
    with pytest.raises(ValueError, match=r"id that no other row has.*\(row 1 of x\.parquet\)"):
        decoded(content, "x.parquet", 0)
    bad: list[BadRow] = []
    found = decoded(content, "x.parquet", 0, None, bad)
    same(found, Shard(rows.images[:1], np.array([-1]), np.array([3])))
    assert [row.row for row in bad] == list(REASONS)
    for row in bad:
        assert REASONS[row.row] in row.reason
    assert bad[0].id == 3


def test_images_of_another_size_than_asked_for_are_bad(rows):
    for suffix in (".parquet", ".npz"):
        bad: list[BadRow] = []
        found = decoded(encoded(rows, suffix), f"x{suffix}", 0, (8, 8), bad)
        assert found.images.shape == (0, 8, 8)
        assert len(bad) == 25
        assert "8x8 pixels. Received: 9x13" in bad[0].reason


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_a_file_that_is_no_shard_is_named(folder, rows, suffix):
    write(folder, rows, 10, suffix)
    target = place(folder)
    whole = target.read(f"shard-00001{suffix}")
    for content in (b"", b"no shard", whole[: len(whole) // 2]):
        target.write(f"shard-00001{suffix}", content)
        with pytest.raises(ValueError, match=rf"Expected a whole .* Received: .*shard-00001{suffix}"):
            ShardedData(folder)


def test_python_that_fails_now_and_then_is_asked_again(folder, rows, monkeypatch):
    write(folder, rows, 10, ".npz")
    calls, evaluate = count(), ast.literal_eval

    def failing(node):
        # As Python up to 3.11.7 does where threads use `ast` at the same time.
        if next(calls) % 5 == 0:
            raise SystemError("AST constructor recursion depth mismatch")
        return evaluate(node)

    monkeypatch.setattr(ast, "literal_eval", failing)
    data = ShardedData(folder)
    assert next(calls) > 6  # two for each shard, of images and ids, and those that failed
    same(data.read(data.shards[1]), rows.take(slice(10, 20)))

    def broken(node):
        raise SystemError("broken")

    monkeypatch.setattr(ast, "literal_eval", broken)
    with pytest.raises(ValueError, match=r"Expected a whole \.npz file .*shard-00000.npz \(broken"):
        ShardedData(folder)


def test_a_table_without_images_is_no_shard(tmp_path):
    pq.write_table(pa.table({"id": [1, 2]}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="no column `image`"):
        ShardedData(tmp_path)


def test_ids_in_two_shards_are_found(tmp_path, rows):
    target = place(tmp_path)
    for i, ids in enumerate((np.arange(25), 30 + np.arange(25), 100 - 2 * np.arange(25))):
        target.write(f"{i}.npz", encoded(rows._replace(ids=ids), ".npz"))
    with pytest.raises(ValueError, match=r"id 52 in 1\.npz and in 2\.npz"):
        ShardedData(tmp_path).check_ids()
    target.write("2.npz", encoded(rows._replace(ids=55 + np.arange(25)), ".npz"))
    ShardedData(tmp_path).check_ids()


def test_a_folder_without_shards_is_refused(folder):
    with pytest.raises(ValueError, match=r"Expected a folder of shards .* \(it has none\)"):
        ShardedData(folder)


def test_unknown_urls_and_missing_extras_are_one_line(monkeypatch, tmp_path, rows):
    with pytest.raises(ValueError, match="URL that fsspec knows"):
        place("nothing://bucket/data")
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install 'digitvae\[ray\]'"):
        write(str(tmp_path), rows, 10)
