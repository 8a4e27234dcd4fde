"""Paths and sheets through the latent space, between images or latents.

By default they run in the coordinates of the prior's base noise u. There the prior is a standard normal,
whatever it is in z, and a great circle between two points stays in regions of high probability.
"""

from __future__ import annotations

from typing import Any, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from digitvae.latent.points import Images, Method, as_latents, check_at_least, own_labels
from digitvae.trained import TrainedModel


class _Points(NamedTuple):
    """Points in the coordinates of a method, float (n, latent_dim), and weights of the labels there."""

    coordinates: npt.NDArray[Any]
    weights: npt.NDArray[Any] | None

    def take(self, rows: npt.NDArray[np.intp]) -> _Points:
        return _Points(self.coordinates[rows], None if self.weights is None else self.weights[rows])


def interpolate(
    vae: TrainedModel, points: Any, steps: int = 10, method: Method = "noise", closed: bool = False
) -> Images:
    """Go from each point to the next one.

    Args:
        vae: the model.
        points: two or more images, uint8 (n, height, width), or latents, float (n, latent_dim).
        steps: images from one point to the next, including both.
        method: "noise" for great circles of the prior's base noise, along which the weights of the labels
            change evenly from the most probable label of one point to that of the next; "spherical" for great
            circles of the latents (White 2016); "linear" for straight lines between the latents.
        closed: go on from the last point to the first, whose image is not repeated at the end.

    Returns:
        uint8 (frames, height, width), among them the reconstruction of each point; (n - 1) * (steps - 1) + 1
        frames, n * (steps - 1) of a closed path.

    Raises:
        ValueError: fewer than 2 points or steps, an unknown method, or neither images nor latents.
    """
    check_at_least(2, steps=steps)
    place = _placed(vae, points, method)
    count = len(place.coordinates)
    if count < 2:
        raise ValueError(f"Expected at least 2 points. Received: {count}")
    starts = np.repeat(np.arange(count if closed else count - 1), steps - 1)
    times = np.tile(np.linspace(0, 1, steps)[:-1], len(starts) // (steps - 1))
    if not closed:
        starts, times = np.append(starts, count - 2), np.append(times, 1.0)
    ends = (starts + 1) % count
    return _decoded(vae, _between(place.take(starts), place.take(ends), times, method), method)


def blend(
    vae: TrainedModel, corners: Any, rows: int = 8, columns: int = 8, method: Method = "noise"
) -> Images:
    """Fill a matrix between four corners.

    Args:
        vae: the model.
        corners: four images or latents, as in `interpolate`: top left, top right, bottom left, bottom right.
        rows: images from top to bottom, at least 2.
        columns: images from left to right, at least 2.
        method: as in `interpolate`, first along the upper and the lower edge, then between these.

    Returns:
        uint8 (rows, columns, height, width), with the reconstructions of the four in its corners.

    Raises:
        ValueError: other than 4 corners, fewer than 2 rows or columns, an unknown method, or neither images
            nor latents.
    """
    check_at_least(2, rows=rows, columns=columns)
    place = _placed(vae, corners, method)
    if len(place.coordinates) != 4:
        raise ValueError(f"Expected 4 corners. Received: {len(place.coordinates)}")
    down, across = (
        grid.ravel()
        for grid in np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, columns), indexing="ij")
    )
    corner = [place.take(np.full(rows * columns, index)) for index in range(4)]
    upper, lower = (_between(a, b, across, method) for a, b in (corner[:2], corner[2:]))
    images = _decoded(vae, _between(upper, lower, down, method), method)
    return images.reshape(rows, columns, *vae.image_shape)


def slerp(a: npt.NDArray[Any], b: npt.NDArray[Any], t: float | npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Interpolate directions along a great circle and lengths linearly (White 2016).

    Args:
        a: float (n, d).
        b: float (n, d).
        t: from 0, which gives a, to 1, which gives b; one for all, or (n, 1).
    """
    length_a, length_b = (np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12) for v in (a, b))
    cosine = np.clip(np.sum(a / length_a * (b / length_b), axis=-1, keepdims=True), -1, 1)
    angle = np.arccos(cosine)
    # Nearly parallel or opposite vectors define no great circle: use the straight line.
    straight = np.sin(angle) < 1e-4
    sine = np.where(straight, 1.0, np.sin(angle))
    direction = np.sin((1 - t) * angle) / sine * (a / length_a) + np.sin(t * angle) / sine * (b / length_b)
    return np.where(straight, (1 - t) * a + t * b, direction * ((1 - t) * length_a + t * length_b))


def _placed(vae: TrainedModel, points: Any, method: str) -> _Points:
    if method not in get_args(Method):
        raise ValueError(f"Expected method to be one of {', '.join(get_args(Method))}. Received: {method}")
    latents = as_latents(vae, points)
    if method != "noise":
        return _Points(latents, None)
    labels = own_labels(vae, latents)
    weights = None if labels is None else np.eye(vae.labels, dtype="float32")[labels]
    return _Points(vae.noise_from_latents(latents, labels), weights)


def _between(a: _Points, b: _Points, times: npt.NDArray[Any], method: str) -> _Points:
    """Return the points at times (n,) between those of a and those of b."""
    t = times[:, None].astype("float32")
    weights = None if a.weights is None or b.weights is None else (1 - t) * a.weights + t * b.weights
    if method == "linear":
        return _Points((1 - t) * a.coordinates + t * b.coordinates, weights)
    return _Points(slerp(a.coordinates, b.coordinates, t), weights)


def _decoded(vae: TrainedModel, points: _Points, method: str) -> Images:
    if method != "noise":
        return vae.decode(points.coordinates)
    return vae.decode(vae.latents_from_noise(points.coordinates, points.weights))
