"""Planes and paths in the latent space, in the coordinates of the prior's base noise u.

In u the prior is a standard normal, whatever it is in z: a grid of Gaussian quantiles covers a plane evenly
in probability, and a great circle between two points stays in regions of high probability.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from digitvae.model import VAE


def noise_plane(
    vae: VAE,
    size: int = 20,
    axes: tuple[int, int] | None = None,
    edge: float = 0.02,
    label: int | None = None,
) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Decode a grid over two coordinates of the base noise, the others at their median 0.

    Args:
        vae: the model.
        size: images per side.
        axes: the two coordinates (rows, columns); by default the two that change the images most.
        edge: probability below the first and above the last quantile.
        label: the label of all images; required where the model's prior depends on labels.

    Returns:
        Images uint8 (size, size, height, width), with the lowest quantile in row 0; the quantiles (size,) as
        probabilities; the axes. With one latent all columns are equal.

    Raises:
        ValueError: a size below 1, axes outside the latent space, or a label that the model does not have.
    """
    if size < 1:
        raise ValueError(f"Expected size to be at least 1. Received: size={size}")
    if axes is None:
        axes = most_visible_axes(vae, label)
    if not all(0 <= axis < vae.latent_dim for axis in axes):
        raise ValueError(f"Expected axes from 0 to {vae.latent_dim - 1}. Received: axes={axes}")
    quantiles = np.linspace(edge, 1 - edge, size) if size > 1 else np.array([0.5])
    values = np.array([NormalDist().inv_cdf(q) for q in quantiles], "float32")
    noise = np.zeros((size, size, vae.latent_dim), "float32")
    noise[:, :, axes[1]] = values[None, :]
    noise[:, :, axes[0]] = values[:, None]
    images = vae.decode(_latents(vae, noise.reshape(size * size, -1), label))
    return images.reshape(size, size, *vae.image_shape), quantiles, axes


def most_visible_axes(vae: VAE, label: int | None = None) -> tuple[int, int]:
    """Return the two coordinates of the base noise whose change from -1.5 to 1.5 changes the image most.

    Args:
        vae: the model.
        label: as in `noise_plane`.
    """
    if vae.latent_dim == 1:
        return 0, 0
    steps = 1.5 * np.eye(vae.latent_dim, dtype="float32")
    low, high = (vae.decode(_latents(vae, sign * steps, label)).astype("float32") for sign in (-1, 1))
    change = np.square(high - low).sum(axis=(1, 2))
    first, second = np.argsort(-change, kind="stable")[:2]
    return int(first), int(second)


def interpolate(vae: VAE, start: np.ndarray, end: np.ndarray, steps: int = 10) -> np.ndarray:
    """Interpolate between pairs of images along great circles of the base noise.

    Where the prior depends on labels, the weight goes from the most probable label of the start to that of
    the end along the path.

    Args:
        vae: the model.
        start: uint8 (n, height, width).
        end: uint8 (n, height, width).
        steps: images per path, including the reconstructions of both ends.

    Returns:
        uint8 (n, steps, height, width).

    Raises:
        ValueError: fewer than 2 steps, or different numbers of starts and ends.
    """
    if steps < 2:
        raise ValueError(f"Expected steps to be at least 2. Received: steps={steps}")
    if len(start) != len(end):
        raise ValueError(f"Expected as many starts as ends. Received: {len(start)} and {len(end)}")
    ends = [vae.encode(images) for images in (start, end)]
    times = np.linspace(0, 1, steps)
    weights = None
    if vae.labels:
        first, last = (np.eye(vae.labels)[vae.label_probabilities(z).argmax(axis=1)] for z in ends)
        weights = np.stack([(1 - t) * first + t * last for t in times], axis=1).reshape(-1, vae.labels)
    a, b = (vae.noise_from_latents(z) for z in ends)
    noise = np.stack([slerp(a, b, t) for t in times], axis=1)
    images = vae.decode(vae.latents_from_noise(noise.reshape(-1, vae.latent_dim), weights))
    return images.reshape(len(start), steps, *vae.image_shape)


def _latents(vae: VAE, noise: np.ndarray, label: int | None) -> np.ndarray:
    return vae.latents_from_noise(noise, None if label is None else np.full(len(noise), label))


def slerp(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    """Interpolate directions along a great circle and lengths linearly (White 2016).

    Args:
        a: float (n, d).
        b: float (n, d).
        t: from 0, which gives a, to 1, which gives b.
    """
    length_a, length_b = (np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12) for v in (a, b))
    cosine = np.clip(np.sum(a / length_a * (b / length_b), axis=-1, keepdims=True), -1, 1)
    angle = np.arccos(cosine)
    # Nearly parallel or opposite vectors define no great circle: use the straight line.
    straight = np.sin(angle) < 1e-4
    sine = np.where(straight, 1.0, np.sin(angle))
    direction = np.sin((1 - t) * angle) / sine * (a / length_a) + np.sin(t * angle) / sine * (b / length_b)
    return np.where(straight, (1 - t) * a + t * b, direction * ((1 - t) * length_a + t * length_b))
