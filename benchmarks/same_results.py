"""See that `digitvae map` gives every row the same bytes, whatever the shards, the workers and the cluster.

    python benchmarks/same_results.py                  # 10,000 rows, both verbs; some ten minutes
    python benchmarks/same_results.py --verbs encode --ray --rows 2000 --shards 777 100

The rows are MNIST's test images in shards of 7,777 and of 100 rows. Each combination is one call of the
command line. What it writes is put in the order of the ids and compared, bit by bit, with what the functions
of rows give in this process of all rows at once, on one thread. The last line says how far the model's own
`encode` is from that.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import cluster
import numpy as np
from threadpoolctl import threadpool_limits

import digitvae
from digitvae.mapping.rows import FUNCTIONS, Options, results
from digitvae.shards import Shard, place, write_shards

_MODEL = "mnist"
_SEED = 0


def main() -> None:
    """Compare and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000, help="of all shards")
    parser.add_argument("--shards", type=int, nargs="+", default=[7777, 100], help="rows of a shard")
    parser.add_argument("--verbs", nargs="+", choices=list(FUNCTIONS), default=["encode", "score"])
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 4], help="processes of this machine")
    parser.add_argument(
        "--ray", type=int, nargs="*", default=[1, 2, 4], help="actors of a Ray cluster on this machine"
    )
    parser.add_argument("--draws", type=int, default=2, help="of score")
    given = parser.parse_args()
    rows = _rows(given.rows)
    equal = True
    notes: list[str] = []
    ray = cluster.started(max(given.ray)) if given.ray else nullcontext("")
    with tempfile.TemporaryDirectory() as folder, ray as address:
        for size in given.shards:
            target = place(f"{folder}/data-{size}")
            target.make()
            for _ in write_shards(target, [rows], size, ".parquet"):
                pass
        print("| verb | rows/shard | done by | rows | rows of other bytes | seconds |")
        print("| --- | --- | --- | --- | --- | --- |", flush=True)
        for verb in given.verbs:
            expected, near = _in_process(verb, rows, given.draws)
            notes += near
            for size in given.shards:
                for name, options in _ways(given.workers, given.ray, address):
                    output = Path(folder, f"{verb}-{size}-{name}")
                    began = time.perf_counter()
                    _map(verb, f"{folder}/data-{size}", output, [*options, "--draws", str(given.draws)])
                    seconds = time.perf_counter() - began
                    found = _columns(output)
                    wrong = _others(found, expected)
                    equal &= wrong == 0
                    count = len(found["id"])
                    print(f"| {verb} | {size:,} | {name} | {count:,} | {wrong} | {seconds:.1f} |", flush=True)
    print("", *notes, sep="\n")
    if not equal:
        raise SystemExit("Expected every row the same. Received: others")


def _rows(count: int) -> Shard:
    data = digitvae.load_dataset()
    if data.test_labels is None:
        raise RuntimeError("Expected MNIST with labels. Received: none")
    return Shard(data.test_images[:count], data.test_labels[:count], np.arange(count))


def _ways(workers: list[int], actors: list[int], address: str) -> Iterator[tuple[str, list[str]]]:
    for count in workers:
        yield f"{count} process{'es' if count > 1 else ''}", ["--workers", str(count)]
    for count in actors:
        yield f"Ray, {count} actor{'s' if count > 1 else ''}", ["--ray", address, "--workers", str(count)]


def _map(verb: str, data: str, output: Path, options: list[str]) -> None:
    command = [sys.executable, "-m", "digitvae", "map", verb, "--model", _MODEL, "--data", data]
    # NumPy computes: KERAS_BACKEND would be the choice of another engine.
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    seed = ["--seed", str(_SEED), "--no-progress-bar"]
    subprocess.run(
        [*command, "-o", str(output), *options, *seed], check=True, stdout=subprocess.DEVNULL, env=environment
    )


def _columns(folder: Path) -> dict[str, np.ndarray]:
    """Return the results of all shards by name, in the order of their ids."""
    from pyarrow import parquet

    parts: dict[str, list[np.ndarray]] = {}
    for file in sorted(folder.glob("*.parquet")):
        table = parquet.ParquetFile(file).read()
        for name in table.column_names:
            column = table[name].combine_chunks()
            nested = hasattr(column, "flatten") and column.type.num_fields
            values = column.flatten().to_numpy() if nested else column.to_numpy()
            parts.setdefault(name, []).append(values.reshape(len(table), -1))
    joined = {name: np.concatenate(values) for name, values in parts.items()}
    order = np.argsort(joined["id"][:, 0], kind="stable")
    return {name: values[order] for name, values in joined.items()}


def _others(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> int:
    """Count the rows that differ in a byte; all where rows are missing, doubled or of another type."""
    count = len(expected["id"])
    wrong = np.zeros(count, bool)
    if found.keys() != expected.keys() or len(found["id"]) != count:
        return count
    for name, values in expected.items():
        other = found[name]
        if other.dtype != values.dtype or other.shape != values.shape:
            return count
        one, two = (np.ascontiguousarray(array).view("uint8").reshape(count, -1) for array in (values, other))
        wrong |= (one != two).any(axis=1)
    return int(wrong.sum())


def _in_process(verb: str, rows: Shard, draws: int) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return what the functions give, and how near the model's own methods are."""
    run = digitvae.find_run(_MODEL)
    model = run.load_light()
    bits = run.config.binarization == "dynamic"
    with threadpool_limits(1):
        found: dict[str, Any] = dict(results(FUNCTIONS[verb], model, rows, Options(_SEED, draws, bits)))
    near = []
    if verb == "encode":
        far = np.abs(model.encode(rows.images) - found["latents"]).max()
        near.append(f"`encode` of the model itself differs by at most {far:.2g} from these latents.")
    columns = {"id": rows.ids, "label": rows.labels, **found}
    return {name: values.reshape(len(rows.ids), -1) for name, values in columns.items()}, near


if __name__ == "__main__":
    main()
