"""Jobs over shards: files whole, nothing lost or doubled, by any number of workers."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from digitvae import cli
from digitvae.mapping import Worker, local, prepare
from digitvae.mapping import run as run_job
from digitvae.shards import encoded, place


def columns(folder):
    """Return all results of a folder, in the order of its shards."""
    parts = [dict(np.load(file)) for file in sorted(Path(str(folder)).glob("*.npz"))]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def check_same(one, other):
    assert one.keys() == other.keys()
    for name, values in one.items():
        assert values.tobytes() == other[name].tobytes(), name


def check_whole(job, data):
    """See that the output has each row once, and that manifests say what is there."""
    files = {file.name for file in Path(job.output.url).iterdir()}
    names = {shard.name for shard in data.shards}
    assert files == {"_job.json", "_summary.json"} | names | {f"{name}.json" for name in names}
    for shard in data.shards:
        manifest = json.loads(job.output.read(f"{shard.name}.json"))
        content = job.output.read(shard.name)
        assert manifest["rows"] == manifest["input_rows"] == shard.rows
        assert manifest["sha256"] == hashlib.sha256(content).hexdigest()
        assert manifest["input_sha256"] == hashlib.sha256(data.place.read(shard.name)).hexdigest()
        assert manifest["model_sha256"] == job.settings.model_sha256


@pytest.fixture
def made(run, sharded, tmp_path):
    """Return a maker of jobs: data and job."""

    def make(size, output, verb="encode", **options):
        data = sharded(size)
        return data, prepare(verb, str(run.folder), data, str(tmp_path / output), **options)

    return make


@pytest.fixture
def expected(made):
    """The latents as one shard in one go in this process gives them."""
    data, job = made(200, "expected")
    Worker(job)(data.shards[0])
    return columns(job.output)


def test_workers_that_are_killed_lose_nothing(made, expected, rows):
    data, job = made(17, "out")
    killed = 0
    for manifest in local.mapped(job, data.shards, 2):
        assert manifest["rows"] in (17, 13)
        if killed < 2:
            for process in multiprocessing.active_children():
                os.kill(process.pid, signal.SIGKILL)
                killed += 1
    assert killed >= 2
    assert not multiprocessing.active_children()
    summary = run_job(job, data, 1)
    # A killed worker may have written its last manifest, or not.
    assert summary["done_now"]["shards"] == 0
    assert summary["rows"] == 200
    check_whole(job, data)
    check_same(columns(job.output), expected)
    np.testing.assert_array_equal(columns(job.output)["ids"], rows.ids)


def test_a_driver_that_is_killed_leaves_work_that_a_second_call_finishes(made, expected, run):
    data, job = made(17, "out")
    command = [sys.executable, "-m", "digitvae", "map", "encode", "--model", run.folder, "--workers", "2"]
    command += ["--data", data.place.url, "-o", job.output.url]
    with subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE) as driver:
        while not list(Path(job.output.url).glob("*.npz.json")):
            time.sleep(0.005)
        driver.kill()
        # It ends when the workers, which have its stderr, have ended.
        assert driver.stderr.read() == b""
    for shard in data.shards:
        if (Path(job.output.url) / f"{shard.name}.json").exists():
            assert (Path(job.output.url) / shard.name).exists()
    assert cli.main([*map(str, command[3:])]) == 0
    check_whole(job, data)
    check_same(columns(job.output), expected)


def test_only_what_is_missing_is_done(made):
    data, job = made(50, "out", "generate")
    for shard in data.shards:
        Worker(job)(shard)
    before = columns(job.output)
    Path(job.output.url, data.shards[1].name).unlink()
    Path(job.output.url, f"{data.shards[2].name}.json").unlink()
    done = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            local,
            "mapped",
            lambda job, shards, workers: (done.append(s.name) or Worker(job)(s) for s in shards),
        )
        summary = run_job(job, data, 2)
    assert done == [data.shards[1].name, data.shards[2].name]
    assert (summary["shards"], summary["rows"], summary["done_now"]["rows"]) == (4, 200, 100)
    check_same(columns(job.output), before)


def test_bad_rows_end_the_job_or_are_set_aside(made, rows, run, tmp_path):
    data, job = made(50, "strict")
    labels = rows.labels.copy()
    labels[60] = -7
    data.place.write("shard-00001.npz", encoded(rows._replace(labels=labels).take(slice(50, 100)), ".npz"))
    with pytest.raises(ValueError, match=r"label from 0.*\(row 10 of .*shard-00001\.npz\)"):
        run_job(job, data, 1)
    assert not Path(job.output.url, "shard-00001.npz").exists()

    kind = prepare("encode", str(run.folder), data, str(tmp_path / "kind"), skip_bad_rows=True)
    for shard in data.shards:
        Worker(kind)(shard)
    summary = run_job(kind, data, 1)
    assert (summary["rows"], summary["bad_rows"]) == (199, 1)
    np.testing.assert_array_equal(columns(kind.output)["ids"], np.delete(rows.ids, 60))
    listed = json.loads(kind.output.read("shard-00001.npz.bad.json"))
    assert [(row["row"], row["id"]) for row in listed["rows"]] == [(10, 1060)]
    assert "label" in listed["rows"][0]["reason"]


def test_a_shard_without_a_good_row_gives_an_empty_one(run, rows, tmp_path):
    from digitvae.shards import ShardedData

    folder = place(tmp_path / "data")
    folder.make()
    folder.write("a.npz", encoded(rows._replace(images=np.zeros((200, 8, 8), "uint8")), ".npz"))
    data = ShardedData(folder.url)
    with pytest.raises(ValueError, match=r"model's size, 9x13 .*Received: .* with 8x8"):
        prepare("encode", str(run.folder), data, str(tmp_path / "out"))
    for verb in ("encode", "reconstruct", "score"):
        job = prepare(verb, str(run.folder), data, str(tmp_path / verb), draws=2, skip_bad_rows=True)
        assert Worker(job)(data.shards[0])["rows"] == 0
        assert all(len(values) == 0 for values in columns(job.output).values())


def test_other_jobs_and_other_files_are_refused(made, run, sharded, tmp_path):
    data, job = made(50, "out")
    for changes, message in (
        ({"verb": "score"}, "verb=score. Received: .*verb=encode"),
        ({"seed": 1}, "seed=1. Received: .*seed=0"),
        ({"model": "mnist"}, "model's size"),
    ):
        arguments = {"verb": "encode", "model": str(run.folder), "output": job.output.url, **changes}
        with pytest.raises(ValueError, match=message):
            prepare(data=data, **arguments)
    Path(job.output.url, "_job.json").write_text(
        json.dumps({**job.settings.as_json(), "model_sha256": "0" * 64})
    )
    with pytest.raises(ValueError, match="model_sha256"):
        prepare("encode", str(run.folder), data, job.output.url)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    with pytest.raises(ValueError, match=r"with letter\.txt"):
        prepare("encode", str(run.folder), data, str(tmp_path / "full"))
    with pytest.raises(ValueError, match="another folder"):
        prepare("encode", str(run.folder), data, data.place.url)
    with pytest.raises(OSError, match="Expected an output"):
        prepare("encode", str(run.folder), data, "/proc/nowhere/out")


def test_data_that_changed_are_refused(made, rows):
    data, job = made(200, "out")
    Worker(job)(data.shards[0])
    data.place.write(data.shards[0].name, encoded(rows.take(slice(0, 150)), ".npz"))
    changed = type(data)(data.place.url)
    with pytest.raises(ValueError, match=r"made from, 200 rows in .* Received: 150"):
        run_job(job, changed, 1)


def test_archives_of_shards_hold_their_rows(rows, sharded, tmp_path):
    pytest.importorskip("constriction")
    from digitvae.codec import ArchiveReader, find_model

    golden = Path(__file__).parents[1] / "codec" / "golden" / "grey.npz"
    data = sharded(150)
    job = prepare("compress", str(golden), data, str(tmp_path / "out"))
    for shard in data.shards:
        Worker(job)(shard)
    assert run_job(job, data, 1)["rows"] == 200
    for shard, part in zip(data.shards, (slice(0, 150), slice(150, 200)), strict=True):
        with job.output.open(f"{shard.name}.dvc") as file:
            reader = ArchiveReader(file, lambda *_: find_model(golden))
            np.testing.assert_array_equal(np.concatenate(list(reader.read())), rows.images[part])
            assert reader.names == {"ids": rows.ids[part].tolist(), "labels": rows.labels[part].tolist()}
