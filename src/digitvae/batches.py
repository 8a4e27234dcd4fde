"""The batches of training: their order and their bits depend on the seed and the epoch alone."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import keras
import numpy as np

from digitvae import seeds
from digitvae.data import draw_bits
from digitvae.speed import is_on
from digitvae.speed.on_tensorflow import pipeline

BATCHES_AHEAD, BYTES_AHEAD = 40, 8 * 2**20
"""What a thread makes in one piece while the model takes its steps: all that a compiled loop of steps on JAX
asks for, in as much memory at most."""


class ShuffledBatches(keras.utils.PyDataset):
    """Full batches of training images in an order, and with bits, that depend on (seed, epoch) alone.

    Args:
        images: uint8 (n, height, width).
        batch_size: images per batch; images left over, others in each epoch, are skipped.
        seed: seed of the order and the bits.
        bits: draw each pixel black or white, with its grey level as the probability of white. The model would
            do it too, but within the training step; here threads do it ahead of the step.
    """

    def __init__(self, images: np.ndarray, batch_size: int, seed: int, bits: bool):
        super().__init__(workers=1)  # Keras' own threads cost half a millisecond per batch
        self.images, self.batch_size, self.seed = images, min(batch_size, len(images)), seed
        self.bits = bits
        self._thread = ThreadPoolExecutor(1)
        self._pieces: dict[int, Future[list[np.ndarray]]] = {}
        self._piece = max(1, min(BATCHES_AHEAD, BYTES_AHEAD // images[: self.batch_size].nbytes))
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Choose the order and the bits of an epoch."""
        self.epoch = epoch
        self._pieces = {}
        order = seeds.stream(self.seed, "order", epoch).permutation(len(self.images))
        self.order = order[: len(self) * self.batch_size].reshape(len(self), self.batch_size)

    def __len__(self) -> int:
        """Return the number of batches per epoch."""
        return len(self.images) // self.batch_size

    def __getitem__(self, index: int) -> tuple[np.ndarray]:
        """Return batch `index` of the epoch: (batch_size, height, width), bool for bits, uint8 for grey."""
        start = index - index % self._piece
        wanted = (start, start + self._piece)
        self._pieces = {
            key: self._pieces.get(key) or self._thread.submit(self._several, key) for key in wanted
        }
        return (self._pieces[start].result()[index - start],)

    def _several(self, start: int) -> list[np.ndarray]:
        return [self._batch(i) for i in range(start, min(start + self._piece, len(self)))]

    def _batch(self, index: int) -> np.ndarray:
        images = self.images[self.order[index]]
        if not self.bits:
            return images
        return draw_bits(images, seeds.stream(self.seed, "bits", self.epoch, index))

    def for_fit(self) -> Any:
        """Return what `fit` reads: these batches or, on TensorFlow, a pipeline of them."""
        if keras.backend.backend() != "tensorflow" or not is_on("pipeline"):
            return self
        return pipeline(self._batch, len(self))
