"""Measures of the latents: how many are used, what they tell of the image, how well they match the prior."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from digitvae import metrics, seeds
from digitvae.data import Dataset
from digitvae.evaluation.protocols import evenly_spaced
from digitvae.model import VAE
from digitvae.priors import StandardNormalPrior

PROBE_IMAGES = 10_000
"""Training images for the linear probe, a model with a few hundred weights."""
INFORMATION_IMAGES = 2000
"""Test images for the information of each latent, which is far below the logarithm of this number."""
BLOCK = 1000
"""Rows at a time where all images are compared with all others."""


class LatentCode(NamedTuple):
    """Measures of the latents, and a map of some of them."""

    numbers: dict[str, Any]
    """The part `latents` of the evaluation."""
    map: np.ndarray
    """Positions float64 (m, 2) of a part of the test images."""
    map_images: np.ndarray
    """Indices of these test images, int64 (m,)."""


def measure_latents(
    vae: VAE, dataset: Dataset, images: np.ndarray, codes: np.ndarray, seed: int = 0
) -> LatentCode:
    """Measure the latents of a data set.

    The information-theoretic numbers use the posteriors of the measured pixels; the others use the posterior
    means of the grey images, which `encode` returns.

    Args:
        vae: the model.
        dataset: the probes are fitted to its training images and scored on its test images.
        images: the test images as the likelihood models them, uint8 (n, height, width).
        codes: posterior means of the grey test images, (n, latent_dim).
        seed: seed of the posterior draws, the clusters and the reference draws.
    """
    mean, log_scale = (part.astype("float64") for part in vae.encode_posterior(images))
    noise = seeds.stream(seed, "posterior").standard_normal(mean.shape)
    draws = mean + np.exp(log_scale) * noise
    some = evenly_spaced(INFORMATION_IMAGES, len(mean))
    carried = information_per_latent(draws[some], mean[some], log_scale[some])
    kl = None
    if isinstance(vae.prior, StandardNormalPrior):
        # KL(N(m, s^2) || N(0, 1)) = (m^2 + s^2 - 1) / 2 - log s
        kl = ((mean**2 + np.exp(2 * log_scale) - 1) / 2 - log_scale).mean(axis=0)
    numbers: dict[str, Any] = {
        "latent_dim": vae.latent_dim,
        "active_units": metrics.active_units(codes) if len(codes) > 1 else None,
        "kl_per_latent": None if kl is None else sorted(kl.tolist(), reverse=True),
        "information_per_latent": sorted(carried.tolist(), reverse=True),
        "mutual_information": mutual_information(draws, mean, log_scale),
        "mutual_information_limit": math.log(len(mean)),
        "mismatch": _mismatch(vae, draws, seed),
        **_label_scores(vae, dataset, codes, seed),
    }
    return LatentCode(numbers, *metrics.map_2d(codes))


def information_per_latent(draws: np.ndarray, mean: np.ndarray, log_scale: np.ndarray) -> np.ndarray:
    """Estimate the mutual information of the image and each latent on its own.

    It is E[log q(z_j|x) - log q(z_j)] with q(z_j) the mixture of all images' posteriors. Under a standard
    normal prior a latent's KL is this plus the mismatch of q(z_j) and the prior (Hoffman & Johnson 2016).

    Args:
        draws: float (n, d), one posterior draw per image.
        mean: float (n, d).
        log_scale: float (n, d).

    Returns:
        float64 (d,), nats, at most log n.
    """
    return np.array(
        [mutual_information(draws[:, [j]], mean[:, [j]], log_scale[:, [j]]) for j in range(draws.shape[1])]
    )


def mutual_information(draws: np.ndarray, mean: np.ndarray, log_scale: np.ndarray) -> float:
    """Estimate the mutual information of image and code from below (Hoffman & Johnson 2016).

    The mixture of the images' posteriors stands for q(z). It contains each image's own posterior, so the
    estimate is at most log n, which it approaches when the latents tell all images apart.

    Args:
        draws: float (n, d), one posterior draw per image.
        mean: float (n, d).
        log_scale: float (n, d).

    Returns:
        Nats, at most log n.
    """
    count, dim = mean.shape
    # log N(z; m, s^2) = -(z^2 / s^2 - 2 z m / s^2 + m^2 / s^2) / 2 - log s - d/2 log 2 pi, as three products
    precision = np.exp(-2 * log_scale)
    weighted = mean * precision
    constant = -0.5 * (mean * weighted).sum(axis=1) - log_scale.sum(axis=1) - dim / 2 * math.log(2 * math.pi)
    total = 0.0
    for start in range(0, count, BLOCK):
        z = draws[start : start + BLOCK]
        log_q = -0.5 * z**2 @ precision.T + z @ weighted.T + constant
        own = log_q[np.arange(len(z)), np.arange(start, start + len(z))]
        largest = log_q.max(axis=1)
        mixture = largest + np.log(np.exp(log_q - largest[:, None]).mean(axis=1))
        total += float((own - mixture).sum())
    return total / count


def _mismatch(vae: VAE, draws: np.ndarray, seed: int) -> dict[str, float | None] | None:
    """Compare the draws, mapped to the prior's base noise, with a standard normal."""
    if len(draws) <= vae.latent_dim:
        return None
    found = metrics.aggregate_mismatch(vae.noise_from_latents(draws), seed)
    return {name: value if math.isfinite(value) else None for name, value in found.items()}


def _label_scores(vae: VAE, dataset: Dataset, codes: np.ndarray, seed: int) -> dict[str, float | None]:
    """Measure how well the latents predict the labels; all None if there are fewer than two labels."""
    names = ("linear_probe", "knn", "clustering")
    if dataset.train_labels is None or dataset.test_labels is None:
        return dict.fromkeys(names)
    known, measured = dataset.train_labels >= 0, dataset.test_labels >= 0
    labels, truth, codes = dataset.train_labels[known], dataset.test_labels[measured], codes[measured]
    if len(truth) == 0 or len(np.unique(labels)) < 2:
        return dict.fromkeys(names)
    train = vae.encode(dataset.train_images[known])
    taken = evenly_spaced(PROBE_IMAGES, len(train))
    if len(np.unique(labels[taken])) < 2:
        taken = np.arange(len(train))
    return {
        "linear_probe": metrics.linear_probe(train[taken], labels[taken], codes, truth),
        "knn": metrics.knn_accuracy(train, labels, codes, truth, neighbours=min(5, len(train))),
        "clustering": metrics.clustering_accuracy(codes, truth, seed),
    }
