"""A density whose latents follow one another: each is a mixture of Gaussians, given those before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np

from digitvae.distributions.base import Tensor, as_float32
from digitvae.distributions.gaussian import Gaussian, GaussianMixture
from digitvae.distributions.operations import ops

LARGEST_LOG_SCALE = 5.0
"""Standard deviations lie between exp(-5) and exp(5)."""


@final
class Autoregressive:
    """p(z) = prod_i p(z_i | z_1 .. z_{i-1}), by one masked network (MADE; Germain et al. 2015).

    The network maps a code to the parameters of all latents' conditionals. Its masks cut every path from a
    latent to the parameters of itself and of those before it.

    With labels the density depends on one: its embedding is added in both hidden layers and to the
    parameters. Between labels, the weights of an average of embeddings select a density.

    Args:
        kernels: of the layers, (latent_dim, hidden), (hidden, hidden), (hidden, latent_dim * 3 * components);
            what the masks hide may be anything.
        biases: of the layers.
        embeddings: of the labels in all layers, (labels, 2 * hidden + latent_dim * 3 * components), or None
            without labels.
        weights: of the labels, float (..., labels), rows that sum to 1.
    """

    def __init__(
        self,
        kernels: Sequence[Tensor],
        biases: Sequence[Tensor],
        embeddings: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> None:
        self.latent_dim, self._hidden = kernels[0].shape
        shown = masks(self.latent_dim, self._hidden, kernels[2].shape[1])
        self._kernels = [
            ops.convert_to_tensor(kernel) * ops.convert_to_tensor(mask)
            for kernel, mask in zip(kernels, shown, strict=True)
        ]
        self._biases = [ops.convert_to_tensor(bias) for bias in biases]
        self._embeddings, self._weights = embeddings, weights

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the log-density in nats, float32 (...), of z (..., latent_dim)."""
        z = as_float32(z)
        # log p(z) = sum_i log p(z_i | z_1 .. z_{i-1})
        return ops.sum(self._conditionals(z).log_prob(z[..., None]), axis=-1)

    def from_noise(self, u: Tensor) -> Tensor:
        """Turn standard normal noise into a draw, latent after latent.

        z_i solves F(z_i | z_1 .. z_{i-1}) = Phi(u_i), with the limits of `GaussianMixture.from_noise`.
        """
        u = ops.stop_gradient(as_float32(u))
        z = ops.zeros_like(u)
        for i in range(self.latent_dim):
            found = self._conditionals(z, only=i).from_noise(u[..., i, None])
            z = ops.concatenate([z[..., :i], found, z[..., i + 1 :]], axis=-1)
        return z

    def to_noise(self, z: Tensor) -> Tensor:
        """Invert `from_noise`, with the same limits: u_i = Phi^-1(F(z_i | z_1 .. z_{i-1}))."""
        z = ops.stop_gradient(as_float32(z))
        return self._conditionals(z).to_noise(z[..., None])[..., 0]

    def _conditionals(self, z: Tensor, only: int | None = None) -> GaussianMixture:
        """Return the mixtures of all latents, (..., latent_dim), or (...) of one; each of one value."""
        shape = ops.shape(z)
        embeddings = self._embedded(shape[:-1])
        # Products want a matrix, and are fastest on one.
        rows = ops.reshape(z, (-1, self.latent_dim))
        for kernel, bias, embedding in zip(self._kernels[:2], self._biases[:2], embeddings[:2], strict=True):
            rows = ops.maximum(ops.matmul(rows, kernel) + bias + embedding, 0.0)
        size = self._kernels[2].shape[1] // self.latent_dim
        columns = slice(None) if only is None else slice(only * size, (only + 1) * size)
        last = embeddings[2] if isinstance(embeddings[2], float) else embeddings[2][:, columns]
        params = ops.matmul(rows, self._kernels[2][:, columns]) + self._biases[2][columns] + last
        axes = (self.latent_dim,) if only is None else ()
        params = ops.reshape(params, (*shape[:-1], *axes, 3, size // 3))
        log_scales = LARGEST_LOG_SCALE * ops.tanh(params[..., 2, :] / LARGEST_LOG_SCALE)
        return GaussianMixture(params[..., 0, :], Gaussian(params[..., 1, :, None], log_scales[..., None]))

    def _embedded(self, shape: Sequence[int]) -> Sequence[Tensor | float]:
        """Return the embeddings for the rows of codes (*shape, latent_dim) in each layer."""
        if self._weights is None or self._embeddings is None:
            return 0.0, 0.0, 0.0
        labels = self._embeddings.shape[0]
        weights = ops.reshape(ops.broadcast_to(as_float32(self._weights), (*shape, labels)), (-1, labels))
        rows = ops.matmul(weights, ops.convert_to_tensor(self._embeddings))
        return rows[:, : self._hidden], rows[:, self._hidden : 2 * self._hidden], rows[:, 2 * self._hidden :]


def masks(latent_dim: int, hidden: int, outputs: int) -> list[np.ndarray]:
    """Return the masks of the three layers: float32 of the kernels' shapes, 1 where a weight counts.

    Latent i has number i. A hidden unit of number j sees latent j and those before it; the parameters of
    latent i see the hidden units with numbers below i. Hidden units have all numbers but the last latent's,
    which nothing may see, evenly.
    """
    latents = np.arange(latent_dim)
    units = np.arange(hidden) * max(1, latent_dim - 1) // hidden
    parameters = np.repeat(latents, outputs // latent_dim)
    return [
        (latents[:, None] <= units).astype("float32"),
        (units[:, None] <= units).astype("float32"),
        (units[:, None] < parameters).astype("float32"),
    ]
