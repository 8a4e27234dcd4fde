"""The rows of a shard, and what is checked of each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from digitvae.data.arrays import Images, Labels, as_images, check_size


class BadRow(NamedTuple):
    """A row that was set aside."""

    row: int
    """Its number in the shard's file, from 0."""
    id: int
    """Its id, -1 where it has none."""
    reason: str


class Shard(NamedTuple):
    """Some rows of a data set."""

    images: Images
    """uint8 (n, height, width)."""
    labels: Labels
    """int64 (n,), -1 for an image without a label."""
    ids: npt.NDArray[np.int64]
    """int64 (n,), from 0, all different in the data set."""

    def take(self, rows: slice | npt.NDArray[np.generic]) -> Shard:
        """Return some of the rows."""
        return Shard(self.images[rows], self.labels[rows], self.ids[rows])


class Summary(NamedTuple):
    """What is known of a shard before it is read."""

    rows: int
    ids: tuple[int, int] | None
    """The smallest and the largest id; None where the shard has none."""


class Rows:
    """The rows of one file while they are checked."""

    def __init__(
        self,
        name: str,
        count: int,
        first: int,
        labels: np.ndarray | None,
        ids: np.ndarray | None,
        image_shape: tuple[int, int] | None,
    ):
        self._name, self._shape = name, image_shape
        self._reasons: dict[int, str] = {}
        self._count = count
        self.labels = self._integers("label", labels, np.full(count, -1))
        self.ids = self._integers("id", ids, np.arange(first, first + count))
        self._refuse(self.labels < -1, "Expected a label from 0, or -1 for none. Received: a smaller one")
        self._refuse(self.ids < 0, "Expected an id from 0. Received: none, or a smaller one")
        once = np.zeros(count, bool)
        once[np.unique(self.ids, return_index=True)[1]] = True
        self._refuse(~once, "Expected an id that no other row has. Received: one of an earlier row")

    def of_array(self, images: np.ndarray) -> Images:
        """Take images that are one array."""
        if not len(images):
            return np.empty((0, *(self._shape or images.shape[1:3])), "uint8")
        checked = as_images(images, self._name)
        if len(checked) != self._count:
            raise ValueError(f"Expected images (n, height, width). Received: {self._name} with one image")
        wrong = self._wrong_size(checked.shape[1:])
        if wrong:
            self._refuse(np.ones(len(checked), bool), wrong)
            return np.empty((len(checked), *(self._shape or ())), "uint8")
        return checked

    def of_list(self, images: Sequence[Callable[[], np.ndarray]]) -> Images:
        """Take images one by one, each made by a call."""
        pixels: Images | None = None
        for row, make in enumerate(images):
            try:
                image = make()
                wrong = self._wrong_size(image.shape)
            except ValueError as error:
                wrong = str(error)
            if wrong:
                self._reasons.setdefault(row, wrong)
                continue
            if pixels is None:
                self._shape = image.shape[0], image.shape[1]
                pixels = np.zeros((len(images), *self._shape), "uint8")
            pixels[row] = image
        return np.empty((len(images), *(self._shape or (0, 0))), "uint8") if pixels is None else pixels

    def sifted(self, images: Images, bad: list[BadRow] | None) -> Shard:
        """Return the good rows; raise what is wrong with the first of the others, or list them."""
        shard = Shard(images, self.labels, self.ids)
        if not self._reasons:
            return shard
        rows = sorted(self._reasons)
        if bad is None:
            raise ValueError(f"{self._reasons[rows[0]]} (row {rows[0]} of {self._name})")
        bad += [BadRow(row, int(self.ids[row]), self._reasons[row]) for row in rows]
        return shard.take(np.setdiff1d(np.arange(self._count), rows))

    def _integers(self, kind: str, values: np.ndarray | None, default: np.ndarray) -> npt.NDArray[np.int64]:
        if values is None:
            return default.astype("int64")
        if values.dtype.kind not in "ui" or values.shape != (self._count,):
            raise ValueError(
                f"Expected an integer {kind} for each of {self._count} images. "
                f"Received: {self._name} with {values.dtype} of shape {values.shape}"
            )
        return values.astype("int64")

    def _refuse(self, rows: npt.NDArray[np.bool_], reason: str) -> None:
        for row in np.flatnonzero(rows):
            self._reasons.setdefault(int(row), reason)

    def _wrong_size(self, shape: tuple[int, ...]) -> str:
        """Return what is wrong with the size of an image; nothing if it is right."""
        if self._shape is None:
            height, width = shape
            check_size(height, width, f"{height}x{width} pixels")
        elif tuple(shape) != self._shape:
            wanted, found = ("x".join(map(str, size)) for size in (self._shape, shape))
            return f"Expected an image of {wanted} pixels. Received: {found}"
        return ""
