"""What a training step gets: batches in an order, and with bits, that a resume finds again."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from digitvae.data import draw_bits

# What TensorFlow takes from NumPy in one piece: a megabyte of digits, where each batch for itself costs more.
BATCHES_AT_ONCE = 10


class ShuffledBatches(keras.utils.PyDataset):
    """Full batches of training images in an order, and with bits, that depend on (seed, epoch) alone.

    Args:
        images: uint8 (n, height, width).
        batch_size: images a batch; what fills no batch is left out, other images each epoch.
        seed: seed of the order and the bits.
        bits: draw each pixel black or white, with its grey level as the probability of white. The model would
            do it too, but there it holds up the step, and here it happens ahead of it.
    """

    def __init__(self, images: np.ndarray, batch_size: int, seed: int, bits: bool):
        super().__init__(workers=2, max_queue_size=8)  # made ahead by threads
        self.images, self.batch_size, self.seed = images, min(batch_size, len(images)), seed
        self.bits = bits
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Take the order and the bits of an epoch."""
        self.epoch = epoch
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.images))
        self.order = order[: len(self) * self.batch_size].reshape(len(self), self.batch_size)

    def __len__(self) -> int:
        """Return the number of batches an epoch."""
        return len(self.images) // self.batch_size

    def __getitem__(self, index: int) -> tuple[np.ndarray]:
        """Return batch `index` of the epoch: (batch_size, height, width), bool for bits, uint8 for grey."""
        return (self._batch(index),)

    def _batch(self, index: int) -> np.ndarray:
        images = self.images[self.order[index]]
        if not self.bits:
            return images
        # To NumPy, zeros at the end of a seed are as none: the order has index 0.
        return draw_bits(images, np.random.default_rng([self.seed, self.epoch, 1 + index]))

    def for_fit(self) -> Any:
        """Return what `fit` reads; on TensorFlow a pipeline that asks Python for some batches at once."""
        if keras.backend.backend() != "tensorflow":
            return self
        import tensorflow as tf

        def several(start: int) -> np.ndarray:
            return np.stack([self._batch(i) for i in range(start, min(start + BATCHES_AT_ONCE, len(self)))])

        def load(start: tf.Tensor) -> tuple[tf.Tensor]:
            images = tf.numpy_function(several, [start], tf.bool if self.bits else tf.uint8)
            images.set_shape((None, self.batch_size, *self.images.shape[1:]))
            return (images,)

        data = tf.data.Dataset.range(0, len(self), BATCHES_AT_ONCE).map(load)
        options = tf.data.Options()
        # Tuning sleeps in a thread that can hold up the end of an epoch by as much again as the epoch took.
        options.autotune.enabled = False
        data = data.prefetch(1).unbatch().with_options(options)
        return data.apply(tf.data.experimental.assert_cardinality(len(self)))
