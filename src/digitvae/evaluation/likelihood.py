"""The bound's terms and the importance-weighted likelihood of every image.

The noise belongs to the image, not to the batch: image i always gets the stream of (seed, i). Its numbers
depend neither on the batch size nor on the other images, and are the same on every backend up to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from digitvae.distributions import Gaussian, Tensor
from digitvae.model import VAE, compiles_with_xla
from digitvae.progress import progress_bar
from digitvae.seeds import image_streams

DECODES_AT_ONCE = 512
"""Images times draws per call: bounds the memory for any number of draws and images."""


class ImageBounds(NamedTuple):
    """What `image_bounds` estimates of every image; float64, nats."""

    reconstruction: np.ndarray
    """Mean over draws of -log p(x|z), (n,)."""
    kl: np.ndarray
    """Mean over draws of log q(z|x) - log p(z), (n,)."""
    bound: np.ndarray
    """log 1/k sum_k p(x, z_k) / q(z_k|x) with all draws, (n,)."""
    curve: np.ndarray
    """The same with the first k draws, for each k asked for, (number of k, n)."""


def image_bounds(
    vae: VAE,
    images: np.ndarray,
    draws: int,
    seed: int = 0,
    indices: np.ndarray | None = None,
    progress: bool = False,
    curve: Sequence[int] = (),
    posteriors: tuple[np.ndarray, np.ndarray] | None = None,
) -> ImageBounds:
    """Estimate the bound's terms and the importance-weighted bound (Burda et al. 2016) of every image.

    Args:
        vae: the model.
        images: uint8 (n, height, width): bits (0 or 255) for a dynamic model, else grey values.
        draws: posterior draws per image, k.
        seed: seed of the noise.
        indices: positions of the images in their data set, (n,), which select their noise; by default 0 to
            n - 1.
        progress: show a progress bar on stderr where that is a terminal.
        curve: further numbers of draws, each at most `draws`, for which to return the bound.
        posteriors: means and log-scales of the posteriors to draw from, each (n, latent_dim); by default the
            encoder's.

    Returns:
        The terms of every image.

    Raises:
        ValueError: grey images for a dynamic model, or posteriors of another shape.
    """
    indices = np.arange(len(images)) if indices is None else indices
    means, log_scales = vae.encode_posterior(images) if posteriors is None else posteriors
    if not means.shape == log_scales.shape == (len(images), vae.latent_dim):
        raise ValueError(
            f"Expected means and log-scales of shape {(len(images), vae.latent_dim)}. "
            f"Received: shapes={means.shape}, {log_scales.shape}"
        )
    chunk = min(draws, 64)
    batch_size = even_batch_size(len(images), DECODES_AT_ONCE // chunk)
    function = TermsModel(vae)
    function.make_predict_function()

    def measure(start: int) -> tuple[slice, ImageBounds]:
        """Return which images a batch holds, and their bounds."""
        rows = slice(start, min(start + batch_size, len(images)))
        inputs = {
            "x": padded(pixels(vae, images[rows]), batch_size),
            "mean": padded(means[rows], batch_size),
            "log_scale": padded(log_scales[rows], batch_size),
        }
        count, done = rows.stop - start, 0
        sums, log_total = np.zeros((2, count)), np.full(count, -np.inf)
        bounds = np.empty((len(curve), count))
        for noise in _noise(seed, indices[rows], draws, chunk, vae.latent_dim):
            inputs["noise"] = padded(padded(noise, chunk, 1), batch_size)
            size = noise.shape[1]
            values = np.asarray(function.predict_on_batch(inputs), "float64")[:count, :, :size]
            sums += values.sum(axis=2).T
            log_weights = -values[:, 0] - values[:, 1]
            for row, k in enumerate(curve):
                if done < k <= done + size:
                    so_far = np.logaddexp(log_total, _log_sum_exp(log_weights[:, : k - done]))
                    bounds[row] = so_far - math.log(k)
            log_total = np.logaddexp(log_total, _log_sum_exp(log_weights))
            done += size
        reconstruction, kl = sums / draws
        return rows, ImageBounds(reconstruction, kl, log_total - math.log(draws), bounds)

    n = len(images)
    found = ImageBounds(np.empty(n), np.empty(n), np.empty(n), np.empty((len(curve), n)))
    pool = ThreadPoolExecutor(_threads())
    with progress_bar(n, f"k={draws}", " images", progress) as bar:
        try:
            # One thread prepares noise and sums while the other decodes.
            for rows, measured in pool.map(measure, range(0, n, batch_size)):
                for whole, part in zip(found, measured, strict=True):
                    whole[..., rows] = part
                bar.update(rows.stop - rows.start)
        finally:
            # After an interrupt the remaining batches are not computed.
            pool.shutdown(cancel_futures=True)
    return found


def _threads() -> int:
    """Return how many threads may run one Keras model: on JAX and PyTorch it keeps state between calls."""
    return 2 if keras.backend.backend() == "tensorflow" else 1


def _log_sum_exp(values: np.ndarray) -> np.ndarray:
    """Return log sum exp over the last axis."""
    largest = values.max(axis=-1)
    return largest + np.log(np.exp(values - largest[..., None]).sum(axis=-1))


class TermsModel(keras.Model):
    """The terms of the bound at given posteriors and noise, as a Keras model: every backend compiles it."""

    def __init__(self, vae: VAE):
        super().__init__(dtype="float32")
        self.vae = vae
        self.jit_compile = compiles_with_xla()
        self.run_eagerly = vae.run_eagerly

    def call(self, inputs: dict[str, Tensor]) -> Tensor:
        """Return -log p(x|z) and log q(z|x) - log p(z), (n, 2, k)."""
        posterior = Gaussian(inputs["mean"], inputs["log_scale"])
        terms = self.vae.bound_terms(inputs["x"], inputs["noise"], posterior)
        return ops.stack([terms.reconstruction, terms.log_ratio], 1)


def _noise(seed: int, indices: np.ndarray, draws: int, chunk: int, latent_dim: int) -> Iterator[np.ndarray]:
    """Yield chunks (n, k, latent_dim) of the images' own streams; their size does not change the noise."""
    streams = image_streams(seed, indices)
    for start in range(0, draws, chunk):
        size = min(chunk, draws - start)
        yield np.stack([stream.standard_normal((size, latent_dim), "float32") for stream in streams])


def pixels(vae: VAE, images: np.ndarray) -> np.ndarray:
    """Return the pixels that the likelihood models, float32 in [0, 1].

    Raises:
        ValueError: grey images for a dynamic model, whose bits would differ from call to call.
    """
    if vae.binarization == "dynamic" and not np.isin(images, (0, 255)).all():
        raise ValueError(
            "Expected bits, 0 or 255, for a model with binarization='dynamic'. Received: grey images"
        )
    return images.astype("float32") / 255


def even_batch_size(count: int, most: int) -> int:
    """Return a size of batches, at most `most` or else 1, of which the last needs little padding."""
    batches = math.ceil(count / max(1, most))
    return math.ceil(count / batches) if batches else 1


def padded(values: np.ndarray, size: int, axis: int = 0) -> np.ndarray:
    """Pad with zeros to one size, so that functions compile once."""
    missing = size - values.shape[axis]
    return (
        np.pad(values, [(0, missing if i == axis else 0) for i in range(values.ndim)]) if missing else values
    )
