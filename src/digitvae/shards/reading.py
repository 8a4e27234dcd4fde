"""A data set in shards: what there is, in a fixed order, and one shard at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np

from digitvae.shards.formats import SUFFIXES, decoded, read_ids, summary
from digitvae.shards.places import Place, place
from digitvae.shards.rows import BadRow, Shard, Summary

# Most of the time to look at a shard behind a URL is waiting.
_THREADS = 16


class ShardFile(NamedTuple):
    """One file of a data set."""

    name: str
    rows: int
    """Rows in the file."""
    first: int
    """Number of its first row in the data set; the id of that row where the file has no ids."""
    ids: tuple[int, int] | None
    """The smallest and the largest id in the file; None where it has no ids."""


class ShardedData:
    """A folder of shards; it can be sent to other processes.

    Args:
        folder: a path, or a URL that fsspec or pyarrow understands. Its files that end in `.parquet` or
            `.npz` are the shards, in the order of their names; those of hidden or `_` names are not.

    Attributes:
        place: the folder.
        shards: the files, in order; nothing but their heads was read.
        rows: of all shards together.

    Raises:
        ImportError: pyarrow or fsspec is needed and not installed.
        OSError: the folder cannot be read.
        ValueError: it holds no shards, or a file that is none.
    """

    place: Place
    shards: tuple[ShardFile, ...]
    rows: int

    def __init__(self, folder: str | Path):
        self.place = place(folder)
        names = [name for name in self.place.names() if name.endswith(SUFFIXES)]
        if not names:
            raise ValueError(
                f"Expected a folder of shards ({', '.join(SUFFIXES)}). Received: {folder} (it has none)"
            )
        with ThreadPoolExecutor(_THREADS) as pool:
            heads = list(pool.map(self._summary, names))
        starts = accumulate((head.rows for head in heads), initial=0)
        self.shards = tuple(
            ShardFile(name, head.rows, first, head.ids)
            for name, head, first in zip(names, heads, starts, strict=False)
        )
        self.rows = sum(head.rows for head in heads)

    @cached_property
    def image_shape(self) -> tuple[int, int]:
        """(height, width) of the images: that of the first good row of the first shard that has one.

        Raises:
            ValueError: there is none.
        """
        for shard in self.shards:
            bad: list[BadRow] = []
            images = self.read(shard, None, bad).images
            if len(images):
                return images.shape[1], images.shape[2]
        raise ValueError(f"Expected at least one image. Received: {self.place} (it has none)")

    def read(
        self,
        shard: ShardFile,
        image_shape: tuple[int, int] | None = None,
        bad: list[BadRow] | None = None,
    ) -> Shard:
        """Return the rows of a shard, in the order of its file.

        Args:
            shard: one of `shards`.
            image_shape: (height, width) that the images must have; by default that of the shard's first.
            bad: takes the rows that are no good, in place of an error.

        Returns:
            images uint8 (n, height, width), labels int64 (n,) with -1 for none, ids int64 (n,).

        Raises:
            OSError: the file cannot be read.
            ValueError: it is no shard any more; or, without `bad`, a row is no good: no image, one of another
                size, a label below -1, an id below 0 or that the shard has twice.
        """
        return decoded(self.place.read(shard.name), self._full(shard.name), shard.first, image_shape, bad)

    def check_ids(self) -> None:
        """Make sure that no id is in two shards; none is read whose range of ids overlaps no other.

        Raises:
            ValueError: an id is in two shards.
        """
        spans = [(shard.ids or (shard.first, shard.first + shard.rows - 1), shard) for shard in self.shards]
        spans = sorted(((ids, shard) for ids, shard in spans if shard.rows), key=lambda span: span[0])
        group: list[ShardFile] = []
        last = -1
        for (low, high), shard in spans:
            if low > last:
                self._check_group(group)
                group = []
            group.append(shard)
            last = max(last, high)
        self._check_group(group)

    def _check_group(self, group: list[ShardFile]) -> None:
        if len(group) < 2:
            return
        parts = [self._ids(shard) for shard in group]
        ids, shards = np.concatenate(parts), np.repeat(np.arange(len(group)), [len(part) for part in parts])
        ids, shards = ids[ids >= 0], shards[ids >= 0]
        order = np.lexsort((shards, ids))
        same = (np.diff(ids[order]) == 0) & (np.diff(shards[order]) != 0)
        if same.any():
            at = int(np.argmax(same))
            one, other = (group[shards[order[i]]].name for i in (at, at + 1))
            raise ValueError(
                f"Expected ids that differ in all of {self.place}. "
                f"Received: id {ids[order[at]]} in {one} and in {other}"
            )

    def _ids(self, shard: ShardFile) -> np.ndarray:
        with self.place.open(shard.name) as file:
            ids = read_ids(file, self._full(shard.name))
        return np.arange(shard.first, shard.first + shard.rows) if ids is None else ids

    def _summary(self, name: str) -> Summary:
        with self.place.open(name) as file:
            return summary(file, self._full(name))

    def _full(self, name: str) -> str:
        return f"{self.place}/{name}"
