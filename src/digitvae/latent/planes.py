"""Planes of the latent space, in the coordinates of the prior's base noise u.

In u the prior is a standard normal, whatever it is in z: Gaussian quantiles of equally spaced probabilities
cover a coordinate evenly.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from digitvae.latent.points import Floats, Images, check_at_least
from digitvae.trained import TrainedModel

EDGE = 0.02
"""Probability below the first and above the last quantile."""


class Manifold(NamedTuple):
    """A plane over two coordinates of the base noise."""

    images: Images
    """uint8 (size, size, height, width), with the lowest quantile in row 0 and column 0."""
    quantiles: npt.NDArray[np.float64]
    """Probabilities (size,), the same along both sides."""
    axes: tuple[int, int]
    """The coordinates that change with the row and with the column."""


class LabelPlane(NamedTuple):
    """A plane whose rows go through the labels."""

    images: Images
    """uint8 (rows, columns, height, width)."""
    labels: npt.NDArray[np.int64]
    """The label of each row, (rows,); -1 where the row lies between two labels."""
    quantiles: npt.NDArray[np.float64]
    """Probabilities (columns,)."""
    axis: int
    """The coordinate of the base noise that changes with the column."""


def manifold(
    vae: TrainedModel, size: int = 20, axes: tuple[int, int] | None = None, label: int | None = None
) -> Manifold:
    """Decode a grid over two coordinates of the base noise, the others at their median 0.

    Kingma and Welling 2014, "Auto-Encoding Variational Bayes", figure 4.

    Args:
        vae: the model.
        size: images per side.
        axes: the two coordinates (rows, columns); by default the two that change the images most.
        label: the label of all images, for a model whose prior depends on labels.

    Returns:
        Images, quantiles and axes. With one latent all columns are equal.

    Raises:
        ValueError: a size below 1, axes outside the latent space, a label that the model does not have, or no
            label where it has some.
    """
    check_at_least(1, size=size)
    _check_label(vae, label)
    if axes is None:
        axes = most_visible_axes(vae, label)
    first, second = (_checked_axis(vae, axis) for axis in axes)
    quantiles, values = _quantiles(size)
    noise = np.zeros((size, size, vae.latent_dim), "float32")
    noise[:, :, second] = values[None, :]
    noise[:, :, first] = values[:, None]
    labels = None if label is None else np.full(size * size, label)
    images = vae.decode(vae.latents_from_noise(noise.reshape(size * size, -1), labels))
    return Manifold(images.reshape(size, size, *vae.image_shape), quantiles, (first, second))


def label_plane(
    vae: TrainedModel, rows_per_label: int = 2, columns: int = 20, labels: Sequence[int] | None = None
) -> LabelPlane:
    """Decode a grid with the labels along its rows and one coordinate of the base noise along its columns.

    Between two labels their weights change evenly. The coordinate is the one that changes the images of these
    labels most; the others are at their median 0.

    Args:
        vae: a model whose prior depends on labels.
        rows_per_label: rows from a label to the next: 1 for no transitions between them.
        columns: images per row.
        labels: which labels, in order; by default all.

    Returns:
        Images, labels, quantiles and axis; (labels - 1) * rows_per_label + 1 rows.

    Raises:
        ValueError: numbers below 1, labels that the model does not have, or a model without labels.
    """
    vae.check_labelled()
    check_at_least(1, rows_per_label=rows_per_label, columns=columns)
    chosen = np.arange(vae.labels) if labels is None else np.asarray(labels)
    if chosen.ndim != 1 or not len(chosen):
        raise ValueError(f"Expected at least one label. Received: labels={labels}")
    for label in chosen.tolist():
        _check_label(vae, label)
    changes = [_visibility(vae, label) for label in chosen.tolist()]
    axis = int(np.argmax(np.sum(changes, axis=0)))
    places = np.arange((len(chosen) - 1) * rows_per_label + 1)
    before, share = places // rows_per_label, (places % rows_per_label / rows_per_label)[:, None]
    one_hot = np.eye(vae.labels)[chosen]
    after = np.minimum(before + 1, len(chosen) - 1)
    weights = ((1 - share) * one_hot[before] + share * one_hot[after]).astype("float32")
    quantiles, values = _quantiles(columns)
    noise = np.zeros((len(places), columns, vae.latent_dim), "float32")
    noise[:, :, axis] = values
    latents = vae.latents_from_noise(noise.reshape(-1, vae.latent_dim), np.repeat(weights, columns, axis=0))
    images = vae.decode(latents).reshape(len(places), columns, *vae.image_shape)
    return LabelPlane(images, np.where(share[:, 0] == 0, chosen[before], -1), quantiles, axis)


def most_visible_axes(vae: TrainedModel, label: int | None = None) -> tuple[int, int]:
    """Return the two coordinates of the base noise whose change from -1.5 to 1.5 changes the image most.

    Args:
        vae: the model.
        label: as in `manifold`.
    """
    if vae.latent_dim == 1:
        return 0, 0
    first, second = np.argsort(-_visibility(vae, label), kind="stable")[:2]
    return int(first), int(second)


def _visibility(vae: TrainedModel, label: int | None) -> Floats:
    """Return the squared change of the image with each coordinate, float32 (latent_dim,)."""
    steps = 1.5 * np.eye(vae.latent_dim, dtype="float32")
    labels = None if label is None else np.full(vae.latent_dim, label)
    low, high = (
        vae.decode(vae.latents_from_noise(sign * steps, labels)).astype("float32") for sign in (-1, 1)
    )
    return np.square(high - low).sum(axis=(1, 2))


def _quantiles(count: int) -> tuple[npt.NDArray[np.float64], Floats]:
    """Return equally spaced probabilities and their standard normal quantiles, both (count,)."""
    quantiles = np.linspace(EDGE, 1 - EDGE, count) if count > 1 else np.array([0.5])
    return quantiles, np.array([NormalDist().inv_cdf(q) for q in quantiles], "float32")


def _checked_axis(vae: TrainedModel, axis: int) -> int:
    if not 0 <= axis < vae.latent_dim:
        raise ValueError(f"Expected axes from 0 to {vae.latent_dim - 1}. Received: {axis}")
    return int(axis)


def _check_label(vae: TrainedModel, label: int | None) -> None:
    if label is not None:
        vae.check_labelled()
    if vae.labels and (label is None or label not in range(vae.labels)):
        raise ValueError(f"Expected a label from 0 to {vae.labels - 1}. Received: label={label}")
