"""How fast `digitvae map` is, what its start costs, and whether its workers' memory stays flat.

    python benchmarks/mapping.py --rows 1000000 --shard 10000 --workers 2 --verb encode

The rows are MNIST's training images, again and again with new ids; grey images get bits drawn for the row.
The same verb in this process alone, by the model's usual methods on all cores, is the rate to compare with.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import digitvae
from digitvae.shards import Shard, place, write_shards

_IN_PROCESS = 20_000


def _rows(count: int) -> Iterator[Shard]:
    images, labels = digitvae.load_dataset().train_images, digitvae.load_dataset().train_labels
    if labels is None:
        raise RuntimeError("Expected MNIST with labels. Received: none")
    for first in range(0, count, len(images)):
        some = slice(0, min(len(images), count - first))
        yield Shard(images[some], labels[some], first + np.arange(len(images[some])))


def _descendants(process: int) -> list[int]:
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [process, *itertools.chain.from_iterable(_descendants(int(child)) for child in children)]


def _watched(command: list[str]) -> tuple[dict[str, object], dict[int, list[float]]]:
    """Run a command; return its JSON, and the MB that each of its processes had every half second."""
    memory: dict[int, list[float]] = defaultdict(list)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            try:
                for child in _descendants(process.pid):
                    resident = int(Path(f"/proc/{child}/statm").read_text().split()[1])
                    memory[child].append(resident * os.sysconf("SC_PAGE_SIZE") / 1e6)
            except OSError:
                pass  # one of them has just ended
            time.sleep(0.5)
        if process.stdout is None or process.returncode:
            raise RuntimeError(f"Expected the job to end well. Received: exit code {process.returncode}")
        return json.load(process.stdout), memory


def _in_process(verb: str, draws: int) -> float:
    """Return the rows per second of the model's own methods on arrays in memory."""
    run = digitvae.find_run("mnist")
    images = digitvae.load_dataset().train_images[: _IN_PROCESS if verb != "score" else _IN_PROCESS // 20]
    if verb == "score":
        from digitvae.evaluation.likelihood import image_bounds

        vae, bits = run.load_model(), digitvae.data.fixed_bits(images)
        image_bounds(vae, bits[:256], draws)
        began = time.perf_counter()
        image_bounds(vae, bits, draws)
    else:
        method = getattr(run.load_light(), verb)
        method(images[:256])
        began = time.perf_counter()
        method(images)
    return len(images) / (time.perf_counter() - began)


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--shard", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--verb", choices=("encode", "reconstruct", "score"), default="encode")
    parser.add_argument("--draws", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        target = place(f"{folder}/data")
        target.make()
        for _ in write_shards(target, _rows(given.rows), given.shard, ".parquet"):
            pass
        command = [sys.executable, "-m", "digitvae", "map", given.verb, "--data", target.url]
        command += [
            "-o",
            f"{folder}/out",
            "--workers",
            str(given.workers),
            "--draws",
            str(given.draws),
            "--json",
        ]
        summary, memory = _watched(command)
    alone = _in_process(given.verb, given.draws)
    found = {
        "job": summary["done_now"],
        "rows_per_second_in_process": round(alone, 1),
        "memory_mb": {
            str(process): {"most": round(max(seen)), "at_half": round(seen[len(seen) // 2])}
            for process, seen in memory.items()
        },
        "load_average": os.getloadavg(),
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
