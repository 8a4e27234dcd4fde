"""Images, latents and labels of a model's methods: checked, and cut into batches; needs no backend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from digitvae.data import as_images
from digitvae.progress import progress_bar


@final
@dataclass(frozen=True)
class Share:
    """The rows of every batch that one of several processes computes.

    Attributes:
        index: of the process, from 0.
        count: of processes.
        devices: of all processes together; each device takes as many rows as any other.
    """

    index: int = 0
    count: int = 1
    devices: int = 1

    def padded(self, size: int) -> int:
        """Return the rows of a batch that is padded so that all devices have the same number of them."""
        return -(-size // self.devices) * self.devices

    def rows(self, size: int, scale: float | None = None) -> tuple[Any, np.ndarray | None]:
        """Say which rows of a batch are this process's.

        Args:
            size: of the whole batch.
            scale: weight of a row where there are weights; by default such that the mean over the padded
                batch is the mean over the batch.

        Returns:
            The rows, as an index into the batch, and their weights, float32; None for weights of 1. A batch
            that devices cannot share evenly is padded by its last row, with a weight of 0.
        """
        padded = self.padded(size)
        start, stop = (padded * i // self.count for i in (self.index, self.index + 1))
        if padded == size and scale is None:
            return slice(start, stop), None
        rows = np.arange(start, stop)
        scale = padded / size if scale is None else scale
        return np.minimum(rows, size - 1), np.where(rows < size, scale, 0.0).astype("float32")


def checked_images(images: Any, image_shape: tuple[int, int]) -> np.ndarray:
    """Bring images to uint8.

    Args:
        images: an array, a list or a tensor of any backend, in any form that `digitvae.data.as_images` takes.
        image_shape: (height, width) that they must have.

    Returns:
        uint8 (n, height, width), 0..255.

    Raises:
        ValueError: images of another size, or not images at all.
    """
    return as_images(images, image_shape=image_shape)


def label_weights(labels: Any, count: int, rows: int) -> np.ndarray:
    """Bring labels to weights of the labels.

    Args:
        labels: whole numbers (rows,) from 0 to count - 1; or weights, float (rows, count), not negative and
            with sums of 1.
        count: number of labels.
        rows: how many there must be.

    Returns:
        float32 (rows, count): for a label, a one in its column and zeros elsewhere.

    Raises:
        ValueError: labels of another shape or kind, or outside of the range.
    """
    labels = np.asarray(labels)
    if labels.shape == (rows,) and np.issubdtype(labels.dtype, np.integer):
        outside = labels[(labels < 0) | (labels >= count)]
        if outside.size:
            raise ValueError(f"Expected labels from 0 to {count - 1}. Received: {outside[0]}")
        return np.eye(count, dtype="float32")[labels]
    if labels.shape != (rows, count) or not np.issubdtype(labels.dtype, np.floating):
        raise ValueError(
            f"Expected labels, whole numbers of shape ({rows},), or weights of shape ({rows}, {count}). "
            f"Received: {labels.dtype}, shape={labels.shape}"
        )
    if not (labels >= 0).all() or not np.allclose(labels.sum(axis=1), 1, atol=1e-4):
        raise ValueError("Expected weights of labels from 0 with sums of 1. Received: others")
    return labels.astype("float32")


def padded_batches(values: np.ndarray, size: int, doing: str = "") -> Iterator[tuple[slice, np.ndarray]]:
    """Cut into batches of one shape, the last one padded, so that functions compile once.

    Args:
        values: (n, ...).
        size: rows of a batch; fewer where there are few values.
        doing: what a progress bar says of it, inside of `progress_shown`; nothing for no bar.

    Yields:
        Which rows a batch holds, and the batch.

    Raises:
        ValueError: a size below 1.
    """
    if size < 1:
        raise ValueError(f"Expected batch_size to be at least 1. Received: batch_size={size}")
    # Few shapes, so that few functions are compiled, yet one image does not cost as much as a full batch.
    size = min(size, next((small for small in (1, 16) if len(values) <= small), size))
    with progress_bar(len(values), doing, " rows") if doing else nullcontext() as bar:
        for start in range(0, len(values), size):
            batch = values[start : start + size]
            padding = [(0, size - len(batch))] + [(0, 0)] * (values.ndim - 1)
            yield slice(start, start + len(batch)), np.pad(batch, padding) if len(batch) < size else batch
            if bar is not None:
                bar.update(len(batch))
