"""Pixel likelihoods p(x | z): given z, pixels are independent; the decoder gives their parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

from digitvae.distributions.base import Tensor, as_float32
from digitvae.distributions.operations import ops

# Below it the closed form of log(sinh(t) / t) loses digits by cancellation; up to it the series is accurate.
_SERIES_BELOW = 0.25

_LEVELS = 256


class Likelihood(ABC):
    """Distribution of an image whose pixels are independent given the latents.

    Args:
        params: the decoder's output, float, shape (..., height, width, channels).

    Raises:
        ValueError: if the last axis of params does not have as many entries as `channels` tells.
    """

    @abstractmethod
    def __init__(self, params: Tensor) -> None: ...

    @staticmethod
    @abstractmethod
    def channels() -> int:
        """Channels that the decoder must have for this likelihood."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-probability (or log-density) of whole images.

        Args:
            x: pixels in [0, 1], float, shape (..., height, width) that broadcasts against the parameters':
                (n, height, width) fits parameters of (k, n, height, width, channels).

        Returns:
            Nats, summed over height and width: float32, shape of the broadcast leading axes.
        """
        return ops.sum(self.log_prob_per_pixel(x), axis=(-2, -1))

    def log_prob_per_pixel(self, x: Tensor) -> Tensor:
        """Log-probability (or log-density) of every pixel, for where some do not count.

        Args:
            x: pixels, as in `log_prob`.

        Returns:
            Nats: float32, shape of the broadcast leading axes, then height and width.
        """
        return self._log_prob_per_pixel(as_float32(x))

    @property
    @abstractmethod
    def mean(self) -> Tensor:
        """Expected pixels: float32 in [0, 1], shape (..., height, width)."""

    @abstractmethod
    def sample(self, uniform: Tensor) -> Tensor:
        """Draw images.

        Args:
            uniform: numbers drawn evenly from [0, 1), float, shape (..., height, width, 2). They decide the
                draw, so that whoever draws them by NumPy gets the same images on every backend.

        Returns:
            Pixels in [0, 1], float32, shape (..., height, width).
        """

    @abstractmethod
    def _log_prob_per_pixel(self, x: Tensor) -> Tensor: ...


class _OneLogit(Likelihood):
    """What likelihoods with one logit per pixel share."""

    def __init__(self, params: Tensor) -> None:
        self.logits = _checked(params, self.channels())[..., 0]

    @staticmethod
    def channels() -> int:
        """Channels that the decoder must have for this likelihood."""
        return 1


@final
class Bernoulli(_OneLogit):
    """Pixels that are either 0 or 1.

    Args:
        params: logits of a pixel being 1, float, shape (..., height, width, 1).
    """

    @property
    def mean(self) -> Tensor:
        """Probability of a pixel being 1: float32, shape (..., height, width)."""
        return ops.sigmoid(self.logits)

    def sample(self, uniform: Tensor) -> Tensor:
        """Draw binary images, zeros and ones, by the first of the two numbers; as `Likelihood.sample`."""
        return ops.cast(as_float32(uniform)[..., 0] < self.mean, "float32")

    def _log_prob_per_pixel(self, x: Tensor) -> Tensor:
        # log p(x) = x log s(l) + (1 - x) log(1 - s(l)) = x l - softplus(l), s the logistic function
        return x * self.logits - ops.softplus(self.logits)


@final
class ContinuousBernoulli(_OneLogit):
    """Pixels anywhere in [0, 1] (Loaiza-Ganem & Cunningham 2019).

    Its density is proportional to exp(l x), a Bernoulli's with the normalizer that grey pixels need. Unlike
    the cross-entropy of grey pixels it is a density, which may exceed 1.

    Args:
        params: logits l, float, shape (..., height, width, 1); 0 is the uniform distribution.
    """

    @property
    def mean(self) -> Tensor:
        """Expected pixels: float32 in (0, 1), shape (..., height, width). Not the sigmoid of the logits."""
        near = ops.abs(self.logits) < 2 * _SERIES_BELOW
        far_logits = ops.where(near, 1.0, self.logits)
        square = ops.square(self.logits)
        series = self.logits * (1 / 12 - square * (1 / 720 - square / 30240))
        # E[x] = 1/2 + 1/2 coth(l / 2) - 1 / l,  whose series is 1/2 + l/12 - l^3/720 + l^5/30240 - ...
        return 0.5 + ops.where(near, series, 0.5 / ops.tanh(far_logits / 2) - 1 / far_logits)

    def sample(self, uniform: Tensor) -> Tensor:
        """Draw grey images by the inverse distribution function of the first of the two numbers."""
        u = as_float32(uniform)[..., 0]
        # No draw can tell 1e-6 from 0, where the formula is 0 / 0.
        size = ops.maximum(ops.abs(self.logits), 1e-6)
        # F(x) = (1 - exp(-l x)) / (1 - exp(-l)) for the logit -l < 0; a positive logit mirrors it.
        falling = ops.clip(-ops.log1p(u * ops.expm1(-size)) / size, 0.0, 1.0)
        return ops.where(self.logits < 0, falling, 1 - falling)

    def _log_prob_per_pixel(self, x: Tensor) -> Tensor:
        # p(x) = l exp(l x) / (exp(l) - 1),  so  log p(x) = l (x - 1/2) - log[ sinh(l/2) / (l/2) ]
        return self.logits * (x - 0.5) - _log_sinhc(self.logits / 2)


@final
class DiscretisedLogisticMixture(Likelihood):
    """Pixels on the 256 levels 0, 1/255 .. 1 by a mixture of logistics (Salimans et al. 2017, section 2.1).

    A level has the mass that the mixture puts within half a level of it; the first and the last one have the
    tails too. Parameters of zero spread the means evenly over the range and start with broad scales.

    Args:
        params: float, shape (..., height, width, 3 * mixtures): first the logits of the components; then
            their means, as distances from where each starts; then their log-scales, as distances from -2 that
            are bounded to -7 .. 3. Means and scales are in units of the range.
        mixtures: number of components.
    """

    def __init__(self, params: Tensor, mixtures: int = 5) -> None:
        params = _checked(params, self.channels(mixtures))
        logits, means, raw_scales = ops.split(params, 3, axis=-1)
        centres = as_float32([(i + 0.5) / mixtures for i in range(mixtures)])
        self._log_weights = ops.log_softmax(logits, axis=-1)
        # In levels, not in the unit range: edges of bins are then exact in float32 and neighbours share them.
        self._means = (_LEVELS - 1) * (centres + means)
        # From a quarter of a level to twenty ranges, which leaves nearly all mass in the tails.
        self._scales = (_LEVELS - 1) * ops.exp(-2 + 5 * ops.tanh(raw_scales / 5))

    @staticmethod
    def channels(mixtures: int = 5) -> int:
        """Channels that the decoder must have for this likelihood.

        Args:
            mixtures: number of components, at least 1.

        Returns:
            Three per component.

        Raises:
            ValueError: if mixtures is below 1.
        """
        if mixtures < 1:
            raise ValueError(f"Expected at least 1 component. Received: {mixtures=}")
        return 3 * mixtures

    @property
    def mean(self) -> Tensor:
        """Expected pixels: float32 in [0, 1], shape (..., height, width), within 0.04 / 255 of exact."""
        top = (self._means - (_LEVELS - 1)) / self._scales
        # E[clip(y, 0, 255)] = int_0^255 P(y > t) dt = s [ softplus(m / s) - softplus((m - 255) / s) ]
        means = self._scales * (ops.softplus(self._means / self._scales) - ops.softplus(top))
        mean = ops.sum(ops.exp(self._log_weights) * means, axis=-1) / (_LEVELS - 1)
        return ops.clip(mean, 0.0, 1.0)

    def sample(self, uniform: Tensor) -> Tensor:
        """Draw images on the 256 levels, k / 255 up to rounding: the first number chooses the component."""
        u = as_float32(uniform)
        # The first component at which the cumulative weight passes u; rounding must not leave none.
        passed = ops.cumsum(ops.exp(self._log_weights), axis=-1)[..., :-1] <= u[..., :1]
        component = ops.sum(ops.cast(passed, "int32"), axis=-1)
        chosen = ops.one_hot(component, self._means.shape[-1], dtype="float32")
        # The quantile of a logistic is mean + scale log(u / (1 - u)); a draw of exactly 0 is the least level.
        noise = ops.log(ops.maximum(u[..., 1], 1e-30)) - ops.log1p(-u[..., 1])
        levels = ops.sum(chosen * self._means, axis=-1) + ops.sum(chosen * self._scales, axis=-1) * noise
        return ops.clip(ops.round(levels), 0, _LEVELS - 1) / (_LEVELS - 1)

    def _log_prob_per_pixel(self, x: Tensor) -> Tensor:
        level = ops.round((_LEVELS - 1) * x)[..., None]
        first, last = level <= 0, level >= _LEVELS - 1
        below = (level - 0.5 - self._means) / self._scales
        above = (level + 0.5 - self._means) / self._scales
        width = 1 / self._scales
        # log[ s(b) - s(a) ] = log s(b) + log s(-a) + log(1 - exp(-w)),  w = b - a, s the logistic function;
        # log(1 - exp(-w))   = log w - w/2 + log[ sinh(w/2) / (w/2) ].  A tail has one edge, hence one term.
        log_between = ops.log(width) - width / 2 + _log_sinhc(width / 2)
        log_mass = (
            ops.where(last, 0.0, -ops.softplus(-above))
            + ops.where(first, 0.0, -ops.softplus(below))
            + ops.where(ops.logical_or(first, last), 0.0, log_between)
        )
        # log p(x) = log sum_k w_k P(level | m_k, s_k)
        return ops.logsumexp(self._log_weights + log_mass, axis=-1)


LIKELIHOODS: dict[str, type[Likelihood]] = {
    "bernoulli": Bernoulli,
    "continuous_bernoulli": ContinuousBernoulli,
    "discretised_logistic": DiscretisedLogisticMixture,
}
"""By their names in configs."""


def _checked(params: Tensor, channels: int) -> Tensor:
    params = as_float32(params)
    if params.shape[-1] != channels:
        raise ValueError(
            f"Expected {channels} channels per pixel. Received: params.shape={tuple(params.shape)}"
        )
    return params


def _log_sinhc(t: Tensor) -> Tensor:
    """log(sinh(t) / t), finite with finite gradients at 0 and far out."""
    near = ops.abs(t) < _SERIES_BELOW
    square = ops.square(ops.where(near, t, 0.0))
    far = ops.where(near, 1.0, ops.abs(t))
    # Near 0: t^2/6 - t^4/180 + t^6/2835 - ...;  else |t| + log(1 - exp(-2 |t|)) - log(2 |t|).
    series = square * (1 / 6 - square * (1 / 180 - square / 2835))
    return ops.where(near, series, far + ops.log1p(-ops.exp(-2 * far)) - ops.log(2 * far))
