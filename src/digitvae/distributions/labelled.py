"""Distributions over latents that depend on a label."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from digitvae.distributions.base import Distribution, Tensor, as_float32
from digitvae.distributions.operations import ops


@final
class Labelled:
    """One distribution for each label: p(z) = sum_y p(y) p(z|y).

    Args:
        given: returns p(z|y) for weights of the labels, float32 (..., labels).
        latent_dim: number of coordinates of z.
        log_probabilities: log p(y), float (labels,).
    """

    def __init__(
        self, given: Callable[[Tensor], Distribution], latent_dim: int, log_probabilities: Tensor
    ) -> None:
        self._given, self._latent_dim = given, latent_dim
        self.log_probabilities = as_float32(log_probabilities)
        self.labels: int = self.log_probabilities.shape[0]

    def given(self, weights: Tensor) -> Distribution:
        """Return p(z|y), a map of standard normal noise.

        Args:
            weights: of the labels, float (..., labels): a one for the label; or weights that sum to 1, for a
                distribution between those of several labels.
        """
        return self._given(as_float32(weights))

    def log_joint(self, z: Tensor) -> Tensor:
        """Return log p(z, y) of every label in nats, float32 (..., labels), for z (..., latent_dim)."""
        z = as_float32(z)
        z = ops.broadcast_to(z[..., None, :], (*ops.shape(z)[:-1], self.labels, self._latent_dim))
        return self.log_probabilities + self.given(ops.eye(self.labels)).log_prob(z)

    def log_prob(self, z: Tensor) -> Tensor:
        """Return log p(z) in nats, float32 (...), for z (..., latent_dim)."""
        # log p(z) = log sum_y p(y) p(z|y)
        return ops.logsumexp(self.log_joint(z), axis=-1)

    def log_prob_labelled(self, z: Tensor, labels: Tensor) -> Tensor:
        """Return log p(z, y) where the label is known, log p(z) elsewhere.

        Args:
            z: latents (n, k, latent_dim).
            labels: whole numbers (n,), -1 where the label is not known.

        Returns:
            Nats, float32 (n, k); NaN for a label that there is not.
        """
        labels = ops.reshape(ops.cast(labels, "int32"), (-1, 1))
        weights = ops.cast(ops.equal(labels[..., None], ops.arange(self.labels)), "float32")
        log_probabilities = ops.sum(weights * self.log_probabilities, axis=-1)
        joint = log_probabilities + self.given(weights).log_prob(z)
        known = labels >= 0
        # The sum over all labels costs as many passes as there are: only where some label is missing.
        marginal = ops.cond(ops.all(known), lambda: joint, lambda: self.log_prob(z))
        invalid = ops.logical_or(labels < -1, labels >= self.labels)
        return ops.where(invalid, float("nan"), ops.where(known, joint, marginal))
