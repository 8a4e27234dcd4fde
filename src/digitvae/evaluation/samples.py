"""Scores of generated images, of any generator: distances of classifier features, and memorisation."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from digitvae import metrics
from digitvae.classifier import Classifier, load_classifier
from digitvae.data import Dataset
from digitvae.evaluation.protocols import evenly_spaced
from digitvae.model import VAE
from digitvae.rows import checked_images

MIXTURE_IMAGES = 10_000
MIXTURE_COMPONENTS = 20
"""Of the sampler that is used where there is no learned prior: two per digit, each with a full covariance."""
MEMORISATION_IMAGES = 1000
NEIGHBOURS_SHOWN = 20
SUBSET = 1000
"""Images of each of the 100 subsets of the kernel distance, as usual."""


class SampleScores(NamedTuple):
    """Measures of samples, and the training images that are nearest to the first of them."""

    numbers: dict[str, Any]
    """The part `samples` of the evaluation."""
    nearest: np.ndarray
    """uint8 (at most 20, height, width)."""


def score_samples(
    samples: np.ndarray, dataset: Dataset, baseline: np.ndarray | None = None, seed: int = 0
) -> SampleScores:
    """Score generated images against the test images of a data set.

    Args:
        samples: uint8 (n, height, width), grey, at least 2; any generator's.
        dataset: the real images. The floor is the score of as many training images.
        baseline: samples of another generator to compare with, uint8 (m, height, width).
        seed: seed of the subsets of the kernel distance.

    Returns:
        The scores. Those that need the classifier are None for images of another size than it was trained on.

    Raises:
        ValueError: images of another size than the data's, or fewer than 2.
    """
    samples = checked_images(samples, dataset.image_shape)
    if len(samples) < 2:
        raise ValueError(f"Expected at least 2 samples. Received: {len(samples)}")
    numbers: dict[str, Any] = {"count": len(samples), "model": None, "floor": None, "gmm": None}
    classifier = load_classifier()
    if dataset.image_shape == classifier.image_shape:
        real = classifier.features_and_probabilities(dataset.test_images)
        shares = metrics.class_balance(real[1])["fractions"]
        floor = dataset.train_images[evenly_spaced(len(samples), len(dataset.train_images))]
        for name, images in {"model": samples, "floor": floor, "gmm": baseline}.items():
            if images is not None and len(images) > 1:
                numbers[name] = _against(real[0], shares, images, classifier, seed)
    numbers["memorisation"] = _memorisation(samples, dataset)
    shown = samples[:NEIGHBOURS_SHOWN]
    nearest, _ = metrics.nearest_neighbours(shown, dataset.train_images)
    return SampleScores(numbers, dataset.train_images[nearest])


def mixture_samples(vae: VAE, dataset: Dataset, count: int, seed: int = 0) -> np.ndarray | None:
    """Decode draws of a Gaussian mixture fitted to posterior draws of the training images.

    It is the usual sampler where there is no good prior (Ghosh et al. 2020); a learned prior should beat it.

    Args:
        vae: the model.
        dataset: its data.
        count: how many images.
        seed: seed of the draws and of the fit.

    Returns:
        uint8 (count, height, width); None with fewer training images than components.
    """
    from sklearn.mixture import GaussianMixture

    images = dataset.train_images[evenly_spaced(MIXTURE_IMAGES, len(dataset.train_images))]
    if len(images) < 2 * MIXTURE_COMPONENTS:
        return None
    # In float32 the covariances of narrow components lose their positive eigenvalues.
    codes = vae.encode(images, sample=True, seed=seed).astype("float64")
    mixture = GaussianMixture(MIXTURE_COMPONENTS, random_state=seed).fit(codes)
    return vae.decode(mixture.sample(count)[0])


def _against(
    real: np.ndarray, shares: np.ndarray, images: np.ndarray, classifier: Classifier, seed: int
) -> dict[str, Any]:
    features, probabilities = classifier.features_and_probabilities(images)
    kernel, spread = metrics.kernel_distance(
        real, features, subset_size=min(SUBSET, len(real), len(features)), seed=seed
    )
    neighbours = min(5, len(real) - 1, len(features) - 1)
    balance = metrics.class_balance(probabilities, shares)
    sure = metrics.confidence(probabilities)
    return {
        "frechet": metrics.frechet_distance(real, features),
        "kernel": kernel,
        "kernel_std": spread,
        **metrics.precision_recall_density_coverage(real, features, neighbours),
        "class_fractions": balance["fractions"].tolist(),
        "class_entropy": balance["entropy"],
        "total_variation": balance["total_variation"],
        "confidence": sure["mean"],
        "share_confident": sure["share_confident"],
    }


def _memorisation(samples: np.ndarray, dataset: Dataset) -> dict[str, float] | None:
    """Compare some samples and test images with all training images."""
    chosen, held_out = (
        images[evenly_spaced(MEMORISATION_IMAGES, len(images))] for images in (samples, dataset.test_images)
    )
    try:
        return metrics.memorisation(chosen, held_out, dataset.train_images)
    except ValueError:
        return None  # half of the test images are training images, so nothing can be compared
