"""Gaussians with a diagonal covariance, and mixtures of them, over the last axis.

Both are maps of noise: `from_noise` turns standard normal noise u into a draw z, `to_noise` is its inverse.
Sampling a prior, interpolation and grids of latents work with u.
"""

from __future__ import annotations

import math
from typing import final

from digitvae.distributions.base import Tensor, as_float32
from digitvae.distributions.operations import ops

_LOG_2PI = math.log(2 * math.pi)

# 2 ** -32 of any bracket that occurs here is below the resolution of float32.
_BISECTIONS = 32

# Beyond it the tail of the standard normal is below the smallest normal float32 number.
_LARGEST_NOISE = 12.5


@final
class Gaussian:
    """Normal distribution with independent coordinates.

    Args:
        mean: float, shape (..., d).
        log_scale: natural logarithm of the standard deviation, float, broadcastable to (..., d).
    """

    def __init__(self, mean: Tensor, log_scale: Tensor) -> None:
        self.mean = as_float32(mean)
        self.log_scale = as_float32(log_scale)

    def from_noise(self, u: Tensor) -> Tensor:
        """Return z = mean + exp(log_scale) * u (Kingma & Welling 2013, section 2.4), broadcast."""
        return self.mean + ops.exp(self.log_scale) * as_float32(u)

    def to_noise(self, z: Tensor) -> Tensor:
        """Return u = (z - mean) / exp(log_scale), broadcast."""
        return (as_float32(z) - self.mean) * ops.exp(-self.log_scale)

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the log-density in nats, summed over the last axis, of the broadcast leading shape."""
        u = self.to_noise(z)
        # log N(z | m, s^2) = -1/2 sum_i [ u_i^2 + 2 log s_i + log 2 pi ]  with u = (z - m) / s
        return -0.5 * ops.sum(ops.square(u) + 2 * self.log_scale + _LOG_2PI, axis=-1)

    def kl_per_latent(self, other: Gaussian) -> Tensor:
        """Kullback-Leibler divergence from `other` to this one, coordinate by coordinate.

        Args:
            other: the distribution measured against, with shapes that broadcast against this one's.

        Returns:
            KL(self || other) in nats: float32, shape (..., d), to be summed over the last axis.
        """
        log_ratio = self.log_scale - other.log_scale
        shift = other.to_noise(self.mean)
        # KL(N(m, s^2) || N(m', s'^2)) = 1/2 [ s^2/s'^2 - 1 + (m - m')^2/s'^2 ] - log(s/s')
        return 0.5 * (ops.expm1(2 * log_ratio) + ops.square(shift)) - log_ratio


@final
class GaussianMixture:
    """Weighted sum of K diagonal Gaussians.

    Args:
        logits: unnormalised log-weights, float, shape (K,); or (..., K) with leading axes that broadcast
            against those of z, say one mixture for each label in a batch.
        components: the K Gaussians, mean of shape (K, d); or (..., K, d) likewise.
    """

    def __init__(self, logits: Tensor, components: Gaussian) -> None:
        self.log_weights = ops.log_softmax(as_float32(logits), axis=-1)
        self.components = components

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the log-density in nats, float32 (...), of z (..., d)."""
        # log p(z) = log sum_k w_k N(z | m_k, s_k^2). All K d differences z - mean are formed: expanding the
        # square would save memory, but cancellation in float32 would spoil narrow components.
        return ops.logsumexp(
            self.log_weights + self.components.log_prob(as_float32(z)[..., None, :]), axis=-1
        )

    def from_noise(self, u: Tensor) -> Tensor:
        """Turn standard normal noise into a draw by the Knothe-Rosenblatt map (Rosenblatt 1952).

        Coordinate after coordinate, z_i solves F(z_i | z_1 .. z_{i-1}) = Phi(u_i), where F is the mixture's
        conditional distribution function. The tail that holds less than one half is the one compared, so that
        large |u| keep their precision. The map is exact up to rounding: `to_noise` gives u back within 1e-4
        for |u| <= 5; the tail underflows at about 12. Bisection passes no gradient. Leading axes of u must
        include those of the mixture.
        """
        u = ops.stop_gradient(as_float32(u))
        means, log_scales, log_weights = self._parameters()
        z = []
        for i in range(u.shape[-1]):
            mean, log_scale = means[..., i], log_scales[..., i]
            side = ops.where(u[..., i] > 0, -1.0, 1.0)
            # A quantile of the mixture lies between the least and the greatest one of its components.
            quantiles = mean + ops.exp(log_scale) * u[..., i, None]
            z_i = _solve(
                _tail(u[..., i], side),
                side,
                bracket=quantiles,
                mixture=(ops.exp(log_weights), mean, ops.exp(log_scale)),
            )
            z.append(z_i)
            log_weights = _condition(log_weights, (z_i[..., None] - mean) * ops.exp(-log_scale), log_scale)
        return ops.stack(z, axis=-1)

    def to_noise(self, z: Tensor) -> Tensor:
        """Invert `from_noise`, with the same limits: u_i = Phi^-1(F(z_i | z_1 .. z_{i-1})), within +-12.5."""
        z = ops.stop_gradient(as_float32(z))
        means, log_scales, log_weights = self._parameters()
        one, zero = ops.ones((1,), "float32"), ops.zeros((1,), "float32")
        u = []
        for i in range(z.shape[-1]):
            log_scale = log_scales[..., i]
            scores = (z[..., i, None] - means[..., i]) * ops.exp(-log_scale)
            weights = ops.exp(log_weights)
            side = ops.where(ops.sum(weights * _tail(scores, 1.0), axis=-1) > 0.5, -1.0, 1.0)
            u_i = _solve(
                ops.sum(weights * _tail(scores, side[..., None]), axis=-1),
                side,
                bracket=ops.clip(scores, -_LARGEST_NOISE, _LARGEST_NOISE),
                mixture=(one, zero, one),
            )
            u.append(u_i)
            log_weights = _condition(log_weights, scores, log_scale)
        return ops.stack(u, axis=-1)

    def _parameters(self) -> tuple[Tensor, Tensor, Tensor]:
        # A gradient through the comparisons of a bisection would be silently wrong, so none is passed.
        means = ops.stop_gradient(self.components.mean)
        log_scales = ops.broadcast_to(ops.stop_gradient(self.components.log_scale), ops.shape(means))
        return means, log_scales, ops.stop_gradient(self.log_weights)


def _condition(log_weights: Tensor, scores: Tensor, log_scale: Tensor) -> Tensor:
    # log p(k | z_1 .. z_i) = log p(k | z_1 .. z_{i-1}) + log N(z_i | m_ki, s_ki^2) + a constant
    return ops.log_softmax(log_weights - 0.5 * ops.square(scores) - log_scale, axis=-1)


def _tail(u: Tensor, side: Tensor | float) -> Tensor:
    # Phi(u) where side is +1, 1 - Phi(u) where it is -1; erfc keeps the relative precision of both.
    return 0.5 * ops.erfc(-side * u / math.sqrt(2.0))


def _solve(target: Tensor, side: Tensor, bracket: Tensor, mixture: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    # Where that tail of a one-dimensional mixture (weights, means, scales over the last axis) is `target`.
    state = (ops.min(bracket, axis=-1), ops.max(bracket, axis=-1), target, side, *mixture)
    low, high, *_ = ops.fori_loop(0, _BISECTIONS, _halve, state)
    return 0.5 * (low + high)


def _halve(_: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    # A module-level function that takes everything from its state: JAX compiles it once, not per coordinate.
    low, high, target, side, weights, mean, scale = state
    middle = 0.5 * (low + high)
    reached = ops.sum(weights * _tail((middle[..., None] - mean) / scale, side[..., None]), axis=-1)
    above = side * (reached - target) >= 0
    return (ops.where(above, low, middle), ops.where(above, middle, high), target, side, weights, mean, scale)
