"""Objectives: what training maximises, in nats per image.

They see only the data, the draws and the three distributions. Shapes here: n images, k posterior draws.
"""

from __future__ import annotations

import abc
from typing import Any, NamedTuple

import keras
from keras import ops

from digitvae.distributions import Gaussian


class Terms(NamedTuple):
    """The pieces of the bound, each (n, k), in nats per image."""

    reconstruction: Any
    """-log p(x|z)."""
    log_ratio: Any
    """log q(z|x) - log p(z): an unbiased draw of the KL."""


def terms(x, z, posterior, prior, likelihood) -> Terms:
    """Evaluate the three densities at k draws of the posterior.

    Args:
        x: pixels in [0, 1], (n, 1, height, width).
        z: draws of the posterior, (n, k, latent_dim).
        posterior: q(z|x) with parameters (n, 1, latent_dim).
        prior: p(z).
        likelihood: p(x|z) with parameters (n, k, height, width, channels).
    """
    return Terms(-likelihood.log_prob(x), posterior.log_prob(z) - prior.log_prob(z))


def kl_divergence(log_ratio, posterior, prior):
    """Return KL(q(z|x) || p(z)), (n,): in closed form where there is one, else the mean over draws.

    Args:
        log_ratio: log q(z|x) - log p(z) at the draws, (n, k).
        posterior: q(z|x) with parameters (n, 1, latent_dim).
        prior: p(z).
    """
    if isinstance(prior, Gaussian):
        return ops.sum(posterior.kl_per_latent(prior), axis=(-2, -1))
    return ops.mean(log_ratio, axis=1)


class Objective(keras.layers.Layer, abc.ABC):
    """Something to maximise; `draws` is the number of posterior draws it wants."""

    def __init__(self, draws: int = 1, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.draws = draws
        self.built = True

    @abc.abstractmethod
    def value(self, values: Terms, posterior, prior, training: bool):
        """Return the objective of every image, (n,), in nats.

        Args:
            values: the terms of the bound at the draws.
            posterior: q(z|x) with parameters (n, 1, latent_dim).
            prior: p(z).
            training: whether this is a training step (schedules move on).
        """

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"draws": self.draws, "name": self.name}


@keras.saving.register_keras_serializable("digitvae")
class ELBO(Objective):
    """E_q[log p(x|z)] - beta KL(q(z|x) || p(z)).

    beta other than 1 is the beta-VAE (Higgins et al. 2017); free bits follow Kingma et al. 2016,
    equation 15, with a group for every latent; warm-up grows beta linearly (Sonderby et al. 2016).

    Args:
        draws: posterior draws an image.
        beta: weight of the KL after warm-up.
        free_bits: nats a latent below which the KL, averaged over the batch, is not penalised.
        warmup_steps: training steps over which beta grows from 0.
    """

    def __init__(
        self, draws: int = 1, beta: float = 1.0, free_bits: float = 0.0, warmup_steps: int = 0, **kwargs
    ):
        super().__init__(draws, **kwargs)
        self.beta, self.free_bits, self.warmup_steps = beta, free_bits, warmup_steps
        if warmup_steps:
            self.step = self.add_weight(shape=(), initializer="zeros", trainable=False, name="step")

    def value(self, values: Terms, posterior, prior, training: bool):
        """Return the objective of every image, (n,), in nats."""
        if self.free_bits:
            # sum_j max(free bits, mean over the batch of KL_j): the same for every image of the batch.
            kl_per_latent = ops.mean(posterior.kl_per_latent(prior), axis=(0, 1))
            kl = ops.sum(ops.maximum(kl_per_latent, self.free_bits))
        else:
            kl = kl_divergence(values.log_ratio, posterior, prior)
        return -ops.mean(values.reconstruction, axis=1) - self._current_beta(training) * kl

    def _current_beta(self, training: bool):
        if not self.warmup_steps:
            return self.beta
        beta = self.beta * ops.minimum(self.step / self.warmup_steps, 1.0)
        if training:
            self.step.assign_add(1)
        return beta

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "beta": self.beta,
            "free_bits": self.free_bits,
            "warmup_steps": self.warmup_steps,
        }


@keras.saving.register_keras_serializable("digitvae")
class IWAE(Objective):
    """log 1/k sum_k p(x, z_k) / q(z_k|x), the importance-weighted bound (Burda et al. 2016, equation 8)."""

    def value(self, values: Terms, posterior, prior, training: bool):
        """Return the bound of every image, (n,), in nats."""
        return importance_weighted_bound(values)


def importance_weighted_bound(values: Terms):
    """Return log 1/k sum_k p(x, z_k) / q(z_k|x), (n,), in nats."""
    log_weights = -values.reconstruction - values.log_ratio
    draws = ops.cast(ops.shape(log_weights)[1], "float32")
    return ops.logsumexp(log_weights, axis=1) - ops.log(draws)
