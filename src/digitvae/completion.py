"""Images of which a part is missing or damaged: inpainting and denoising by p(z|what was seen)."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from keras import ops

from digitvae import seeds
from digitvae.distributions import Likelihood, Tensor
from digitvae.model import VAE
from digitvae.rows import checked_images
from digitvae.tempering import CHAINS_AT_ONCE, posterior_draws

LEAST_DRAWS = 16
"""Latents per image, also where fewer completions are asked for: a smaller population follows worse."""


def inpaint(
    vae: VAE,
    images: Any,
    mask: npt.ArrayLike,
    completions: int = 5,
    seed: int = 0,
    pixels: Literal["mean", "sample"] = "mean",
) -> npt.NDArray[np.uint8]:
    """Complete images of which pixels are hidden, each several times.

    Latents are drawn from p(z|visible pixels) by `digitvae.tempering`, and give the hidden pixels. What
    stands at hidden pixels has no influence. Grey levels of a model of bits count as the means of bits.

    Args:
        vae: the model.
        images: as in `VAE.encode`.
        mask: bool (height, width), or one for each image, (n, height, width); true where a pixel is hidden.
        completions: how many of each image, at most 512.
        seed: seed of all noise; the noise of an image depends on its position too, but not on the others.
        pixels: "mean" for the mean of p(x|z), "sample" for a draw from it.

    Returns:
        uint8 (n, completions, height, width); visible pixels are those of the images.

    Raises:
        ValueError: images of another size, a mask of another shape or type, or completions out of range.
    """
    images = checked_images(images, vae.image_shape)
    hidden = _checked_mask(mask, images)
    if not 1 <= completions <= CHAINS_AT_ONCE:
        raise ValueError(
            f"Expected completions from 1 to {CHAINS_AT_ONCE}. Received: completions={completions}"
        )
    if pixels not in ("mean", "sample"):
        raise ValueError(f"Expected pixels to be mean or sample. Received: pixels={pixels}")
    draws = max(LEAST_DRAWS, completions)
    # Resampling leaves copies of one latent side by side: those far apart differ most.
    chosen = np.arange(completions) * draws // completions
    completed = np.empty((len(images), completions, *vae.image_shape), "uint8")
    observations = (np.where(hidden, 0, images), ~hidden)
    for rows, latents in posterior_draws(vae, of_visible, observations, draws, seed):
        for i, some in zip(range(rows.start, rows.stop), latents[:, chosen], strict=True):
            decoded = vae.decode(some, pixels=pixels, seed=seeds.integer(seed, "completions", i))
            completed[i] = np.where(hidden[i], decoded, images[i])
    return completed


def denoise(vae: VAE, images: Any, flip: float = 0.2, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Restore images whose pixels were inverted, each with some probability.

    Args:
        vae: the model.
        images: as in `VAE.encode`: what is left of the clean images.
        flip: probability that a pixel x became 1 - x.
        seed: seed of all noise, as in `inpaint`.

    Returns:
        The mean of p(x|z) over draws of p(z|images), uint8 (n, height, width).

    Raises:
        ValueError: images of another size, or a probability that is not between 0 and 1/2.
    """
    images = checked_images(images, vae.image_shape)
    if not 0 < flip < 0.5:
        raise ValueError(f"Expected flip to be between 0 and 0.5. Received: flip={flip}")
    restored = np.empty_like(images)

    def of_noisy(likelihood: Likelihood, x: Tensor) -> Tensor:
        # p(seen|z) = (1 - flip) p(x = seen|z) + flip p(x = 1 - seen|z) for every pixel
        as_seen = math.log1p(-flip) + likelihood.log_prob_per_pixel(x / 255)
        inverted = math.log(flip) + likelihood.log_prob_per_pixel(1 - x / 255)
        return ops.sum(ops.logaddexp(as_seen, inverted), axis=(-2, -1))

    for rows, latents in posterior_draws(vae, of_noisy, (images,), LEAST_DRAWS, seed):
        decoded = vae.decode(latents.reshape(-1, vae.latent_dim))
        means = decoded.reshape(-1, LEAST_DRAWS, *vae.image_shape).mean(axis=1)
        restored[rows] = np.rint(means)
    return restored


def of_visible(likelihood: Likelihood, x: Tensor, visible: Tensor) -> Tensor:
    """Return the log-likelihood of the visible pixels.

    Args:
        likelihood: p(x|z) with parameters (n, k, height, width, channels).
        x: pixels from 0 to 255, float (n, 1, height, width).
        visible: which of them count, ones and zeros of the same shape.

    Returns:
        Nats, float32 (n, k).
    """
    return ops.sum(visible * likelihood.log_prob_per_pixel(x / 255), axis=(-2, -1))


def _checked_mask(mask: npt.ArrayLike, images: np.ndarray) -> npt.NDArray[np.bool_]:
    mask = np.asarray(mask)
    if mask.dtype != bool or mask.shape not in (images.shape, images.shape[1:]):
        raise ValueError(
            f"Expected a mask of bool, shape {images.shape[1:]} or {images.shape}. "
            f"Received: {mask.dtype}, shape={mask.shape}"
        )
    return np.broadcast_to(mask, images.shape)
