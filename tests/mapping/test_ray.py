"""Jobs on a cluster of Ray, started on this machine."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from digitvae import cli
from digitvae.mapping import Worker, on_ray, prepare
from digitvae.mapping import run as run_job

pytest.importorskip("ray")

# Ray leaves files and sockets open, and calls old functions of other libraries.
pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("default")]


def contents(folder):
    return [file.read_bytes() for file in sorted(Path(str(folder)).glob("*.npz"))]


def actors():
    """Return the processes of Ray's actors that descend from this process."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and b"MapWorker" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return [process for process in found if os.getpid() in ancestors(process)]


def ancestors(process):
    while process > 1:
        try:
            stat = Path(f"/proc/{process}/stat").read_text()
        except OSError:
            return
        process = int(stat.rpartition(")")[2].split()[1])
        yield process


@pytest.fixture
def expected(run, sharded, tmp_path):
    data = sharded(10)
    job = prepare("score", str(run.folder), data, str(tmp_path / "expected"), draws=2)
    worker = Worker(job)
    for shard in data.shards:
        worker(shard)
    return contents(job.output)


def test_actors_give_the_same_bytes_and_may_be_killed(run, sharded, tmp_path, expected):
    data = sharded(10)
    job = prepare("score", str(run.folder), data, str(tmp_path / "out"), draws=2)
    seen, killed = [], 0
    for manifest in on_ray.mapped(job, data.shards, 2, "local"):
        seen.append(manifest["shard"])
        if len(seen) == 1:
            for process in actors()[:1]:
                os.kill(process, signal.SIGKILL)
                killed += 1
    assert sorted(seen) == [shard.name for shard in data.shards]
    assert contents(job.output) == expected
    assert killed == 1
    assert run_job(job, data, 2, "local")["done_now"]["shards"] == 0


def test_the_error_of_a_row_is_one_line(run, sharded, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("warnings.showwarning", None)
    data = sharded(100)
    with np.load(Path(data.place.url, data.shards[1].name)) as arrays:
        damaged = {**arrays, "labels": arrays["labels"] - 9}
    np.savez(Path(data.place.url, data.shards[1].name), **damaged)
    arguments = ["--data", data.place.url, "-o", str(tmp_path / "out"), "--ray", "local", "--workers", "1"]
    assert cli.main(["map", "encode", "--model", str(run.folder), *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("digitvae: error: Expected a label from 0, or -1 for none.")
    assert error.count("\n") == 1


@pytest.mark.parametrize("address", ["127.0.0.1:9", "127.0.0.1:text"])
def test_an_address_without_a_cluster_is_one_line(run, sharded, tmp_path, capsys, monkeypatch, address):
    monkeypatch.setattr("warnings.showwarning", None)
    arguments = ["--data", sharded(100).place.url, "-o", str(tmp_path / "out"), "--ray", address]
    assert cli.main(["map", "encode", "--model", str(run.folder), *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("digitvae: error: Expected the address of a Ray cluster")
    assert error.count("\n") == 1
