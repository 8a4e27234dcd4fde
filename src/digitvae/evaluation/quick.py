"""The numbers at the end of a training: the bound, the likelihood and reconstructions, in a minute."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from digitvae.data import Dataset
from digitvae.evaluation.likelihood import image_bounds
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
        draws: posterior draws per image for elbo, reconstruction and kl, on all test images.
        nll_draws: k of the importance-weighted bound.
        nll_images: number of test images for it, evenly spaced over the test set. With fewer than all, `nll`
            is an estimate of its value on all of them, with the ELBO as control variate.
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
    every = image_bounds(vae, images, draws, seed, progress=progress)
    negative_elbo = every.reconstruction + every.kl
    subset = evenly_spaced(nll_images, len(images))
    bound = image_bounds(vae, images[subset], nll_draws, seed, subset, progress).bound
    nll, interval = regression_estimate(-bound, negative_elbo[subset], negative_elbo)
    return {
        "schema_version": SCHEMA_VERSION,
        "protocol": protocol(vae),
        "seed": seed,
        "test": {
            "images": len(images),
            "elbo": -float(negative_elbo.mean()),
            "elbo_draws": draws,
            "reconstruction": float(every.reconstruction.mean()),
            "kl": float(every.kl.mean()),
            "nll": nll,
            "nll_k": nll_draws,
            "nll_images": len(subset),
            "nll_estimate_interval": interval,
            "bits_per_dim": nll / (math.prod(vae.image_shape) * math.log(2)),
            "mse": mean_squared_error(dataset.test_images, vae.reconstruct(dataset.test_images)),
            "pca_mse": pca_mse(dataset.train_images, dataset.test_images, vae.latent_dim),
        },
    }


def regression_estimate(
    values: np.ndarray, controls: np.ndarray, every_control: np.ndarray
) -> tuple[float, list[float] | None]:
    """Estimate a mean over all images from some, with a quantity known of all as control variate.

    The regression estimator of survey sampling (Cochran 1977, chapter 7): an easy subset has easy controls,
    and the luck of the subset cancels as far as values and controls are correlated.

    Args:
        values: of the chosen images, (m,).
        controls: of the same images, (m,).
        every_control: of all images, (n,).

    Returns:
        The estimate, and the 95% interval of the mean over all images; None where fewer than three images,
        or all of them, were measured.
    """
    count, total = len(values), len(every_control)
    if count == total or count < 3:
        return float(values.mean()), None
    slope = np.cov(values, controls)[0, 1] / max(float(controls.var(ddof=1)), 1e-12)
    estimate = float(values.mean() + slope * (every_control.mean() - controls.mean()))
    residuals = values - values.mean() - slope * (controls - controls.mean())
    error = math.sqrt((1 - count / total) / count * float(np.square(residuals).sum()) / (count - 2))
    return estimate, [estimate - 1.96 * error, estimate + 1.96 * error]


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
