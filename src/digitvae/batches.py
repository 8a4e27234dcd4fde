"""The batches of training: their order and their bits depend on the seed and the epoch alone."""

from __future__ import annotations

from typing import Any, final

import keras
import numpy as np

from digitvae import seeds
from digitvae.data import distorted, draw_bits
from digitvae.data.arrays import Part
from digitvae.rows import Share
from digitvae.speed import is_on
from digitvae.speed.on_tensorflow import pipeline
from digitvae.streaming import StreamedRows


@final
class ArrayRows:
    """Training images in memory, in an order that depends on (seed, epoch) alone; as `StreamedRows` are used.

    Args:
        images: uint8 (n, height, width).
        labels: int (n,), or None for images without labels.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray | None = None):
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def start_epoch(self, seed: int, epoch: int) -> None:
        """Choose the order of an epoch."""
        self.order = seeds.stream(seed, "order", epoch).permutation(len(self))

    def take(self, start: int, stop: int) -> Part:
        """Return rows of the epoch's order, from `start` to before `stop`."""
        return Part(self.images, self.labels).take(self.order[start:stop])


class ShuffledBatches(keras.utils.PyDataset):
    """Full batches of training images in an order, and with bits, that depend on (seed, epoch) alone.

    Args:
        rows: the images with their labels.
        batch_size: images per batch; images left over, others in each epoch, are skipped.
        seed: seed of the order and the bits.
        bits: draw each pixel black or white, with its grey level as the probability of white. The model would
            do it too, but within the training step; here threads do it ahead of the step.
        labelled: give the labels too, where there are any.
        augment: strength of random distortions of the images.
        share: which rows of every batch to give, where several processes train; by default all.
    """

    def __init__(
        self,
        rows: ArrayRows | StreamedRows,
        batch_size: int,
        seed: int,
        bits: bool,
        labelled: bool = True,
        augment: float = 0.0,
        share: Share = Share(),  # noqa: B008 - it is frozen
    ):
        super().__init__(workers=2, max_queue_size=8)  # made ahead by threads
        self.rows, self.batch_size, self.seed = rows, min(batch_size, len(rows)), seed
        self.bits, self.labelled, self.augment, self.share = bits, labelled, augment, share
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Choose the order and the bits of an epoch."""
        self.epoch = epoch
        self.rows.start_epoch(self.seed, epoch)

    def __len__(self) -> int:
        """Return the number of batches per epoch."""
        return len(self.rows) // self.batch_size

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        """Return batch `index` of the epoch.

        Returns:
            Images (batch_size, height, width), bool for bits, uint8 for grey; labels int32 (batch_size,),
            where there are any. Of these the rows of the share; where it is padded, labels (-1 for none) and
            weights follow.
        """
        part = self.rows.take(index * self.batch_size, (index + 1) * self.batch_size)
        images: np.ndarray = part.images
        labels = part.labels.astype("int32") if self.labelled and part.labels is not None else None
        rows, weights = self.share.rows(len(images))
        if self.augment:
            generator = seeds.stream(self.seed, "augmentation", self.epoch, index)
            images = distorted(images, self.augment, generator, rows)
        if self.bits:
            images = draw_bits(images, seeds.stream(self.seed, "bits", self.epoch, index))
        return _part(images, labels, rows, weights)

    def for_fit(self) -> Any:
        """Return what `fit` reads: these batches or, on TensorFlow, a pipeline of them."""
        if keras.backend.backend() != "tensorflow" or not is_on("pipeline"):
            return self
        return pipeline(self.__getitem__, len(self))


class SharedRows(keras.utils.PyDataset):
    """Images in batches of which several processes each give their rows: what validates a training of theirs.

    Args:
        images: uint8 (n, height, width).
        batch_size: images per batch of all processes together.
        share: which rows are this process's.
    """

    def __init__(self, images: np.ndarray, batch_size: int, share: Share):
        super().__init__()
        self.images, self.batch_size, self.share = images, batch_size, share
        sizes = [len(self._batch(i)) for i in range(len(self))]
        # One weight for all images, so that means over batches of different padding are those over images.
        self.scale = sum(map(share.padded, sizes)) / len(images)

    def __len__(self) -> int:
        """Return the number of batches."""
        return -(-len(self.images) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        """Return the process's rows of a batch: images, labels of -1 (there is none), weights."""
        images = self._batch(index)
        return _part(images, None, *self.share.rows(len(images), self.scale))

    def _batch(self, index: int) -> np.ndarray:
        return self.images[index * self.batch_size : (index + 1) * self.batch_size]


def _part(
    images: np.ndarray, labels: np.ndarray | None, rows: Any, weights: np.ndarray | None
) -> tuple[np.ndarray, ...]:
    """Return rows of a batch as Keras takes it."""
    if labels is None and weights is not None:
        # Without labels Keras drops the weights and says nothing.
        labels = np.full(len(images), -1, "int32")
    parts = images[rows], None if labels is None else labels[rows], weights
    return tuple(part for part in parts if part is not None)
