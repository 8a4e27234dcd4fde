"""The batches of training: their order and their bits depend on the seed and the epoch alone."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from digitvae import seeds
from digitvae.data import distorted, draw_bits
from digitvae.speed import is_on
from digitvae.speed.on_tensorflow import pipeline


class ShuffledBatches(keras.utils.PyDataset):
    """Full batches of training images in an order, and with bits, that depend on (seed, epoch) alone.

    Args:
        images: uint8 (n, height, width).
        batch_size: images per batch; images left over, others in each epoch, are skipped.
        seed: seed of the order and the bits.
        bits: draw each pixel black or white, with its grey level as the probability of white. The model would
            do it too, but within the training step; here threads do it ahead of the step.
        labels: int (n,), or None for batches without labels.
        augment: strength of random distortions of the images.
    """

    def __init__(
        self,
        images: np.ndarray,
        batch_size: int,
        seed: int,
        bits: bool,
        labels: np.ndarray | None = None,
        augment: float = 0.0,
    ):
        super().__init__(workers=2, max_queue_size=8)  # made ahead by threads
        self.augment = augment
        self.labels = None if labels is None else labels.astype("int32")
        self.images, self.batch_size, self.seed = images, min(batch_size, len(images)), seed
        self.bits = bits
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Choose the order and the bits of an epoch."""
        self.epoch = epoch
        order = seeds.stream(self.seed, "order", epoch).permutation(len(self.images))
        self.order = order[: len(self) * self.batch_size].reshape(len(self), self.batch_size)

    def __len__(self) -> int:
        """Return the number of batches per epoch."""
        return len(self.images) // self.batch_size

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        """Return batch `index` of the epoch.

        Returns:
            Images (batch_size, height, width), bool for bits, uint8 for grey; labels int32 (batch_size,),
            where there are any.
        """
        images = self.images[self.order[index]]
        if self.augment:
            generator = seeds.stream(self.seed, "augmentation", self.epoch, index)
            images = distorted(images, self.augment, generator)
        if self.bits:
            images = draw_bits(images, seeds.stream(self.seed, "bits", self.epoch, index))
        return (images,) if self.labels is None else (images, self.labels[self.order[index]])

    def for_fit(self) -> Any:
        """Return what `fit` reads: these batches or, on TensorFlow, a pipeline of them."""
        if keras.backend.backend() != "tensorflow" or not is_on("pipeline"):
            return self
        return pipeline(self.__getitem__, len(self))
