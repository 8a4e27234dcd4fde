"""Objectives: what training maximises, in nats per image, as functions of the terms of the bound.

Shapes here: n images, k posterior draws per image, d latents.
"""

from __future__ import annotations

import abc
from typing import Any, NamedTuple, final

import keras
from keras import ops

from digitvae.distributions import Tensor


class BoundTerms(NamedTuple):
    """The terms of the evidence lower bound, float32, in nats; `VAE.bound_terms` computes them."""

    reconstruction: Tensor
    """-log p(x|z) of every draw, (n, k)."""
    log_ratio: Tensor
    """log q(z|x) - log p(z) of every draw, (n, k): its mean over draws is an unbiased estimate of the KL."""
    kl: Tensor
    """KL(q(z|x) || p(z)), (n,): in closed form where there is one, else the mean of `log_ratio`."""
    kl_per_latent: Tensor | None
    """The KL of every latent, (n, d), under a Gaussian prior; None under others."""


class Objective(abc.ABC):
    """A function of the terms of the bound.

    Args:
        draws: posterior draws per image that it wants, k.
    """

    scheduled = False
    """Whether it depends on the number of training steps done."""
    resampled = 0
    """Draws of every image from which training takes the gradient, in place of that of the objective."""

    def __init__(self, draws: int = 1):
        self.draws = draws

    @abc.abstractmethod
    def __call__(self, terms: BoundTerms, step: Tensor | int) -> Tensor:
        """Return the objective of every image, float32 (n,), in nats.

        Args:
            terms: of the model, with `draws` draws.
            step: training steps done, a scalar.
        """

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"draws": self.draws}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Objective:
        """Rebuild the objective; files of version 0.1.0 also hold a `name`."""
        return cls(**{name: value for name, value in config.items() if name != "name"})


@final
@keras.saving.register_keras_serializable("digitvae")
class ELBO(Objective):
    """E_q[log p(x|z)] - beta KL(q(z|x) || p(z)).

    With beta other than 1 it is the beta-VAE's (Higgins et al. 2017). Free bits follow Kingma et al. 2016,
    equation 15, with one group per latent. Warm-up grows beta linearly (Sonderby et al. 2016).

    Args:
        draws: posterior draws per image.
        beta: weight of the KL after warm-up.
        free_bits: nats per latent below which the KL, averaged over the batch, is not penalised.
        warmup_steps: training steps over which beta grows from 0.
    """

    def __init__(
        self, draws: int = 1, beta: float = 1.0, free_bits: float = 0.0, warmup_steps: int = 0
    ) -> None:
        super().__init__(draws)
        self.beta, self.free_bits, self.warmup_steps = beta, free_bits, warmup_steps
        self.scheduled = warmup_steps > 0

    def __call__(self, terms: BoundTerms, step: Tensor | int) -> Tensor:
        """Return the objective of every image, float32 (n,), in nats.

        Raises:
            ValueError: free bits under a prior that gives latents no KL of their own.
        """
        kl = terms.kl
        if self.free_bits:
            if terms.kl_per_latent is None:
                raise ValueError(
                    "Expected a Gaussian prior with free_bits, because only there a latent has a KL of its "
                    f"own. Received: another prior with free_bits={self.free_bits}"
                )
            # sum_j max(free bits, mean over the batch of KL_j): the same for every image of the batch.
            kl = ops.sum(ops.maximum(ops.mean(terms.kl_per_latent, axis=0), self.free_bits))
        beta = self.beta
        if self.scheduled:
            beta = self.beta * ops.minimum(ops.cast(step, "float32") / self.warmup_steps, 1.0)
        return -ops.mean(terms.reconstruction, axis=1) - beta * kl

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        own = ("beta", "free_bits", "warmup_steps")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


@final
@keras.saving.register_keras_serializable("digitvae")
class IWAE(Objective):
    """log 1/k sum_k p(x, z_k) / q(z_k|x), the importance-weighted bound (Burda et al. 2016, equation 8).

    Args:
        draws: posterior draws per image, k.
        resampled: 0 for the gradient of all draws; or how many of them are drawn again, by their weights
            w_k / sum_j w_j, to take the gradient from. It is the same on average: a step computes k decodings
            and the gradients of few. `VAE` says how.
    """

    def __init__(self, draws: int = 1, resampled: int = 0) -> None:
        super().__init__(draws)
        self.resampled = resampled

    def __call__(self, terms: BoundTerms, step: Tensor | int = 0) -> Tensor:
        """Return the bound of every image, float32 (n,), in nats."""
        log_weights = -terms.reconstruction - terms.log_ratio
        return ops.logsumexp(log_weights, axis=1) - ops.log(ops.cast(ops.shape(log_weights)[1], "float32"))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "resampled": self.resampled}
