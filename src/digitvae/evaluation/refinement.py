"""Posteriors fitted to single images: how much the encoder loses by being one function for all images."""

from __future__ import annotations

import math
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from digitvae.distributions import Gaussian, Tensor
from digitvae.evaluation.gradients import value_and_gradient
from digitvae.evaluation.likelihood import even_batch_size, padded, pixels
from digitvae.evaluation.protocols import check_counts
from digitvae.model import VAE
from digitvae.progress import progress_bar
from digitvae.seeds import image_streams

DECODES_AT_ONCE = 512
"""Images times draws per call: bounds the memory."""


def refine_posteriors(
    vae: VAE,
    images: np.ndarray,
    steps: int,
    draws: int = 8,
    learning_rate: float = 0.05,
    seed: int = 0,
    indices: np.ndarray | None = None,
    progress: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Fit a Gaussian posterior to every image by maximising its ELBO, starting at the encoder's.

    What the ELBO gains is the amortisation gap (Cremer et al. 2018). `image_bounds` measures it, with
    noise that was not used for the fit.

    Args:
        vae: the model.
        images: uint8 (n, height, width): bits (0 or 255) for a dynamic model, grey values else.
        steps: steps of Adam; the rate falls to zero along a cosine.
        draws: posterior draws per image and step.
        learning_rate: rate of the first step, in units of the encoder's scales for the means and in nats for
            the log-scales.
        seed: seed of the noise.
        indices: positions of the images in their data set, (n,), which select their noise; by default 0 to
            n - 1.
        progress: show a progress bar on stderr where that is a terminal.

    Returns:
        Means and log-scales, float32 (n, latent_dim).

    Raises:
        ValueError: steps or draws below 1, or grey images for a dynamic model.
    """
    check_counts(steps=steps, draws=draws)
    indices = np.arange(len(images)) if indices is None else indices
    means, log_scales = vae.encode_posterior(images)
    size = even_batch_size(len(images), DECODES_AT_ONCE // draws)
    function = value_and_gradient(_elbo(vae))
    with progress_bar(math.ceil(len(images) / size) * steps, "refining", " steps", progress) as bar:
        for start in range(0, len(images), size):
            rows = slice(start, min(start + size, len(images)))
            parts = (pixels(vae, images[rows]), means[rows], log_scales[rows])
            batch = [ops.convert_to_tensor(padded(part, size)) for part in parts]
            streams = image_streams(seed, indices[rows], 3)
            # In units of the encoder's posterior one learning rate suits all latents.
            shift = keras.Variable(np.zeros((size, 2 * vae.latent_dim)), dtype="float32")
            # Adam is elementwise, so images do not influence one another.
            adam = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, steps))
            for _ in range(steps):
                noise = [stream.standard_normal((draws, vae.latent_dim), "float32") for stream in streams]
                _, gradient = function(ops.convert_to_numpy(shift), *batch, padded(np.stack(noise), size))
                adam.apply([ops.convert_to_tensor(-gradient)], [shift])
                bar.update()
            found = ops.convert_to_numpy(shift)[: rows.stop - start]
            means[rows] += np.exp(log_scales[rows]) * found[:, : vae.latent_dim]
            log_scales[rows] += found[:, vae.latent_dim :]
    return means, log_scales


def _elbo(vae: VAE) -> Callable[..., Tensor]:
    """Return the ELBO of posteriors (n, 2 d) at given draws, as a function of tensors."""

    def elbo(shift: Tensor, x: Tensor, mean: Tensor, log_scale: Tensor, noise: Tensor) -> Tensor:
        mean_shift, log_scale_shift = ops.split(shift, 2, axis=-1)
        mean = mean + ops.exp(log_scale) * mean_shift
        log_scale = log_scale + log_scale_shift
        z = Gaussian(mean[:, None], log_scale[:, None]).from_noise(noise)
        # log q with its parameters fixed: the gradient through z alone has the same mean, and no noise where
        # q = p(z|x) (Roeder et al. 2017).
        held = Gaussian(ops.stop_gradient(mean), ops.stop_gradient(log_scale))
        terms = vae.bound_terms(x, posterior=held, z=z)
        return -ops.mean(terms.reconstruction + terms.log_ratio, axis=1)

    return elbo
