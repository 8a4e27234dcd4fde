"""The format codec: the model for `digitvae compress`, in whole numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from digitvae.codec import FILE, CodecModel, codec_model, read_codec_model
from digitvae.codec.levels import import_coder
from digitvae.codec.shards import decoded, encoded
from digitvae.exporting.checking import check_differences, difference
from digitvae.light.archive import Archive
from digitvae.runs import Run

if TYPE_CHECKING:
    from digitvae.model import VAE

BACKEND = None
LARGEST_DIFFERENCE = 0.2
"""From Keras. Whole numbers change what is coded, not whether it comes back."""
_IMAGES = 32


def check() -> None:
    """Make sure that the coder is installed.

    Raises:
        ModuleNotFoundError: it is not.
    """
    import_coder()


def write(run: Run, folder: Path, load: Callable[[], VAE]) -> dict[str, Any]:
    """Write the file, read it again, code images with it, and compare its distributions with Keras.

    Returns:
        For the manifest: shape of images, number of latents and labels, and the differences.

    Raises:
        RuntimeError: images did not come back, or the model differs from Keras.
        ValueError: a damaged model, or one that cannot be coded with.
    """
    made = codec_model(Archive(run.folder / "model.keras"), run.folder.resolve().name)
    (folder / FILE).write_bytes(made.to_bytes())
    model = read_codec_model(folder / FILE)
    vae = load()
    images = vae.generate(_IMAGES, pixels="sample")
    shard = encoded(model, images)
    if not np.array_equal(decoded(model, len(images), shard.kept, shard.content), images):
        raise RuntimeError("Expected the images that were coded. Received: others")
    return {
        "image_shape": list(model.image_shape),
        "latent_dim": model.latent_dim,
        "labels": 0,
        "differences": _differences(vae, model, images),
    }


def _differences(vae: VAE, model: CodecModel, images: np.ndarray) -> dict[str, float]:
    """Compare q(z|x), and the means of the pixels at the bins next to its means, with Keras.

    Raises:
        RuntimeError: one is too far off, or no number.
    """
    origins, widths = model.arrays["origins"], model.arrays["widths"]
    posterior = model.posterior(model.numbers(images))
    places, inverse_scales = (
        part.reshape(len(images), -1) for part in (posterior.means, posterior.inverse_scales)
    )
    mean, log_scale = vae.encode_posterior(images)
    bins = np.clip(np.rint(places), 0, 255).astype("int64")
    latents = (origins + (bins - 128) * widths).astype("float32")
    pixels = vae.decode(latents).reshape(len(images), -1) / 255
    found = {
        "encoder.mean": difference(origins + (places - 128) * widths, mean),
        "encoder.log_scale": difference(np.log(widths / inverse_scales), log_scale),
        "decoder.pixels": difference(_pixels(model, bins), pixels),
    }
    check_differences(found, LARGEST_DIFFERENCE)
    return found


def _pixels(model: CodecModel, bins: np.ndarray) -> np.ndarray:
    """Return the means of p(x|z), 0 to 1, of (n, pixels) for bins (n, latent_dim)."""
    # E[x] = P(x >= 1) + ... + P(x >= levels - 1)
    edges = np.arange(1, model.levels) - 0.5
    means = []
    for row in bins:
        given = model.likelihood(row[None])
        below = given.below(np.tile(edges[:, None], model.pixels)) / given.total
        means.append((1 - below).mean(axis=0))
    return np.stack(means)
