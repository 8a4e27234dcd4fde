"""The figures of a run: computes their arrays, draws them with `figures`, writes the files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digitvae import figures, seeds
from digitvae.data import Dataset
from digitvae.evaluation import Evaluation
from digitvae.latent import interpolate, label_plane, manifold
from digitvae.model import VAE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SAMPLES_PER_LABEL = 10
MOST_LABELS_SHOWN = 20


def draw_figures(
    vae: VAE, dataset: Dataset, history: dict[str, list[float]], folder: str | Path, seed: int = 0
) -> dict[str, Figure]:
    """Draw the figures of a trained model and save each as a PNG.

    Args:
        vae: the model.
        dataset: its data; test images are reconstructed and interpolated.
        history: as `Run.history` gives it.
        folder: where `samples.png`, `latent_grid.png`, `reconstructions.png`, `interpolations.png` and
            `training_curves.png` go; it is created if missing.
        seed: of the noise of the samples and of the choice of test images.

    Returns:
        The figures by name, in that order.

    Raises:
        OSError: the folder cannot be written.
    """
    originals = _some_of_each(dataset, 20, seed)
    start, end = _pairs(dataset, 8, seed)
    walks = np.stack([interpolate(vae, np.stack(pair), steps=10) for pair in zip(start, end, strict=True)])
    drawn = {
        "samples": _samples(vae, seed),
        "latent_grid": _plane(vae),
        "reconstructions": figures.reconstructions(originals, vae.reconstruct(originals)),
        "interpolations": figures.interpolations(
            np.concatenate([start[:, None], walks, end[:, None]], axis=1)
        ),
    }
    if history:
        drawn["training_curves"] = figures.training_curves(history)
    _save(drawn, folder)
    return drawn


def draw_evaluation(
    vae: VAE, dataset: Dataset, evaluation: Evaluation, folder: str | Path
) -> dict[str, Figure]:
    """Draw the figures of a full evaluation and save each as a PNG.

    Args:
        vae: the model.
        dataset: its data.
        evaluation: what `evaluate_fully` returned for them.
        folder: where the files go; it is created if missing.

    Returns:
        The figures by name: `best_reconstructions`, `worst_reconstructions`, `nll_curve`, `kl_per_latent` (or
        `information_per_latent`, where latents have no KL of their own), `rate_distortion`, `latent_map` and
        `neighbours`.

    Raises:
        OSError: the folder cannot be written.
    """
    numbers = evaluation.numbers
    curve, distortion = numbers["nll_curve"], numbers["rate_distortion"]
    best, worst = (dataset.test_images[rows] for rows in evaluation.extremes)
    labels = dataset.test_labels
    # Only a standard normal prior gives a KL for each latent.
    carried, quantity = "kl_per_latent", "KL"
    if numbers["latents"][carried] is None:
        carried, quantity = "information_per_latent", "mutual information with the image"
    drawn = {
        "best_reconstructions": figures.reconstructions(
            best, vae.reconstruct(best), "The best reconstructions of test images"
        ),
        "worst_reconstructions": figures.reconstructions(
            worst, vae.reconstruct(worst), "The worst reconstructions of test images"
        ),
        "nll_curve": figures.nll_curve(curve["k"], curve["nll"], numbers["test"]["elbo"]),
        carried: figures.nats_per_latent(numbers["latents"][carried], quantity),
        "rate_distortion": figures.rate_distortion(
            [point["latents"] for point in distortion],
            [point["mse"] for point in distortion],
            [point["pca_mse"] for point in distortion],
        ),
        "latent_map": figures.latent_map(
            evaluation.map, None if labels is None else labels[evaluation.map_images]
        ),
        "neighbours": figures.neighbours(evaluation.generated[: len(evaluation.nearest)], evaluation.nearest),
    }
    _save(drawn, folder)
    return drawn


def draw_samples(samples: np.ndarray, nearest: np.ndarray) -> dict[str, Figure]:
    """Draw samples of any generator, and the training images nearest to the first of them.

    Args:
        samples: uint8 (n, height, width).
        nearest: uint8 (m, height, width), m at most n.

    Returns:
        The figures `samples` and `neighbours`.
    """
    return {
        "samples": figures.samples(samples[:100], "The samples"),
        "neighbours": figures.neighbours(samples[: len(nearest)], nearest),
    }


def _samples(vae: VAE, seed: int) -> Figure:
    """Draw samples, a row for each label where the prior depends on labels."""
    if not vae.labels:
        return figures.samples(vae.generate(100, seed=seed))
    shown = np.repeat(np.arange(min(vae.labels, MOST_LABELS_SHOWN)), SAMPLES_PER_LABEL)
    return figures.samples(
        vae.generate(len(shown), seed=seed, labels=shown),
        "New images sampled from the prior, a row for each label",
        SAMPLES_PER_LABEL,
    )


def _plane(vae: VAE) -> Figure:
    """Draw a plane of the base noise, or the labels over one coordinate of it."""
    if not vae.labels:
        return figures.latent_grid(*manifold(vae))
    plane = label_plane(vae, labels=range(min(vae.labels, MOST_LABELS_SHOWN)))
    names = [str(label) if label >= 0 else "" for label in plane.labels]
    return figures.label_grid(plane.images, names, plane.quantiles, plane.axis)


def _save(drawn: dict[str, Figure], folder: str | Path) -> None:
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in drawn.items():
        figures.save(figure, folder / f"{name}.png")


def _some_of_each(dataset: Dataset, n: int, seed: int) -> np.ndarray:
    """Choose random test images, cycling through the labels if there are any."""
    order = seeds.stream(seed, "test images").permutation(len(dataset.test_images))
    if dataset.test_labels is not None:
        order = order[np.argsort(dataset.test_labels[order], kind="stable")]
        labels = dataset.test_labels[order]
        # The r-th image of its label comes before every (r + 1)-th one.
        rank = np.arange(len(labels)) - np.searchsorted(labels, labels)
        order = order[np.argsort(rank, kind="stable")]
    return dataset.test_images[order[:n]]


def _pairs(dataset: Dataset, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose pairs of different test images, with different labels if there are any."""
    images = _some_of_each(dataset, 2 * n, seed + 1)
    half = (len(images) + 1) // 2
    return images[:half], images[-half:]
