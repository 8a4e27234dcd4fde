"""Rows to shards of one size, each file whole or not there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from digitvae.shards.formats import encoded
from digitvae.shards.places import Place
from digitvae.shards.rows import Shard


def write_shards(
    folder: Place, parts: Iterable[Shard], rows: int, suffix: str = ".parquet", png: bool = False
) -> Iterator[tuple[str, int]]:
    """Write rows as `shard-00000.parquet` and so on, in the order in which they come.

    Args:
        folder: exists already.
        parts: the rows, cut in any way; images of one size.
        rows: of every shard but the last one, from 1.
        suffix: `.parquet` or `.npz`.
        png: whether Parquet holds images as PNG (smaller, slower to read), else as plain bytes.

    Yields:
        The name of each file and its number of rows, once it is written.

    Raises:
        OSError: a file cannot be written.
    """
    for number, shard in enumerate(_cut(parts, rows)):
        name = f"shard-{number:05}{suffix}"
        folder.write(name, encoded(shard, suffix, png))
        yield name, len(shard.ids)


def _cut(parts: Iterable[Shard], rows: int) -> Iterator[Shard]:
    held: list[Shard] = []
    count = 0
    for part in parts:
        start = 0
        while start < len(part.ids):
            piece = part.take(slice(start, start + rows - count))
            held.append(piece)
            count, start = count + len(piece.ids), start + len(piece.ids)
            if count == rows:
                yield _joined(held)
                held, count = [], 0
    if held:
        yield _joined(held)


def _joined(parts: list[Shard]) -> Shard:
    return Shard(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
