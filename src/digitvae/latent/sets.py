"""Images among other images: arithmetic with the means of sets, and neighbours."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from digitvae.data import as_images
from digitvae.latent.points import Floats, Images, as_latents, check_at_least
from digitvae.progress import progress_bar
from digitvae.trained import TrainedModel

_BLOCK = 2048
"""Images at a time on each side of a matrix of distances, 32 MB of them."""


def arithmetic(vae: TrainedModel, base: Any, minus: Any, plus: Any) -> Images:
    """Take what one set has on average away from images and add what another has.

    Args:
        vae: the model.
        base: images, uint8 (k, height, width), or latents, float (k, latent_dim).
        minus: likewise, any number of them.
        plus: likewise.

    Returns:
        uint8 (k, height, width): the images of base - mean(minus) + mean(plus), in latents.

    Raises:
        ValueError: neither images nor latents of this model.
    """
    start, less, more = (as_latents(vae, points) for points in (base, minus, plus))
    return vae.decode(start - less.mean(axis=0) + more.mean(axis=0))


def neighbours(
    vae: TrainedModel, images: Any, among: Any, k: int = 5, space: Literal["latent", "pixels"] = "latent"
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Find the images that are nearest to each image.

    Args:
        vae: the model; in pixel space it is not used.
        images: uint8 (n, height, width); latents, float (n, latent_dim), in the latent space.
        among: those to search, likewise, at least k.
        k: how many to find.
        space: "latent" for the distance of posterior means, "pixels" for that of pixels in [0, 1].

    Returns:
        Rows of `among`, int64 (n, k), the nearest first, and Euclidean distances, float32 (n, k).

    Raises:
        ValueError: k below 1 or above the number of images to search, an unknown space, or images of another
            size.
    """
    if space not in ("latent", "pixels"):
        raise ValueError(f"Expected space to be latent or pixels. Received: space={space}")
    check_at_least(1, k=k)
    if k > len(among):
        raise ValueError(f"Expected k of at most {len(among)}, the images to search. Received: k={k}")
    if space == "latent":
        return _nearest(as_latents(vae, images), as_latents(vae, among), k)
    queries, searched = as_images(images), as_images(among, "among")
    if queries.shape[1:] != searched.shape[1:]:
        raise ValueError(
            f"Expected images of one size. Received: {queries.shape[1:]} and among them {searched.shape[1:]}"
        )
    rows, distances = _nearest(queries, searched, k)
    return rows, distances / np.float32(255)


def _nearest(
    queries: npt.NDArray[Any], searched: npt.NDArray[Any], k: int
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Find the k nearest rows; of equally near ones the first come first."""
    from sklearn.metrics.pairwise import euclidean_distances
    from sklearn.utils import gen_batches

    found, distances = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
    pairs = len(queries) * len(searched)
    with progress_bar(pairs, "comparing", " pairs") as bar:
        for rows in gen_batches(len(queries), _BLOCK):
            block = _flat(queries[rows])
            near, far = np.empty((len(block), 0), np.int64), np.empty((len(block), 0))
            for columns in gen_batches(len(searched), _BLOCK):
                squares = euclidean_distances(block, _flat(searched[columns]), squared=True)
                numbers = np.arange(columns.start, columns.stop)
                near = np.hstack([near, np.broadcast_to(numbers, squares.shape)])
                far = np.hstack([far, squares])
                order = np.argsort(far, axis=1, kind="stable")[:, :k]
                near = np.take_along_axis(near, order, axis=1)
                far = np.take_along_axis(far, order, axis=1)
                bar.update(squares.size)
            found[rows], distances[rows] = near, np.sqrt(far)
    return found, distances


def _flat(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    # Grey levels are integers, for which the products and sums in float64 are exact.
    return values.reshape(len(values), -1).astype("float64")
