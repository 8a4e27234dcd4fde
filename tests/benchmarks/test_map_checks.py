"""The checks of `digitvae map` over many processes find what is wrong."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from digitvae.shards import Shard, encoded_table

pytest.importorskip("pyarrow")


def test_rows_of_other_bytes_are_counted(load_script):
    others = load_script("benchmarks/same_results.py")._others
    rows = {"id": np.arange(4)[:, None], "latents": np.zeros((4, 2), "float32")}
    assert others({name: values.copy() for name, values in rows.items()}, rows) == 0
    # Equal numbers of other bits.
    assert others({**rows, "latents": np.array([[0, 0], [0, -0.0], [0, 0], [1, 0]], "float32")}, rows) == 2
    assert others({**rows, "latents": rows["latents"].astype("float64")}, rows) == 4
    assert others({name: values[:3] for name, values in rows.items()}, rows) == 4


def test_results_are_read_in_the_order_of_ids(load_script, tmp_path):
    columns = load_script("benchmarks/same_results.py")._columns
    for name, ids in (("a", np.array([3, 1])), ("b", np.array([0, 2]))):
        rows = Shard(np.zeros((2, 3, 3), "uint8"), -np.ones(2, "int64"), ids)
        latents = np.stack([ids, 10 + ids], axis=1).astype("float32")
        (tmp_path / f"{name}.parquet").write_bytes(encoded_table(rows, {"latents": latents}, ".parquet"))
    found = columns(tmp_path)
    np.testing.assert_array_equal(found["id"][:, 0], range(4))
    np.testing.assert_array_equal(found["latents"], [[i, 10 + i] for i in range(4)])


@pytest.fixture
def job(load_script, tmp_path):
    """A job of two shards that is done."""
    for folder in ("data", "out", "expected"):
        (tmp_path / folder).mkdir()
    for number, name in enumerate(("a.parquet", "b.parquet")):
        ids = 2 * number + np.arange(2)
        rows = Shard(np.zeros((2, 3, 3), "uint8"), -np.ones(2, "int64"), ids)
        content = encoded_table(rows, {"nll": np.ones(2)}, ".parquet")
        manifest = {"rows": 2, "input_rows": 2, "sha256": hashlib.sha256(content).hexdigest()}
        (tmp_path / "data" / name).touch()
        for folder in ("out", "expected"):
            (tmp_path / folder / name).write_bytes(content)
            (tmp_path / folder / f"{name}.json").write_text(json.dumps(manifest))
    return load_script("benchmarks/kills.py").Job("worker", tmp_path / "data", tmp_path / "out", 1)


def at_the_end(job):
    return job.wrong_at_the_end(job.output.parent / "expected", np.arange(4))


def test_nothing_is_wrong_with_a_job_that_is_done_or_goes_on(job):
    assert at_the_end(job) == []
    (job.output / "b.parquet.json").unlink()
    assert job.wrong() == []
    (job.output / "b.parquet").unlink()
    assert job.wrong() == []
    assert job.done() == 1


def test_half_a_shard_a_lost_one_and_leftovers_are_found(job):
    whole = (job.output / "a.parquet").read_bytes()
    (job.output / "a.parquet").write_bytes(whole[:-9])
    assert any("not what its manifest says" in text for text in job.wrong())
    (job.output / "a.parquet.json").unlink()
    assert ["half written" in text for text in job.wrong()] == [True]
    (job.output / "a.parquet").write_bytes((job.output / "b.parquet").read_bytes())
    (job.output / ".left").touch()
    assert at_the_end(job) == [
        ".left: left over or missing",
        "a.parquet.json: left over or missing",
        "a.parquet: other bytes",
        "ids: lost or doubled",
    ]
