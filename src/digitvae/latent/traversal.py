"""Each latent by itself: what an image becomes where one coordinate of its code changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from digitvae.latent.points import Floats, Images, as_latents, check_at_least
from digitvae.trained import TrainedModel

RANGE = 3.0
"""Standard deviations to both sides."""
OWN_SAMPLES = 1000


class Traversal(NamedTuple):
    """Images along some latents."""

    images: Images
    """uint8 (d, steps, height, width)."""
    dimensions: npt.NDArray[np.int64]
    """The latent that changes in each row, (d,)."""
    values: npt.NDArray[np.float64]
    """How far it is from the middle, (steps,), in standard deviations of that latent over images."""


def traverse(
    vae: TrainedModel,
    start: Any = None,
    label: int | None = None,
    dimensions: Sequence[int] | None = None,
    steps: int = 11,
    images: Any = None,
) -> Traversal:
    """Change one latent at a time, from 3 standard deviations below a middle to 3 above it.

    Args:
        vae: the model.
        start: the middle: one image, uint8 (height, width), or latents, float (1, latent_dim). By default
            that of the prior, where its base noise is 0.
        label: take the middle of p(z|y) of this label; without it the middle of a prior with labels lies
            between all of them.
        dimensions: the latents that change; by default all, the most informative about the image first.
        steps: images per latent; of an odd number the one in the middle is the start's reconstruction.
        images: whose posteriors say how far and how informatively each latent varies, uint8 (n, height,
            width); by default 1,000 samples of the model.

    Returns:
        Images, dimensions and values.

    Raises:
        ValueError: both a start and a label, a label that the model does not have, more than one start,
            dimensions outside of the latent space, fewer than 2 steps, or images of another size.
    """
    check_at_least(2, steps=steps)
    middle = _middle(vae, start, label)
    spread, information = _variation(vae, vae.generate(OWN_SAMPLES) if images is None else images)
    if dimensions is None:
        rows = np.argsort(-information, kind="stable")
    else:
        rows = np.asarray(dimensions)
        if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer) or not len(rows):
            raise ValueError(f"Expected dimensions, whole numbers. Received: dimensions={dimensions}")
        if rows.min() < 0 or rows.max() >= vae.latent_dim:
            raise ValueError(
                f"Expected dimensions from 0 to {vae.latent_dim - 1}. Received: dimensions={dimensions}"
            )
    values = np.linspace(-RANGE, RANGE, steps)
    latents = np.tile(middle, (len(rows), steps, 1))
    for latent, row in zip(latents, rows, strict=True):
        latent[:, row] += values * spread[row]
    decoded = vae.decode(latents.reshape(-1, vae.latent_dim))
    return Traversal(decoded.reshape(len(rows), steps, *vae.image_shape), rows, values)


def _middle(vae: TrainedModel, start: Any, label: int | None) -> Floats:
    """Return the latents in the middle, (1, latent_dim)."""
    if start is None:
        nothing = np.zeros((1, vae.latent_dim), "float32")
        if label is not None:
            return vae.latents_from_noise(nothing, np.array([label]))
        return vae.latents_from_noise(nothing, vae.label_shares()[None] if vae.labels else None)
    if label is not None:
        raise ValueError(f"Expected a start or a label, not both. Received: a start and label={label}")
    # A square image may have as many columns as there are latents.
    image = np.shape(start) == vae.image_shape
    middle = vae.encode(np.asarray(start)[None]) if image else as_latents(vae, start)
    if len(middle) != 1:
        raise ValueError(f"Expected one start. Received: {len(middle)}")
    return middle


def _variation(vae: TrainedModel, images: Any) -> tuple[Floats, Floats]:
    """Return standard deviation and information of each latent, both (latent_dim,)."""
    mean, log_scale = vae.encode_posterior(images)
    # Of the aggregate posterior, the average of q(z|x) over images.
    variance = mean.var(axis=0) + np.exp(2 * log_scale).mean(axis=0)
    # I(x; z_i) = H(z_i) - H(z_i|x), with the entropy of a Gaussian of this variance as H(z_i), in nats
    return np.sqrt(variance), np.log(variance) / 2 - log_scale.mean(axis=0)
