"""The format saved-model: TensorFlow's, with a signature for each part of the model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digitvae.config import ConfigError
from digitvae.exporting.checking import PARTS_OF_PRIOR, Arrays, differences, functions
from digitvae.runs import Run

if TYPE_CHECKING:
    from digitvae.model import VAE

BACKEND = "tensorflow"


def check() -> None:
    """Keras says what is missing when it starts."""


def write(run: Run, folder: Path, load: Callable[[], VAE]) -> dict[str, Any]:
    """Write the SavedModel, load it again, and compare it with Keras.

    Returns:
        For the manifest: shape of images, number of latents and labels, and the differences.

    Raises:
        RuntimeError: it differs from Keras.
        ConfigError: Keras runs on another backend than TensorFlow.
        ValueError: a damaged model.
    """
    vae = load()
    import keras

    if keras.backend.backend() != BACKEND:
        raise ConfigError(
            f"Expected Keras on TensorFlow for the format saved-model (KERAS_BACKEND={BACKEND}). "
            f"Received: backend {keras.backend.backend()}"
        )
    import tensorflow as tf

    height, width = vae.image_shape
    shapes: dict[str, dict[str, tuple[int, ...]]] = {
        "encoder": {"images": (height, width)},
        "decoder": {"latents": (vae.latent_dim,)},
        "prior_sample": {"noise": (vae.latent_dim,)},
        "prior_noise": {"latents": (vae.latent_dim,)},
    }
    archive = keras.export.ExportArchive()
    for part, function in functions(vae).items():
        inputs = shapes[part]
        if vae.labels and part in PARTS_OF_PRIOR:
            inputs["labels"] = (vae.labels,)
        signature = [tf.TensorSpec((None, *shape), "float32", name) for name, shape in inputs.items()]
        archive.add_endpoint(part, function, signature)
    archive.write_out(folder, verbose=False)

    loaded = tf.saved_model.load(folder)

    def compute(part: str, inputs: Arrays) -> Arrays:
        found = loaded.signatures[part](**{name: tf.constant(array) for name, array in inputs.items()})
        return {name: value.numpy() for name, value in found.items()}

    return {
        "image_shape": list(vae.image_shape),
        "latent_dim": vae.latent_dim,
        "labels": vae.labels,
        "differences": differences(vae, compute),
    }
