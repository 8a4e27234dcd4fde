"""The bound's terms and the importance-weighted likelihood of every image.

The noise belongs to the image, not to the batch: image i always meets the stream of (seed, i). So the numbers
of an image depend neither on the batch size nor on the other images, and are the same on every backend up to
rounding.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops
from tqdm import tqdm

from digitvae.distributions import Gaussian
from digitvae.model import VAE, compiles_with_xla
from digitvae.objectives import terms

DECODES_AT_ONCE = 2048
"""Images times draws in one call: bounds the memory, whatever the number of draws and images."""


class ImageTerms(NamedTuple):
    """What `likelihood_terms` estimates; float64, nats per image."""

    reconstruction: np.ndarray
    """Mean over draws of -log p(x|z), (n,)."""
    kl: np.ndarray
    """Mean over draws of log q(z|x) - log p(z), (n,)."""
    bound: np.ndarray
    """log 1/k sum_k p(x, z_k) / q(z_k|x) with all draws, (n,)."""
    curve: np.ndarray
    """The same with the first k draws, for each k asked for, (number of k, n)."""


def likelihood_terms(
    vae: VAE,
    images: np.ndarray,
    draws: int,
    seed: int = 0,
    indices: np.ndarray | None = None,
    progress: bool = False,
    curve: Sequence[int] = (),
) -> ImageTerms:
    """Estimate the bound's terms and the importance-weighted bound (Burda et al. 2016) of every image.

    Args:
        vae: the model.
        images: uint8 (n, height, width): bits (0 or 255) for a dynamic model, grey values else.
        draws: posterior draws an image, k.
        seed: seed of the noise.
        indices: the images' numbers, (n,), which choose their noise; by default 0 to n - 1.
        progress: show a progress bar on stderr where that is a terminal.
        curve: numbers of draws, each at most `draws`, at which the bound is wanted too.

    Returns:
        The terms of every image.
    """
    indices = np.arange(len(images)) if indices is None else indices
    chunk = min(draws, 64)
    batch_size = max(1, min(DECODES_AT_ONCE // chunk, len(images)))
    function = Terms(vae)
    sums = np.zeros((2, len(images)))
    log_total = np.full(len(images), -np.inf)
    bounds = np.empty((len(curve), len(images)))
    with tqdm(
        total=len(images),
        desc=f"k={draws}",
        unit=" images",
        leave=False,
        disable=not (progress and sys.stderr.isatty()),
    ) as bar:
        for start in range(0, len(images), batch_size):
            rows = slice(start, min(start + batch_size, len(images)))
            x = _padded(images[rows], batch_size)
            done = 0
            for noise in _noise(seed, indices[rows], draws, chunk, vae.latent_dim):
                inputs = {"images": x, "noise": _padded(_padded(noise, chunk, 1), batch_size)}
                size = noise.shape[1]
                out = np.asarray(function.predict_on_batch(inputs), "float64")
                values = out[: rows.stop - start, :, :size]
                sums[:, rows] += values.sum(axis=2).T
                log_weights = -values[:, 0] - values[:, 1]
                for row, k in enumerate(curve):
                    if done < k <= done + size:
                        so_far = np.logaddexp(log_total[rows], _log_sum_exp(log_weights[:, : k - done]))
                        bounds[row, rows] = so_far - math.log(k)
                log_total[rows] = np.logaddexp(log_total[rows], _log_sum_exp(log_weights))
                done += size
            bar.update(rows.stop - start)
    return ImageTerms(sums[0] / draws, sums[1] / draws, log_total - math.log(draws), bounds)


def _log_sum_exp(values: np.ndarray) -> np.ndarray:
    """Return log sum exp over the last axis."""
    largest = values.max(axis=-1)
    return largest + np.log(np.exp(values - largest[..., None]).sum(axis=-1))


class Terms(keras.Model):
    """The terms of the bound at given noise, as a Keras model, so that every backend compiles it.

    Args:
        vae: the model that is measured.
    """

    def __init__(self, vae: VAE):
        super().__init__(dtype="float32")
        self.vae = vae
        self.jit_compile = compiles_with_xla()

    def call(self, inputs: dict[str, Any]):
        """Return -log p(x|z) and log q(z|x) - log p(z), (n, 2, k), for images and noise (n, k, d)."""
        vae = self.vae
        x = vae.observe(inputs["images"])
        posterior = vae.posterior(x)
        posterior = Gaussian(ops.expand_dims(posterior.mean, 1), ops.expand_dims(posterior.log_scale, 1))
        z = posterior.from_noise(inputs["noise"])
        likelihood = vae.likelihood(vae.decode_params(z))
        return ops.stack(
            terms(ops.expand_dims(x, 1), z, posterior, vae.prior.distribution(vae.posterior), likelihood), 1
        )


def _noise(seed: int, indices: np.ndarray, draws: int, chunk: int, latent_dim: int) -> Iterator[np.ndarray]:
    """Yield (n, k, latent_dim) pieces of each image's own stream; their size does not change the stream."""
    streams = [np.random.Generator(np.random.Philox(key=[seed, int(i)])) for i in indices]
    for start in range(0, draws, chunk):
        size = min(chunk, draws - start)
        yield np.stack([stream.standard_normal((size, latent_dim), "float32") for stream in streams])


def _padded(values: np.ndarray, size: int, axis: int = 0) -> np.ndarray:
    """Pad with zeros to one size, so that functions compile once."""
    missing = size - values.shape[axis]
    return (
        np.pad(values, [(0, missing if i == axis else 0) for i in range(values.ndim)]) if missing else values
    )
