"""The digit classifier that provides the features for the metrics of samples.

A small convolutional network, trained by `scripts/train_classifier.py` on the training part of MNIST and
shipped as one file; `docs/classifier.md` states its accuracy. It expects 28 x 28 digits, light on dark.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import as_file, files
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt

from digitvae.model import compiles_with_xla
from digitvae.rows import checked_images, padded_batches


class Classifier:
    """A network that computes features and class probabilities of digits: arrays in, arrays out.

    Args:
        network: model from uint8 (n, height, width) to features (n, f) and probabilities (n, classes).
    """

    def __init__(self, network: keras.Model):
        self.network = network
        self.image_shape: tuple[int, int] = tuple(network.input_shape[1:])

    def features_and_probabilities(
        self, images: npt.ArrayLike, batch_size: int = 256
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Compute the features and class probabilities of images.

        Args:
            images: (n, height, width), in any form that `digitvae.rows.checked_images` takes.
            batch_size: images per batch; it changes the result by rounding errors only.

        Returns:
            Features float32 (n, f), non-negative, from the layer before the last; probabilities float32
            (n, classes), whose rows sum to 1; class i is the digit i.

        Raises:
            ValueError: no images, images of another size, or a batch_size below 1.
        """
        images = checked_images(images, self.image_shape)
        features, probabilities = (
            np.empty((len(images), output.shape[1]), "float32") for output in self.network.outputs
        )
        for rows, batch in padded_batches(images, batch_size):
            outputs = self.network.predict_on_batch(batch)
            features[rows], probabilities[rows] = (output[: rows.stop - rows.start] for output in outputs)
        return features, probabilities


@cache
def load_classifier() -> Classifier:
    """Return the shipped classifier; its file is read once per process.

    Raises:
        ValueError: the file is missing or damaged; reinstalling digitvae repairs it.
    """
    with as_file(files("digitvae.data").joinpath("files", "classifier.keras")) as path:
        return read_classifier(path)


def read_classifier(path: Path) -> Classifier:
    """Read a classifier written by `scripts/train_classifier.py`, in safe mode: no code, no pickles.

    Args:
        path: the `.keras` file.

    Raises:
        ValueError: the file is missing or damaged.
    """
    try:
        network = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises various types for a missing or damaged archive
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"Expected a whole classifier file. Received: {path} ({reason})") from error
    network.jit_compile = compiles_with_xla()
    return Classifier(network)
