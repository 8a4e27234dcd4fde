"""Measuring a model: the bound, the importance-weighted likelihood and reconstructions, on fixed test bits.

The noise belongs to the image, not to the batch: image i always meets the stream of (seed, i). So the numbers
of an image depend neither on the batch size nor on the other images, and are the same on every backend up to
rounding.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops
from tqdm import tqdm

from digitvae.data import Dataset, fixed_bits
from digitvae.distributions import Bernoulli, DiscretisedLogisticMixture, Gaussian
from digitvae.model import VAE, compiles_with_xla
from digitvae.objectives import terms

DECODES_AT_ONCE = 2048
"""Images times draws in one call: bounds the memory, whatever the number of draws and images."""


def evaluate(
    vae: VAE,
    dataset: Dataset,
    draws: int = 10,
    nll_draws: int = 200,
    nll_images: int = 1000,
    seed: int = 0,
    progress: bool = False,
) -> dict[str, Any]:
    """Measure a model on the test set of a data set.

    Args:
        vae: the model.
        dataset: its data; the test images are measured, the training images only fit the PCA beside it.
        draws: posterior draws an image for elbo, reconstruction and kl, on all test images.
        nll_draws: k of the importance-weighted bound.
        nll_images: number of test images for it, evenly spaced over the test set.
        seed: seed of the noise.
        progress: show a progress bar on stderr where that is a terminal.

    Returns:
        {"protocol": ..., "test": {...}} with the names of the run folder's `evaluation.json`; elbo,
        reconstruction, kl and nll in nats per image, mse and pca_mse per pixel of [0, 1].

    Raises:
        ValueError: images of another size than the model's, or counts below 1.
    """
    for name, value in {"draws": draws, "nll_draws": nll_draws, "nll_images": nll_images}.items():
        if value < 1:
            raise ValueError(f"Expected {name} to be at least 1. Received: {name}={value}")
    if dataset.image_shape != vae.image_shape:
        raise ValueError(f"Expected images of {vae.image_shape} pixels. Received: {dataset.image_shape}")
    images = fixed_bits(dataset.test_images) if vae.binarization == "dynamic" else dataset.test_images
    reconstruction, log_ratio, _ = likelihood_terms(vae, images, draws, seed, progress=progress)
    subset = np.unique(np.linspace(0, len(images), min(nll_images, len(images)), endpoint=False).astype(int))
    _, _, bound = likelihood_terms(vae, images[subset], nll_draws, seed, subset, progress)
    nll = -float(bound.mean())
    return {
        "protocol": protocol(vae),
        "test": {
            "images": len(images),
            "elbo": -float(reconstruction.mean() + log_ratio.mean()),
            "elbo_draws": draws,
            "reconstruction": float(reconstruction.mean()),
            "kl": float(log_ratio.mean()),
            "nll": nll,
            "nll_k": nll_draws,
            "nll_images": len(subset),
            "bits_per_dim": nll / (math.prod(vae.image_shape) * math.log(2)),
            "mse": mean_squared_error(dataset.test_images, vae.reconstruct(dataset.test_images)),
            "pca_mse": pca_mse(dataset.train_images, dataset.test_images, vae.latent_dim),
        },
    }


def protocol(vae: VAE) -> str:
    """Name what the nats are nats of; numbers of different protocols cannot be compared.

    Returns:
        "dynamic" (bits drawn from the grey values), "grey-256" (256 grey levels) or "grey-density" (a
        density on [0, 1], whose nats can be negative).
    """
    if vae.likelihood is Bernoulli:
        return "dynamic"
    return "grey-256" if vae.likelihood is DiscretisedLogisticMixture else "grey-density"


def likelihood_terms(
    vae: VAE,
    images: np.ndarray,
    draws: int,
    seed: int = 0,
    indices: np.ndarray | None = None,
    progress: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Estimate the bound's terms and the importance-weighted bound (Burda et al. 2016) of every image.

    Args:
        vae: the model.
        images: uint8 (n, height, width): bits (0 or 255) for a dynamic model, grey values else.
        draws: posterior draws an image, k.
        seed: seed of the noise.
        indices: the images' numbers, (n,), which choose their noise; by default 0 to n - 1.
        progress: show a progress bar on stderr where that is a terminal.

    Returns:
        reconstruction (mean over draws of -log p(x|z)), KL (mean of log q(z|x) - log p(z)) and
        log 1/k sum_k p(x, z_k) / q(z_k|x); each float64 (n,), nats per image.
    """
    indices = np.arange(len(images)) if indices is None else indices
    chunk = min(draws, 64)
    batch_size = max(1, min(DECODES_AT_ONCE // chunk, len(images)))
    function = Terms(vae)
    sums = np.zeros((2, len(images)))
    log_total = np.full(len(images), -np.inf)
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
            for noise in _noise(seed, indices[rows], draws, chunk, vae.latent_dim):
                out = function.predict_on_batch(
                    {"images": x, "noise": _padded(_padded(noise, chunk, 1), batch_size)}
                )
                values = np.asarray(out, "float64")[: rows.stop - start, :, : noise.shape[1]]
                sums[:, rows] += values.sum(axis=2).T
                log_weights = -values[:, 0] - values[:, 1]
                largest = log_weights.max(axis=1)
                chunk_total = largest + np.log(np.exp(log_weights - largest[:, None]).sum(axis=1))
                log_total[rows] = np.logaddexp(log_total[rows], chunk_total)
            bar.update(rows.stop - start)
    return sums[0] / draws, sums[1] / draws, log_total - math.log(draws)


def mean_squared_error(images: np.ndarray, others: np.ndarray) -> float:
    """Return the mean over images and pixels of the squared difference, pixels in [0, 1].

    Args:
        images: uint8 (n, height, width).
        others: uint8 (n, height, width).
    """
    total = sum(
        float(np.square((images[i : i + 1000].astype("float64") - others[i : i + 1000]) / 255).sum())
        for i in range(0, len(images), 1000)
    )
    return total / images.size


def pca_mse(train_images: np.ndarray, test_images: np.ndarray, components: int) -> float:
    """Return the test reconstruction error of principal components fitted on the training images.

    Args:
        train_images: uint8 (n, height, width).
        test_images: uint8 (m, height, width).
        components: how many; fewer where the data have no more.

    Returns:
        The mean squared error per pixel of [0, 1].
    """
    from sklearn.decomposition import PCA

    train = train_images.reshape(len(train_images), -1).astype("float32") / 255
    test = test_images.reshape(len(test_images), -1).astype("float32") / 255
    pca = PCA(min(components, *train.shape), random_state=0).fit(train)
    return float(np.square(test - pca.inverse_transform(pca.transform(test))).mean())


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
