"""Places of latents on a plane, so that one can look at them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.float32]

_MARGIN = 0.02


def map_of_neighbours(latents: np.ndarray, seed: int) -> Places:
    """Place latents so that those that are near each other stay so: t-SNE (van der Maaten & Hinton 2008).

    Two latents are a plane already, and stay as they are.

    Args:
        latents: float (n, d).
        seed: of the search.

    Returns:
        Float32 (n, 2) in [0, 1].
    """
    from sklearn.manifold import TSNE

    if latents.shape[1] == 2:
        return fitted(latents)
    if len(latents) < 10 or latents.shape[1] == 1:  # no neighbourhoods to speak of
        return fitted(plane(latents, None))
    search = TSNE(perplexity=min(30, (len(latents) - 1) / 3), init="pca", random_state=seed)
    return fitted(search.fit_transform(np.asarray(latents, "float32")))


def plane(latents: np.ndarray, labels: np.ndarray | None, like: np.ndarray | None = None) -> np.ndarray:
    """Project latents to a plane: the one that parts the labels best, or else the one of most variance.

    The first is Fisher's linear discriminant analysis; fewer than three labels span no plane.

    Args:
        latents: float (n, d).
        labels: whole numbers (n,), negative where there is none; or None.
        like: places (n, 2) of the same images before; turned and mirrored, the plane comes as near to them as
            it can, so that a film of planes does not jump.

    Returns:
        Float64 (n, 2), centred.
    """
    # Here, since its import would be a third of the start of `digitvae explore`, which may not need it.
    from scipy import linalg

    z = np.asarray(latents, "float64")
    z = z - z.mean(axis=0)
    known = np.zeros(len(z), bool) if labels is None else np.asarray(labels) >= 0
    kinds = np.unique(np.asarray(labels)[known]) if known.any() else ()
    if len(kinds) > 2 and z.shape[1] > 1:
        means = np.stack([z[labels == kind].mean(axis=0) for kind in kinds])
        apart = [z[labels == kind] - mean for kind, mean in zip(kinds, means, strict=True)]
        within = np.cov(np.concatenate(apart).T)
        # Latents that carry nothing yet hardly vary; the ridge keeps the search defined.
        ridge = 1e-3 * np.trace(within) / len(within) + 1e-12
        _, axes = linalg.eigh(np.cov(means.T), within + ridge * np.eye(len(within)))
        axes = axes[:, ::-1][:, :2]
    else:
        axes = np.linalg.svd(z, full_matrices=False)[2][:2].T
    places = np.zeros((len(z), 2))
    places[:, : axes.shape[1]] = z @ axes
    if like is not None:
        left, _, right = np.linalg.svd(places.T @ (like - like.mean(axis=0)))
        places = places @ left @ right
    return places


def fitted(places: np.ndarray) -> Places:
    """Move and scale places into the unit square, both sides alike, the middle of them to its middle."""
    low, high = places.min(axis=0), places.max(axis=0)
    scale = (1 - 2 * _MARGIN) / max((high - low).max(), 1e-12)
    return np.asarray(0.5 + scale * (places - (low + high) / 2), "float32")
