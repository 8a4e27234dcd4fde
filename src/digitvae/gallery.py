"""The pictures of a run: computes the arrays, lets `figures` draw them, writes the files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digitvae import figures
from digitvae.data import Dataset
from digitvae.latent import interpolate, noise_plane
from digitvae.model import VAE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_figures(
    vae: VAE, dataset: Dataset, history: dict[str, list[float]], folder: str | Path, seed: int = 0
) -> list[Figure]:
    """Draw the figures of a trained model and save each as a PNG.

    Args:
        vae: the model.
        dataset: its data; test images are reconstructed and interpolated.
        history: as `Run.history` gives it.
        folder: where `samples.png`, `latent_grid.png`, `reconstructions.png`, `interpolations.png` and
            `training_curves.png` go; it is made if need be.
        seed: chooses the noise of the samples and the test images.

    Returns:
        The figures, in that order.

    Raises:
        OSError: the folder cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    plane, quantiles, axes = noise_plane(vae)
    originals = _some_of_each(dataset, 20, seed)
    start, end = _pairs(dataset, 8, seed)
    walks = interpolate(vae, start, end, steps=10)
    drawn = {
        "samples": figures.samples(vae.generate(100, seed=seed)),
        "latent_grid": figures.latent_grid(plane, quantiles, axes),
        "reconstructions": figures.reconstructions(originals, vae.reconstruct(originals)),
        "interpolations": figures.interpolations(
            np.concatenate([start[:, None], walks, end[:, None]], axis=1)
        ),
    }
    if history:
        drawn["training_curves"] = figures.training_curves(history)
    for name, figure in drawn.items():
        figures.save(figure, folder / f"{name}.png")
    return list(drawn.values())


def _some_of_each(dataset: Dataset, n: int, seed: int) -> np.ndarray:
    """Choose test images, one label after the other where there are labels."""
    order = np.random.default_rng(seed).permutation(len(dataset.test_images))
    if dataset.test_labels is not None:
        labels = dataset.test_labels[order]
        # The r-th image of its label comes before every (r + 1)-th one.
        rank = np.empty(len(order), int)
        for label in np.unique(labels):
            members = np.flatnonzero(labels == label)
            rank[members] = np.arange(len(members))
        order = order[np.lexsort((labels, rank))]
    return dataset.test_images[order[:n]]


def _pairs(dataset: Dataset, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose pairs of different test images, of different labels where there are labels."""
    images = _some_of_each(dataset, 2 * n, seed + 1)
    half = (len(images) + 1) // 2
    return images[:half], images[-half:]
