"""How well single images fit a model: likelihoods, reconstruction errors and a calibrated anomaly score."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from keras import ops
from scipy.ndimage import uniform_filter

from digitvae.data import fixed_bits, load_dataset, split_validation
from digitvae.evaluation.likelihood import image_bounds, pixels
from digitvae.evaluation.protocols import check_counts
from digitvae.markup import html_table
from digitvae.metrics import mse_per_image
from digitvae.model import VAE
from digitvae.rows import checked_images, padded_batches

WINDOW = 5
"""Side of the neighbourhoods that are searched for the worst explained one, in pixels."""


SHOWN = 10
"""Images of which a notebook shows the scores."""


class Scores(NamedTuple):
    """What `score` finds of every image; float64 (n,)."""

    negative_elbo: npt.NDArray[np.float64]
    """-ELBO, nats."""
    nll: npt.NDArray[np.float64]
    """-log p(x) by importance sampling, nats."""
    mse: npt.NDArray[np.float64]
    """Mean squared error of the reconstruction, pixels in [0, 1]."""
    anomaly: npt.NDArray[np.float64]
    """How unusual the code or the worst explained neighbourhood is, in deviations of the reference."""
    percentile: npt.NDArray[np.float64]
    """Share of the reference images with a lower anomaly, 0 to 100."""

    def _repr_html_(self) -> str:
        """Show the first images in a notebook."""
        rows = zip(*(part[:SHOWN] for part in self), strict=True)
        numbered = ([i, *(f"{value:.4g}" for value in row)] for i, row in enumerate(rows))
        return html_table(f"Scores of {len(self.nll):,} images", numbered, ["image", *self._fields])


def score(vae: VAE, images: Any, draws: int = 50, seed: int = 0, reference: Any = None) -> Scores:
    """Score images one by one.

    The likelihood alone is a poor judge: simple images are likely, usual or not (Nalisnick et al. 2019). The
    anomaly is the larger of two standard scores, both at the posterior mean z: of -log p(z), which is large
    for shapes unlike those trained on, and of the largest sum of -log p(x|z) over 5 x 5 pixels, large for
    details that no latent explains. A percentile of 99 says that one in a hundred images from the
    distribution of the reference is as unusual.

    For a model of bits all but the mse is about `fixed_bits(images)`: grey images get bits by their position.

    Args:
        vae: the model.
        images: as in `VAE.encode`.
        draws: posterior draws per image, k.
        seed: seed of the draws; of nothing else.
        reference: images like those of training but not among them, as in `VAE.encode`, at least 2; by
            default the 5,000 validation images of MNIST.

    Returns:
        The scores.

    Raises:
        ValueError: images of another size, draws below 1, or no reference for a model of another size than
            MNIST's.
    """
    check_counts(draws=draws)
    images = checked_images(images, vae.image_shape)
    usual = _surprises(vae, _modelled(vae, _reference(vae, reference)))
    modelled = _modelled(vae, images)
    bounds = image_bounds(vae, modelled, draws, seed)
    mean, deviation = usual.mean(axis=1, keepdims=True), usual.std(axis=1, keepdims=True)
    expected, anomaly = (
        ((surprises - mean) / deviation).max(axis=0) for surprises in (usual, _surprises(vae, modelled))
    )
    return Scores(
        bounds.reconstruction + bounds.kl,
        -bounds.bound,
        mse_per_image(images, vae.reconstruct(images)),
        anomaly,
        100 * np.searchsorted(np.sort(expected), anomaly) / len(expected),
    )


def _reference(vae: VAE, images: Any) -> np.ndarray:
    if images is None:
        dataset = load_dataset()
        if dataset.image_shape != vae.image_shape:
            raise ValueError(
                f"Expected reference images for a model of {vae.image_shape[0]}x{vae.image_shape[1]} pixels. "
                "Received: reference=None"
            )
        images = split_validation(dataset.train_images, None)[1].images
    images = checked_images(images, vae.image_shape)
    if len(images) < 2:
        raise ValueError(f"Expected at least 2 reference images. Received: {len(images)}")
    return images


def _modelled(vae: VAE, images: np.ndarray) -> np.ndarray:
    """Return what the likelihood models, as `evaluate` does."""
    return fixed_bits(images) if vae.binarization == "dynamic" else images


def _surprises(vae: VAE, images: np.ndarray) -> npt.NDArray[np.float64]:
    """Return -log p(z) at the posterior mean z and the largest of a window of -log p(x|z), (2, n), nats."""
    found = np.empty((2, len(images)))
    for rows, batch in padded_batches(vae.encode(images), 256, "surprises"):
        count = rows.stop - rows.start
        prior = vae.prior.distribution(vae.posterior)
        found[0, rows] = -ops.convert_to_numpy(prior.log_prob(ops.convert_to_tensor(batch)))[:count]
        likelihood = vae.likelihood(ops.convert_to_tensor(vae.decoder.predict_on_batch(batch)[:count]))
        x = ops.convert_to_tensor(pixels(vae, images[rows]))
        nats = -ops.convert_to_numpy(likelihood.log_prob_per_pixel(x)).astype("float64")
        # Pixels outside of the image are no surprise.
        sums = WINDOW**2 * uniform_filter(nats, (1, WINDOW, WINDOW), mode="constant")
        found[1, rows] = sums.max(axis=(1, 2))
    return found
