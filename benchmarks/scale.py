"""The constants of docs/scale.md: what an exchange costs, a step of several processes, a shard that is read.

    python benchmarks/scale.py --parts exchange step read
    python benchmarks/scale.py --parts bound --recipe quick      # final -ELBO of one and of two processes

All processes run on this machine and talk by gloo on its loopback. In `step` every process has one core, so
that two processes on two cores are like two hosts of one core; four share two cores.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

PARTS = ("exchange", "step", "read", "bound")
_SMALL = 1024
"""Numbers of the small exchange: its time is latency."""
_WARM = 3


def exchanges(sizes: Sequence[int], repetitions: int) -> dict[str, list[float]]:
    """Time all-reduces of float32 in this process of a job.

    Args:
        sizes: of the weights of a model.
        repetitions: of each.

    Returns:
        Seconds of each repetition: of all weights as one array, of an array for each, as training exchanges
        them, and of few numbers.
    """
    import jax
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    mesh = Mesh(np.array(jax.devices()), ("all",))
    one, every = PartitionSpec("all"), PartitionSpec()
    summed = jax.jit(
        jax.shard_map(lambda x: jax.lax.psum(x, "all"), mesh=mesh, in_specs=one, out_specs=every)
    )
    found = {}
    total = sum(sizes)
    for name, parts in {
        f"{total:,} in one array": [total],
        f"{total:,} in {len(sizes)} arrays": sizes,
        f"{_SMALL:,}": [_SMALL],
    }.items():
        mine = [np.ones((1, size), "float32") for size in parts]
        arrays = [jax.make_array_from_process_local_data(NamedSharding(mesh, one), part) for part in mine]
        seconds = []
        for _ in range(_WARM + repetitions):
            began = time.perf_counter()
            sums = jax.block_until_ready(summed(arrays))
            seconds.append(time.perf_counter() - began)
        if float(sums[0].addressable_data(0)[0, 0]) != jax.device_count():
            raise RuntimeError("Expected the sum over all processes. Received: another number")
        found[name] = seconds[_WARM:]
    return found


def steps(recipe: str, count: int, batch_size: int | None, folder: Path) -> dict[str, list[float]]:
    """Time steps of a training, this process's part of them where there are several.

    Args:
        recipe: its name.
        count: of steps.
        batch_size: images of one; by default the recipe's.
        folder: for the run, a new one.

    Returns:
        Wall and CPU seconds of each step after the first ones, and the number of weights.
    """
    import keras

    import digitvae
    from digitvae.config import resolve

    class Clock(keras.callbacks.Callback):
        """Notes when a call of the compiled steps ended, and how many steps were done."""

        marks: list[tuple[int, float, float]] = []  # noqa: RUF012 - one object
        weights = 0

        def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            self.marks.append((batch + 1, time.perf_counter(), time.process_time()))
            self.weights = sum(math.prod(weight.shape) for weight in self.model.trainable_weights)

    config = resolve(recipe, None, epochs=1, backend="jax", batch_size=batch_size)
    full = digitvae.load_dataset()
    held_out = count * config.batch_size // 11 + 1
    images = full.train_images[: count * config.batch_size + held_out]
    few = digitvae.Dataset("few", images, _part(full.train_labels, images), full.test_images[:10], None)
    clock = Clock()
    digitvae.train(config, few, folder, progress=False, callbacks=[clock])
    marks = clock.marks[_WARM:]
    pairs = list(itertools.pairwise(marks))
    return {
        "wall": [(after[1] - before[1]) / (after[0] - before[0]) for before, after in pairs],
        "cpu": [(after[2] - before[2]) / (after[0] - before[0]) for before, after in pairs],
        "weights": [float(clock.weights)],
    }


def _part(labels: np.ndarray | None, images: np.ndarray) -> np.ndarray | None:
    return None if labels is None else labels[: len(images)]


def reading(rows: int, shard: int, repetitions: int) -> dict[str, dict[str, float]]:
    """Time the reading of shards of MNIST's training images.

    Args:
        rows: of all shards.
        shard: rows of each.
        repetitions: how often all are read.

    Returns:
        For each format bytes per row, and rows per second of CPU time and of wall time, medians and best.
    """
    import digitvae
    from digitvae.shards import Shard, ShardedData, place, write_shards

    data = digitvae.load_dataset()
    if data.train_labels is None:
        raise RuntimeError("Expected MNIST with labels. Received: none")
    part = Shard(data.train_images[:rows], data.train_labels[:rows], np.arange(rows))
    found = {}
    for name, suffix, png in (
        (".npz", ".npz", False),
        ("Parquet", ".parquet", False),
        ("Parquet, PNG", ".parquet", True),
    ):
        with tempfile.TemporaryDirectory() as folder:
            target = place(folder)
            for _ in write_shards(target, [part], shard, suffix, png):
                pass
            shards = ShardedData(folder)
            size = sum(file.stat().st_size for file in Path(folder).iterdir())
            cpu, wall = [], []
            for _ in range(repetitions):
                for file in shards.shards:
                    began = time.perf_counter(), time.process_time()
                    count = len(shards.read(file).ids)
                    wall.append(count / (time.perf_counter() - began[0]))
                    cpu.append(count / (time.process_time() - began[1]))
        found[name] = {
            "bytes": size / rows,
            "cpu": statistics.median(cpu),
            "cpu_best": max(cpu),
            "wall": statistics.median(wall),
            "wall_best": max(wall),
        }
    return found


def bounds(recipe: str, epochs: int | None, seeds: Sequence[int], folder: Path) -> Iterator[dict[str, Any]]:
    """Train by the command line in one process and in two; yield what each run ended with.

    Args:
        recipe: its name.
        epochs: of it; by default the recipe's.
        seeds: of the trainings.
        folder: for the runs.
    """
    for seed in seeds:
        for count in (1, 2):
            run = folder / f"{recipe}-{seed}-{count}"
            command = ["-m", "digitvae", "train", "--backend", "jax", "--distributed", "--recipe", recipe]
            command += ["--seed", str(seed), "--run", str(run), "--json", "--no-progress-bar"]
            command += ["--epochs", str(epochs)] if epochs else []
            result = json.loads(
                _outputs(command, count, ("--job-addresses", "--num-processes", "--process-id"))[0]
            )
            yield {
                "seed": seed,
                "processes": count,
                "negative_elbo": -result["test"]["elbo"],
                "nll": result["test"]["nll"],
                "train_seconds": result["train_seconds"],
            }


def _outputs(command: Sequence[str], count: int, flags: Sequence[str] = ()) -> list[str]:
    """Run the processes of a job, and return what each wrote to stdout.

    Args:
        command: what Python is to run.
        count: of processes.
        flags: what tells a process where all meet, how many they are, and its own number.
    """
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{found.getsockname()[1]}"
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    started = []
    for index in range(count):
        values = (address, str(count), str(index))
        told = [text for pair in zip(flags, values, strict=False) for text in pair]
        full = [sys.executable, *command, *told]
        started.append(subprocess.Popen(full, stdout=subprocess.PIPE, text=True, env=environment))
    outputs = [process.communicate()[0] for process in started]
    if codes := [process.returncode for process in started if process.returncode]:
        raise RuntimeError(f"Expected all processes to end well. Received: exit codes {codes}")
    return outputs


def _as_process(part: str, given: argparse.Namespace) -> None:
    """Be one process of a job, and print what it measured."""
    from contextlib import nullcontext

    from digitvae.distributed import joined

    if part == "step" and not given.all_cores:
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[given.index % len(cores)]})
    with nullcontext() if given.count == 1 else joined(given.address, given.count, given.index):
        if part == "exchange":
            found: Any = exchanges([int(size) for size in given.weights.split(",")], given.repetitions)
        else:
            found = steps(given.recipe, given.steps, given.batch_size, Path(given.folder) / "run")
    print(json.dumps(found))


def _job(part: str, count: int, given: argparse.Namespace, *more: str) -> list[dict[str, list[float]]]:
    with tempfile.TemporaryDirectory() as folder:
        options = [
            *(__file__, "--as-process", part, "--folder", folder, "--recipe", given.recipe),
            *("--weights", given.weights, "--repetitions", str(given.repetitions)),
            *("--steps", str(given.steps), *more),
            *(["--batch-size", str(given.batch_size)] if given.batch_size else []),
        ]
        outputs = _outputs(options, count, ("--address", "--count", "--index"))
    return [json.loads(output.splitlines()[-1]) for output in outputs]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _ms(seconds: Sequence[float]) -> list[str]:
    return [f"{1000 * statistics.median(seconds):.1f}", f"{1000 * min(seconds):.1f}"]


def report(part: str, given: argparse.Namespace) -> Iterator[str]:
    """Measure a part, and yield the lines of its table."""
    if part == "exchange":
        rows = []
        for count in (2, 4):
            for name, seconds in _job(part, count, given)[0].items():
                rows.append([str(count), name, *_ms(seconds)])
        yield _table(("processes", "float32 summed", "ms, median", "ms, least"), rows)
    elif part == "step":
        yield "| processes | wall ms, median | wall ms, least | CPU ms of each, median | least | weights |"
        yield f"|{' --- |' * 6}"
        for count in given.processes:
            # 0: one process, on all cores.
            found = _job(part, max(1, count), given, *([] if count else ["--all-cores"]))
            cpu = [second for process in found for second in process["cpu"]]
            weights = f"{int(found[0]['weights'][0]):,}"
            cells = [
                f"{count}, one core each" if count else "1, all cores",
                *_ms(found[0]["wall"]),
                *_ms(cpu),
                weights,
            ]
            yield f"| {' | '.join(cells)} |"
    elif part == "read":
        rows = [
            [name, f"{row['bytes']:.0f}", *(f"{row[key]:,.0f}" for key in ("cpu", "cpu_best", "wall"))]
            for name, row in reading(given.rows, given.shard, given.repetitions).items()
        ]
        yield _table(("shards", "bytes/row", "rows/s of CPU, median", "best", "rows/s of wall, median"), rows)
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield "| seed | processes | -ELBO | NLL | s of training |"
            yield "| --- | --- | --- | --- | --- |"
            for row in bounds(given.recipe, given.epochs, given.seeds, Path(folder)):
                numbers = f"{row['negative_elbo']:.3f} | {row['nll']:.3f} | {row['train_seconds']:.1f}"
                yield f"| {row['seed']} | {row['processes']} | {numbers} |"


def main() -> None:
    """Measure and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS[:3], help="what is measured")
    parser.add_argument("--recipe", default="default", help="of step and bound")
    parser.add_argument("--repetitions", type=int, default=25, help="of exchanges and readings")
    parser.add_argument("--steps", type=int, default=40, help="of a training that is timed")
    parser.add_argument("--batch-size", type=int, help="of step (default: the recipe's)")
    parser.add_argument(
        "--processes",
        type=int,
        nargs="+",
        default=[0, 1, 2, 4],
        help="of step, with a core each; 0: one with all",
    )
    parser.add_argument("--rows", type=int, default=50_000, help="of the shards that are read")
    parser.add_argument("--shard", type=int, default=10_000, help="rows of one")
    parser.add_argument("--epochs", type=int, help="of bound (default: the recipe's)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of bound")
    # What a process of a job is told.
    for name in ("--as-process", "--folder", "--address", "--weights"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    for name in ("--count", "--index"):
        parser.add_argument(name, type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--all-cores", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.as_process:
        _as_process(given.as_process, given)
        return
    given.weights = _weights(given.recipe) if "exchange" in given.parts else ""
    for part in given.parts:
        print(f"\n### {part}, load average {os.getloadavg()[0]:.1f}\n", flush=True)
        for line in report(part, given):
            print(line, flush=True)


def _weights(recipe: str) -> str:
    """Return the sizes of the trainable weights of a recipe's model of MNIST, in a process of its own."""
    script = f"""
import math, digitvae
from digitvae.building import resolve_auto
from digitvae.config import resolve
data = digitvae.load_dataset()
images, labels = data.train_images[:500], data.train_labels[:500]
config = resolve_auto(resolve({recipe!r}, None, backend="jax"), labels)
vae = digitvae.build(config, (28, 28), 10, images, labels)
print(*[math.prod(weight.shape) for weight in vae.trainable_weights], sep=",")
"""
    return _outputs(["-c", script], 1)[0].split()[-1]


if __name__ == "__main__":
    main()
