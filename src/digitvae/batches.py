"""The batches of training: their order and their bits depend on the seed and the epoch alone."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from digitvae import seeds
from digitvae.data import distorted, draw_bits
from digitvae.rows import Share
from digitvae.speed import is_on
from digitvae.speed.on_tensorflow import pipeline
from digitvae.streaming import StreamedRows


class ShuffledBatches(keras.utils.PyDataset):
    """Full batches of training images in an order, and with bits, that depend on (seed, epoch) alone.

    Args:
        images: uint8 (n, height, width); or the rows of shards, which bring their labels.
        batch_size: images per batch; images left over, others in each epoch, are skipped.
        seed: seed of the order and the bits.
        bits: draw each pixel black or white, with its grey level as the probability of white. The model would
            do it too, but within the training step; here threads do it ahead of the step.
        labels: int (n,), or None for batches without labels; of shards whether to give them, as not None.
        augment: strength of random distortions of the images.
        share: which rows of every batch to give, where several processes train; by default all.
    """

    def __init__(
        self,
        images: np.ndarray | StreamedRows,
        batch_size: int,
        seed: int,
        bits: bool,
        labels: np.ndarray | None = None,
        augment: float = 0.0,
        share: Share = Share(),  # noqa: B008 - it is frozen
    ):
        super().__init__(workers=2, max_queue_size=8)  # made ahead by threads
        self.augment, self.share = augment, share
        self.labels = None if labels is None else labels.astype("int32")
        self.images, self.batch_size, self.seed = images, min(batch_size, len(images)), seed
        self.bits = bits
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Choose the order and the bits of an epoch."""
        self.epoch = epoch
        if isinstance(self.images, StreamedRows):
            self.images.start_epoch(self.seed, epoch)
            return
        order = seeds.stream(self.seed, "order", epoch).permutation(len(self.images))
        self.order = order[: len(self) * self.batch_size].reshape(len(self), self.batch_size)

    def __len__(self) -> int:
        """Return the number of batches per epoch."""
        return len(self.images) // self.batch_size

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        """Return batch `index` of the epoch.

        Returns:
            Images (batch_size, height, width), bool for bits, uint8 for grey; labels int32 (batch_size,),
            where there are any. Of these the rows of the share; where it is padded, labels (-1 for none) and
            weights follow.
        """
        images, labels = self._batch(index)
        rows, weights = self.share.rows(len(images))
        if self.augment:
            generator = seeds.stream(self.seed, "augmentation", self.epoch, index)
            images = distorted(images, self.augment, generator, rows)
        if self.bits:
            images = draw_bits(images, seeds.stream(self.seed, "bits", self.epoch, index))
        return _part(images, labels, rows, weights)

    def _batch(self, index: int) -> tuple[np.ndarray, np.ndarray | None]:
        if isinstance(self.images, StreamedRows):
            images, labels = self.images.take(index * self.batch_size, (index + 1) * self.batch_size)
            return images, None if self.labels is None or labels is None else labels.astype("int32")
        chosen = self.order[index]
        return self.images[chosen], None if self.labels is None else self.labels[chosen]

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
