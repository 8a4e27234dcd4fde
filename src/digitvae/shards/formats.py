"""The two formats of a shard, by the ending of its name: files to rows and back."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from digitvae.shards import npz, parquet
from digitvae.shards.rows import BadRow, Rows, Shard, Summary

SUFFIXES = (".parquet", ".npz")
# Times that a file is read before its SystemError is believed.
_TRIALS = 5


def summary(file: IO[bytes], name: str) -> Summary:
    """Return what the head (or foot) of a shard says.

    Raises:
        ValueError: the file is no shard.
    """
    return _guarded(_format(name).summary, file, name)


def read_ids(file: IO[bytes], name: str) -> npt.NDArray[np.int64] | None:
    """Return the ids of a shard alone, int64 (n,), -1 for a row without one; None where it has no ids.

    Raises:
        ValueError: the file is no shard.
    """
    return _guarded(_format(name).ids, file, name)


def decoded(
    content: bytes,
    name: str,
    first: int,
    image_shape: tuple[int, int] | None = None,
    bad: list[BadRow] | None = None,
) -> Shard:
    """Return the rows of a shard's file.

    Args:
        content: of the file.
        name: of the file; its ending tells the format, and messages name it.
        first: id of the first row where the file has no ids.
        image_shape: (height, width) that images must have; by default that of the first good one.
        bad: takes the rows that are no good, in place of an error.

    Raises:
        ValueError: the file is no shard; or, without `bad`, a row is no good.
    """
    images, labels, ids = _guarded(_format(name).columns, io.BytesIO(content), name)
    found = Rows(name, len(images), first, labels, ids, image_shape)
    pixels = found.of_array(images) if isinstance(images, np.ndarray) else found.of_list(images)
    return found.sifted(pixels, bad)


def encoded(shard: Shard, suffix: str, png: bool = False) -> bytes:
    """Return the content of a shard's file; the same rows give the same bytes.

    Args:
        shard: the rows.
        suffix: `.parquet` or `.npz`.
        png: whether Parquet holds images as PNG, else their plain bytes.
    """
    file = io.BytesIO()
    if suffix == ".npz":
        npz.write(file, {"images": shard.images, "labels": shard.labels, "ids": shard.ids})
    else:
        parquet.write(file, shard, png)
    return file.getvalue()


def encoded_table(rows: Shard, columns: Mapping[str, np.ndarray], suffix: str) -> bytes:
    """Return the content of a file with ids, labels and numbers; the same rows give the same bytes.

    Args:
        rows: whose ids and labels are written; not their images.
        columns: further columns by name, numbers (n,) or (n, size).
        suffix: `.parquet`, with the columns `id` and `label`, or `.npz`, with `ids` and `labels`.
    """
    file = io.BytesIO()
    if suffix == ".npz":
        npz.write(file, {"labels": rows.labels, "ids": rows.ids, **columns})
    else:
        parquet.write_table(file, rows, columns)
    return file.getvalue()


def _format(name: str) -> ModuleType:
    return npz if name.endswith(".npz") else parquet


def _guarded(function: Callable[[IO[bytes]], Any], file: IO[bytes], name: str) -> Any:
    """Call a reader of files, and say of any error that the file is no shard."""
    try:
        return _tried(function, file)
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # the type depends on where the damage is
        kind = ".npz" if name.endswith(".npz") else "Parquet"
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"Expected a whole {kind} file with images. Received: {name} ({reason})") from error


def _tried(function: Callable[[IO[bytes]], Any], file: IO[bytes]) -> Any:
    """Call a reader of files, and again after a SystemError.

    NumPy reads the head of an array by `ast`, which up to Python 3.11.7 and 3.12.1 fails now and then when
    threads use it at the same time (python/cpython#106905).
    """
    for _ in range(_TRIALS - 1):
        try:
            return function(file)
        except SystemError:
            file.seek(0)
    return function(file)
