"""The numbers at the end of a training: the bound, the likelihood and reconstructions, in a minute."""

from __future__ import annotations

import math
from typing import Any

from digitvae.data import Dataset
from digitvae.evaluation.likelihood import image_bounds
from digitvae.evaluation.protocols import (
    SCHEMA_VERSION,
    check_counts,
    evenly_spaced,
    measured_images,
    protocol,
)
from digitvae.metrics import mse_per_image, pca_errors, regression_estimate
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
            "mse": float(mse_per_image(dataset.test_images, vae.reconstruct(dataset.test_images)).mean()),
            "pca_mse": float(pca_errors(dataset.train_images, dataset.test_images, vae.latent_dim)[-1]),
        },
    }
