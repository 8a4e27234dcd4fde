"""The protocol of an evaluation: which pixels of the test images are measured, and by which density."""

from __future__ import annotations

import numpy as np

from digitvae.data import Dataset, fixed_bits
from digitvae.distributions import Bernoulli, DiscretisedLogisticMixture
from digitvae.model import VAE

SCHEMA_VERSION = 1
"""The version of docs/evaluation_schema.md that evaluations follow."""


def protocol(vae: VAE) -> str:
    """Name the protocol; numbers of different protocols cannot be compared.

    Returns:
        "dynamic" (bits drawn from the grey values), "grey-256" (256 grey levels) or "grey-density" (a
        density on [0, 1], whose nats can be negative).
    """
    if vae.likelihood is Bernoulli:
        return "dynamic"
    return "grey-256" if vae.likelihood is DiscretisedLogisticMixture else "grey-density"


def check(vae: VAE, dataset: Dataset) -> None:
    """Refuse what cannot be measured.

    Raises:
        ValueError: images of another size than the model's, or a model whose weights are not finite.
    """
    if dataset.image_shape != vae.image_shape:
        raise ValueError(
            f"Expected images of {vae.image_shape[0]}x{vae.image_shape[1]} pixels, as the model's. "
            f"Received: {dataset.name} with {dataset.image_shape[0]}x{dataset.image_shape[1]}"
        )
    broken = [weight.path for weight in vae.weights if not np.isfinite(np.asarray(weight)).all()]
    if broken:
        raise ValueError(
            f"Expected a model with finite weights. Received: NaN or infinite values in {broken[0]}"
            + (f" and {len(broken) - 1} more" if broken[1:] else "")
        )


def check_counts(**counts: int) -> None:
    """Refuse counts below 1.

    Raises:
        ValueError: naming the count.
    """
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"Expected {name} to be at least 1. Received: {name}={value}")


def measured_images(vae: VAE, dataset: Dataset) -> np.ndarray:
    """Return the test images as the model's likelihood models them: the fixed bits, or the grey values.

    Raises:
        ValueError: images of another size than the model's, or a model whose weights are not finite.
    """
    check(vae, dataset)
    return fixed_bits(dataset.test_images) if vae.binarization == "dynamic" else dataset.test_images


def evenly_spaced(count: int, of: int) -> np.ndarray:
    """Return the indices of `count` evenly spaced images, or of all where there are fewer; int64."""
    return np.unique(np.linspace(0, of, min(count, of), endpoint=False).astype(np.int64))
