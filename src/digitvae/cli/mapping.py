"""Verbs on sharded data: `shard` makes it, `map` works on it."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from digitvae.cli.common import add_common_arguments, between, from_one
from digitvae.progress import progress_bar, progress_shown

if TYPE_CHECKING:
    from digitvae.shards import Shard

_VERBS = ("encode", "score", "reconstruct", "generate", "compress")
_MODEL, _CODEC = "mnist", "grey"
_LARGEST = 2**63 - 1


class _Verb(NamedTuple):
    add_arguments: Callable[[argparse.ArgumentParser], None]
    work: Callable[[argparse.Namespace], None]


def _add_shard(parser: argparse.ArgumentParser) -> None:
    parser.description = "Cut images into shards, files of so many rows: image, label and id."
    parser.add_argument(
        "images",
        metavar="IMAGES",
        help="mnist, a folder of image or IDX files, or a .npy, .npz or IDX file",
    )
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="a new folder, or a URL of one")
    parser.add_argument("--rows", type=from_one, required=True, metavar="N", help="rows of a shard")
    parser.add_argument(
        "--part", choices=("train", "test"), default="train", help="of images that have both (default: train)"
    )
    parser.add_argument(
        "--format", choices=("parquet", "npz"), default="parquet", help="of the files (default: parquet)"
    )
    parser.add_argument(
        "--png", action="store_true", help="keep images in Parquet as PNG: smaller, and slower to read"
    )
    parser.add_argument(
        "--first-id",
        type=between(0, _LARGEST),
        default=0,
        metavar="ID",
        help="id of the first image; the others count on (default: 0)",
    )
    _add_output(parser)


def _shard(arguments: argparse.Namespace) -> None:
    began = time.perf_counter()
    import numpy as np

    from digitvae.config import ConfigError
    from digitvae.data import read_part
    from digitvae.files import folder_written_whole
    from digitvae.shards import Shard, place
    from digitvae.shards.places import extra

    if arguments.png and arguments.format != "parquet":
        raise ConfigError("Expected --png with --format parquet. Received: --format npz")
    if arguments.format == "parquet":
        extra("pyarrow")
    images, labels = read_part(arguments.images, arguments.part)
    ids = arguments.first_id + np.arange(len(images), dtype="int64")
    rows = Shard(images, np.full(len(images), -1) if labels is None else labels, ids)
    if "://" in arguments.output:
        target = place(arguments.output)
        target.make()
        if target.names():
            raise FileExistsError(f"Expected a new or empty folder. Received: {arguments.output}")
        count = _write(arguments, rows, arguments.output)
    else:
        with folder_written_whole(Path(arguments.output).expanduser()) as folder:
            count = _write(arguments, rows, str(folder))
    found = {
        "rows": len(images),
        "shards": count,
        "output": arguments.output,
        "seconds": round(time.perf_counter() - began, 3),
    }
    if arguments.json:
        print(json.dumps({"verb": "shard", **found}, indent=2))
        return
    print(f"{len(images):,} images, {_shards(count)}")
    print(f"Written: {arguments.output}")


def _write(arguments: argparse.Namespace, rows: Shard, folder: str) -> int:
    """Write all shards, and return how many."""
    from digitvae.shards import place, write_shards

    count = 0
    written = write_shards(place(folder), [rows], arguments.rows, f".{arguments.format}", arguments.png)
    with progress_shown(not arguments.no_progress_bar), progress_bar(len(rows.ids), "shard", " rows") as bar:
        for _, size in written:
            count += 1
            bar.update(size)
    return count


def _shards(count: int) -> str:
    return f"{count:,} shard{'' if count == 1 else 's'}"


def _add_map(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Do one thing with every image of sharded data. A result depends on the image, its id and the seed, "
        "not on shards or workers. Called again after any interruption it does what is missing."
    )
    parser.add_argument("work_verb", choices=_VERBS, metavar="VERB", help=", ".join(_VERBS))
    parser.add_argument(
        "--model",
        metavar="MODEL",
        help="a run folder, latest, a shipped model, or one exported as onnx; for compress one exported as "
        f"codec (default: {_MODEL}; for compress {_CODEC})",
    )
    parser.add_argument(
        "--data", required=True, metavar="DIR", help="a folder of .parquet or .npz shards, or a URL of one"
    )
    parser.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="a new folder, or one of the same job; or a URL"
    )
    parser.add_argument(
        "--workers",
        type=from_one,
        metavar="N",
        help="processes, or actors on a cluster (default: the cores that this process may use)",
    )
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="work on a Ray cluster: HOST:PORT or auto on a machine of it, local to start one here",
    )
    parser.add_argument(
        "--draws",
        type=from_one,
        default=50,
        metavar="K",
        help="posterior draws per image, of score (default: 50)",
    )
    parser.add_argument(
        "--on-bad-row",
        choices=("fail", "skip"),
        default="fail",
        help="skip lists rows that are no good in SHARD.bad.json and goes on (default: fail)",
    )
    parser.add_argument(
        "--seed", type=between(0, _LARGEST), default=0, metavar="NUMBER", help="of all noise (default: 0)"
    )
    add_common_arguments(parser)
    _add_progress(parser)


def _map(arguments: argparse.Namespace) -> None:
    from digitvae.machine import usable_cores
    from digitvae.mapping import prepare, run
    from digitvae.shards import ShardedData
    from digitvae.shards.places import extra

    if arguments.ray is not None:
        extra("ray.data")
    data = ShardedData(arguments.data)
    job = prepare(
        arguments.work_verb,
        arguments.model or (_CODEC if arguments.work_verb == "compress" else _MODEL),
        data,
        arguments.output,
        arguments.seed,
        arguments.draws,
        arguments.backend,
        arguments.on_bad_row == "skip",
    )
    workers = arguments.workers or usable_cores()
    with progress_shown(not arguments.no_progress_bar):
        summary = run(job, data, workers, arguments.ray)
    if arguments.json:
        print(json.dumps(summary, indent=2))
        return
    done = summary["done_now"]
    rate = f", {done['rows_per_second']:,.0f} rows/s" if done["rows"] else ""
    print(f"{summary['rows']:,} rows, {_shards(summary['shards'])}, {done['shards']:,} of them now{rate}")
    if summary["bad_rows"]:
        print(f"{summary['bad_rows']:,} bad rows were set aside, in *.bad.json")
    print(f"Written: {arguments.output}")


def _add_output(parser: argparse.ArgumentParser) -> None:
    _add_progress(parser)
    parser.add_argument("--json", action="store_true", help="machine-readable result on stdout")
    parser.add_argument("--debug", action="store_true", help="full traceback when something fails")


def _add_progress(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-progress-bar", action="store_true", help="no progress on stderr")


VERBS = {"shard": _Verb(_add_shard, _shard), "map": _Verb(_add_map, _map)}
