"""Points of the latent space from images or latents, and checks of arguments."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from digitvae.trained import TrainedModel

Floats = npt.NDArray[np.float32]
Images = npt.NDArray[np.uint8]


Method = Literal["noise", "spherical", "linear"]


def as_latents(vae: TrainedModel, points: Any) -> Floats:
    """Return latents: the posterior means of images, or latents as they are.

    Args:
        vae: the model.
        points: images as `digitvae.VAE.encode` takes them, one image (height, width) too; or latents, float
            (n, latent_dim).

    Returns:
        float32 (n, latent_dim).

    Raises:
        ValueError: neither images nor latents of this model.
    """
    shape = tuple(np.shape(points))
    if len(shape) != 2:
        return vae.encode(points)
    array = np.asarray(points)
    if shape[0] and shape[1] == vae.latent_dim and np.issubdtype(array.dtype, np.floating):
        return array.astype("float32")
    if shape == vae.image_shape:
        return vae.encode(array[None])
    height, width = vae.image_shape
    raise ValueError(
        f"Expected images (n, {height}, {width}) or latents, float (n, {vae.latent_dim}). "
        f"Received: {array.dtype}, shape={shape}"
    )


def own_labels(vae: TrainedModel, latents: Floats, labels: npt.ArrayLike | None = None) -> Any:
    """Return the label of each point: the given ones, else the most probable; None where there are none.

    Args:
        vae: the model.
        latents: float32 (n, latent_dim).
        labels: whole numbers (n,), or one for all.
    """
    if labels is not None:
        return np.broadcast_to(np.asarray(labels), (len(latents),)) if np.ndim(labels) == 0 else labels
    return vae.label_probabilities(latents).argmax(axis=1) if vae.labels else None


def check_at_least(least: int, **values: Any) -> None:
    """Refuse numbers that are not whole or too small."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise ValueError(
                f"Expected {name} to be a whole number of at least {least}. Received: {name}={value}"
            )
