"""Kill what does a job of `digitvae map` at random moments, call it again, and see that nothing is lost.

    python benchmarks/kills.py                              # ten kills of each kind; some twenty minutes
    python benchmarks/kills.py --kinds actor --kills 3 --seed 1

Real processes get `kill -9`: a worker, the command itself ("driver"), or an actor of a local Ray cluster. The
moment is drawn: after so many finished shards, and then a part of the time that a shard takes, so that it
does not depend on how busy the machine is. A killed driver is called again at once, while its workers may
still finish their shards; what is left after an actor's death, processes of this machine finish. After the
kill, and after the second call, these must hold: a manifest has its file, with its rows and checksum; every
file of a shard is whole, with a manifest or not. After the second call every file is byte for byte that of
the call without a kill, every id is there once, no other file is left, and no worker lives.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import cluster
import numpy as np

import digitvae
from digitvae.shards import Shard, place, write_shards

_MARKS = {"worker": b"spawn_main", "driver": b"spawn_main", "actor": b"MapWorker"}
"""What the command line of a worker has, by what is killed."""
_ENDED = 60.0
"""Seconds in which workers without a driver must have ended."""


class Job:
    """A call of the command line over the same shards, into a folder of its own."""

    def __init__(self, kind: str, data: Path, output: Path, draws: int, address: str = ""):
        self.kind, self.data, self.output = kind, data, output
        self._ray = ["--ray", address] if kind == "actor" else []
        self._command = [sys.executable, "-m", "digitvae", "map", "score", "--draws", str(draws)]
        self._command += ["--data", str(data), "-o", str(output), "--workers", "2", "--json"]

    def start(self, again: bool = False) -> subprocess.Popen[str]:
        """Start the command, on the cluster if it is about actors and not called again."""
        environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
        return subprocess.Popen(
            self._command + ([] if again else self._ray),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def workers(self, driver: int) -> list[int]:
        """Return the processes that do shards for a driver."""
        mark = _MARKS[self.kind]
        # Actors are children of the cluster, which this process started.
        parent = os.getpid() if self._ray else driver
        return [process for process in _descendants(parent) if mark in _command_line(process)]

    def names(self) -> list[str]:
        """Return the names of the shards."""
        return sorted(file.name for file in self.data.glob("*.parquet"))

    def done(self) -> int:
        """Count the shards that have a manifest."""
        return len(list(self.output.glob("*.parquet.json")))

    def wrong(self) -> list[str]:
        """Return what must not be at any moment."""
        from pyarrow import parquet

        found = []
        for name in self.names():
            file, manifest = self.output / name, self.output / f"{name}.json"
            if manifest.exists():
                said = json.loads(manifest.read_text())
                content = file.read_bytes() if file.exists() else b""
                if hashlib.sha256(content).hexdigest() != said["sha256"]:
                    found.append(f"{name}: not what its manifest says")
                if said["rows"] != said["input_rows"]:
                    found.append(f"{name}: lost rows")
            if file.exists():
                try:
                    parquet.ParquetFile(io.BytesIO(file.read_bytes())).read()
                except Exception as error:  # the type depends on where the damage is
                    found.append(f"{name}: half written ({error})")
        return found

    def wrong_at_the_end(self, expected: Path, ids: np.ndarray) -> list[str]:
        """Return what must not be when all is done."""
        from pyarrow import parquet

        found = self.wrong()
        files = {file.name for file in self.output.iterdir()}
        others = files ^ {file.name for file in expected.iterdir()}
        found += [f"{name}: left over or missing" for name in sorted(others)]
        for name in self.names():
            if name in files and (self.output / name).read_bytes() != (expected / name).read_bytes():
                found.append(f"{name}: other bytes")
        parts = [parquet.read_table(self.output / name)["id"].to_numpy() for name in self.names()]
        if not np.array_equal(np.sort(np.concatenate(parts)), ids):
            found.append("ids: lost or doubled")
        return found


def _command_line(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def _descendants(process: int) -> list[int]:
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return []
    return [found for child in children for found in (int(child), *_descendants(int(child)))]


def _wait_for(job: Job, driver: subprocess.Popen[str], shards: int) -> None:
    """Wait until so many shards are done, or all has ended."""
    while job.done() < shards and driver.poll() is None:
        time.sleep(0.002)


def undisturbed(job: Job) -> float:
    """Run a job to its end; return the seconds per shard from the first one on."""
    driver = job.start()
    _wait_for(job, driver, 1)
    began = time.perf_counter()
    _, errors = driver.communicate()
    if driver.returncode:
        raise RuntimeError(f"Expected a job that ends well. Received: {errors}")
    return (time.perf_counter() - began) / (len(job.names()) - 1)


def killed(job: Job, shards: int, delay: float, draw: random.Random) -> tuple[str, list[int]]:
    """Start a job and kill what it is about.

    Args:
        job: what to start.
        shards: that are done before.
        delay: seconds after these.
        draw: chooses the worker.

    Returns:
        What happened, in words, and the workers at the kill; none where all had ended before.
    """
    driver = job.start()
    _wait_for(job, driver, shards)
    time.sleep(delay)
    workers = job.workers(driver.pid)
    if driver.poll() is not None or not workers:
        driver.communicate()
        return "it had ended", []
    os.kill(driver.pid if job.kind == "driver" else draw.choice(workers), signal.SIGKILL)
    what = f"{job.done()} of {len(job.names())}"
    if job.kind == "driver":
        driver.wait()
        for pipe in (driver.stdout, driver.stderr):
            if pipe is not None:
                pipe.close()  # the workers have its other end: to read it would be to wait for them
        return what, workers
    _, errors = driver.communicate()
    return (
        f"{what}; exit code {driver.returncode}: {errors.strip()}" if driver.returncode else what
    ), workers


def alive(job: Job, workers: list[int]) -> list[str]:
    """Wait for workers to end, and return which did not."""
    limit = time.perf_counter() + _ENDED
    while living := [worker for worker in workers if _MARKS[job.kind] in _command_line(worker)]:
        if time.perf_counter() > limit:
            return [f"process {worker}: alive" for worker in living]
        time.sleep(0.1)
    return []


def main() -> None:
    """Kill, call again, check, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--kinds", nargs="+", choices=list(_MARKS), default=list(_MARKS), help="what is killed"
    )
    parser.add_argument("--kills", type=int, default=10, help="of each kind")
    parser.add_argument("--rows", type=int, default=1280)
    parser.add_argument("--shard", type=int, default=64, help="rows of a shard")
    parser.add_argument("--draws", type=int, default=1, help="of score, which is what the job does")
    parser.add_argument("--seed", type=int, default=0, help="of moments and victims")
    given = parser.parse_args()
    images, ids = digitvae.load_dataset().test_images[: given.rows], np.arange(given.rows)
    bad = 0
    print("| killed | moment | shards done then | shards of the second call | wrong |")
    print("| --- | --- | --- | --- | --- |", flush=True)
    ray = cluster.started(2) if "actor" in given.kinds else nullcontext("")
    with tempfile.TemporaryDirectory() as name, ray as address:
        folder = Path(name)
        target = place(folder / "data")
        target.make()
        for _ in write_shards(target, [Shard(images, np.full(given.rows, -1), ids)], given.shard):
            pass
        expected = folder / "expected"
        undisturbed(Job("worker", folder / "data", expected, given.draws))
        for kind in given.kinds:
            draw = random.Random(f"{given.seed} {kind}")
            seconds = undisturbed(Job(kind, folder / "data", folder / kind, given.draws, address))
            count = 0
            while count < given.kills:
                output = folder / f"{kind}-{count}-{draw.random()}"
                job = Job(kind, folder / "data", output, given.draws, address)
                shards, delay = draw.randrange(1, len(job.names())), draw.uniform(0, seconds)
                what, workers = killed(job, shards, delay, draw)
                wrong = job.wrong()
                second = job.start(again=True)
                text, errors = second.communicate()
                again = json.loads(text)["done_now"]["shards"] if second.returncode == 0 else errors.strip()
                wrong += alive(job, workers) + job.wrong_at_the_end(expected, ids)
                count += bool(workers)
                bad += len(wrong) + (second.returncode != 0)
                line = (
                    kind,
                    f"{shards} shards + {1000 * delay:.0f} ms",
                    what,
                    str(again),
                    "; ".join(wrong) or "nothing",
                )
                print(f"| {' | '.join(line)} |", flush=True)
    if bad:
        raise SystemExit(f"Expected nothing wrong. Received: {bad} findings")


if __name__ == "__main__":
    main()
