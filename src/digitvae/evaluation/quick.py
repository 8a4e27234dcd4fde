"""The numbers at the end of a training: the bound, the likelihood and reconstructions, in a minute."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from digitvae.data import Dataset
from digitvae.evaluation.likelihood import likelihood_terms
from digitvae.evaluation.protocols import (
    SCHEMA_VERSION,
    check_counts,
    evenly_spaced,
    measured_images,
    protocol,
)
from digitvae.model import VAE


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
        The object of `evaluation.json` (docs/evaluation_schema.md) as far as `schema_version`, `protocol`,
        `seed` and a part of `test` go; elbo, reconstruction, kl and nll in nats per image, mse and pca_mse
        per pixel of [0, 1].

    Raises:
        ValueError: images of another size than the model's, weights that are not finite, or counts below 1.
    """
    check_counts(draws=draws, nll_draws=nll_draws, nll_images=nll_images)
    images = measured_images(vae, dataset)
    every = likelihood_terms(vae, images, draws, seed, progress=progress)
    subset = evenly_spaced(nll_images, len(images))
    nll = -float(likelihood_terms(vae, images[subset], nll_draws, seed, subset, progress).bound.mean())
    return {
        "schema_version": SCHEMA_VERSION,
        "protocol": protocol(vae),
        "seed": seed,
        "test": {
            "images": len(images),
            "elbo": -float(every.reconstruction.mean() + every.kl.mean()),
            "elbo_draws": draws,
            "reconstruction": float(every.reconstruction.mean()),
            "kl": float(every.kl.mean()),
            "nll": nll,
            "nll_k": nll_draws,
            "nll_images": len(subset),
            "bits_per_dim": nll / (math.prod(vae.image_shape) * math.log(2)),
            "mse": mean_squared_error(dataset.test_images, vae.reconstruct(dataset.test_images)),
            "pca_mse": pca_mse(dataset.train_images, dataset.test_images, vae.latent_dim),
        },
    }


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
    return float(pca_errors(train_images, test_images, components)[-1])


def pca_errors(train_images: np.ndarray, test_images: np.ndarray, components: int) -> np.ndarray:
    """Return the test reconstruction errors of 1 to so many principal components of the training images.

    Args:
        train_images: uint8 (n, height, width).
        test_images: uint8 (m, height, width).
        components: how many at most; those that the data do not have change nothing.

    Returns:
        The mean squared errors per pixel of [0, 1], float64 (components,).
    """
    from sklearn.decomposition import PCA

    train = train_images.reshape(len(train_images), -1).astype("float32") / 255
    test = test_images.reshape(len(test_images), -1).astype("float32") / 255
    pca = PCA(min(components, *train.shape), random_state=0).fit(train)
    # Each component takes the square of its score off the squared distance to the mean.
    left = np.square(test - pca.mean_).mean() * test.shape[1]
    errors = (left - np.cumsum(np.square(pca.transform(test), dtype="float64").mean(axis=0))) / test.shape[1]
    return np.pad(np.maximum(errors, 0), (0, components - len(errors)), mode="edge")
