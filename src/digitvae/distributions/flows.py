"""An invertible map that turns noise into latents, and the distributions it makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, final

from digitvae.distributions.base import Distribution, Tensor, as_float32
from digitvae.distributions.gaussian import Gaussian
from digitvae.distributions.labelled import Labelled
from digitvae.distributions.operations import ops

# One coupling scales a coordinate by at most e^2 up or down: several reach any scale, and none explodes.
_LARGEST_LOG_SCALE = 2.0

Affine = Callable[[Tensor], Tensor]
"""A map x -> x W + b of rows."""


@final
class Flow:
    """Stack of affine couplings between noise u and latents z (Real NVP; Dinh et al. 2017, section 3).

    Each coupling keeps one half of the coordinates and shifts and scales the other by a small network of the
    kept half. Two couplings in a row swap the halves; every second one splits the coordinates anew. An
    elementwise affine map comes last, so that scale and location need no coupling.

    With labels the map depends on one: its embedding is added in both hidden layers of every coupling.
    Between labels, the weights of an average of embeddings select a map.

    Args:
        networks: of each coupling, three affine maps: to two hidden layers, and to log-scales and shifts.
        log_scale: of the last map, (latent_dim,).
        shift: of the last map, (latent_dim,).
        embeddings: of the labels in all hidden layers, (labels, 2 * hidden * couplings), or None without
            labels.
    """

    def __init__(
        self,
        networks: Sequence[Sequence[Affine]],
        log_scale: Tensor,
        shift: Tensor,
        embeddings: Tensor | None = None,
    ) -> None:
        self.latent_dim: int = shift.shape[0]
        self.labels: int = 0 if embeddings is None else embeddings.shape[0]
        self._networks, self._log_scale, self._shift = networks, log_scale, shift
        self._embeddings = embeddings
        splits = [split(self.latent_dim, position) for position in range(len(networks))]
        self._kept = [len(kept) for kept, _ in splits]
        # Every coupling expects the coordinates that it keeps first. They are reordered between couplings,
        # and return to their own order after the last one.
        natural = list(range(self.latent_dim))
        orders = [natural, *(kept + moved for kept, moved in splits), natural]
        self._shuffles = [[before.index(c) for c in after] for before, after in pairwise(orders)]
        self._unshuffles = [[after.index(c) for c in before] for before, after in pairwise(orders)]

    def forward(self, u: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map noise to latents.

        Args:
            u: noise, (..., latent_dim).
            weights: of the labels, float (..., labels), rows that sum to 1; for a flow with labels only.

        Returns:
            Latents z of the shape of u and log |det dz/du| (...), both float32.

        Raises:
            ValueError: if the last axis of u does not have latent_dim entries.
        """
        z, shape = self._rows(u)
        embeddings = self._embedded(weights, shape)
        log_det = ops.sum(self._log_scale)
        for i, embedding in enumerate(embeddings):
            kept, moved = self._halves(ops.take(z, self._shuffles[i], axis=1), i)
            log_scale, shift = _log_scale_and_shift(self._networks[i], kept, embedding)
            z = ops.concatenate([kept, moved * ops.exp(log_scale) + shift], axis=1)
            log_det = log_det + ops.sum(log_scale, axis=-1)
        z = ops.take(z, self._shuffles[-1], axis=1)
        z = z * ops.exp(self._log_scale) + self._shift
        return ops.reshape(z, shape), ops.reshape(log_det, shape[:-1])

    def inverse(self, z: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map latents to noise.

        Args:
            z: latents, (..., latent_dim).
            weights: as in `forward`.

        Returns:
            Noise u of the shape of z and log |det du/dz| (...), both float32.

        Raises:
            ValueError: if the last axis of z does not have latent_dim entries.
        """
        u, shape = self._rows(z)
        embeddings = self._embedded(weights, shape)
        u = (u - self._shift) * ops.exp(-self._log_scale)
        log_det = -ops.sum(self._log_scale)
        u = ops.take(u, self._unshuffles[-1], axis=1)
        for i, embedding in reversed(list(enumerate(embeddings))):
            kept, moved = self._halves(u, i)
            log_scale, shift = _log_scale_and_shift(self._networks[i], kept, embedding)
            u = ops.concatenate([kept, (moved - shift) * ops.exp(-log_scale)], axis=1)
            log_det = log_det - ops.sum(log_scale, axis=-1)
            u = ops.take(u, self._unshuffles[i], axis=1)
        return ops.reshape(u, shape), ops.reshape(log_det, shape[:-1])

    def _rows(self, values: Tensor) -> tuple[Tensor, tuple[Any, ...]]:
        # Dense layers want a matrix, and are fastest on one.
        values = as_float32(values)
        if values.shape[-1] != self.latent_dim:
            raise ValueError(
                f"Expected {self.latent_dim} entries on the last axis. Received: shape={tuple(values.shape)}"
            )
        return ops.reshape(values, (-1, self.latent_dim)), ops.shape(values)

    def _halves(self, values: Tensor, position: int) -> tuple[Tensor, Tensor]:
        kept = self._kept[position]
        return values[:, :kept], values[:, kept:]

    def _embedded(self, weights: Tensor | None, shape: tuple[Any, ...]) -> Any:
        """Return the pair of embeddings for the hidden layers of each coupling, each (rows, hidden)."""
        if weights is None:
            return [(0.0, 0.0)] * len(self._networks)
        weights = ops.broadcast_to(as_float32(weights), (*shape[:-1], self.labels))
        rows = ops.matmul(ops.reshape(weights, (-1, self.labels)), ops.convert_to_tensor(self._embeddings))
        parts = ops.split(rows, 2 * len(self._networks), axis=1)
        return list(zip(parts[::2], parts[1::2], strict=True))


def split(latent_dim: int, position: int) -> tuple[list[int], list[int]]:
    """Choose the coordinates that the coupling at `position` keeps and those that it moves.

    Saved weights must keep their meaning, so this is arithmetic and not a random permutation. Before each new
    pair of couplings the even positions move to the front, so that every pair splits the coordinates
    differently, until the pattern repeats.
    """
    order = list(range(latent_dim))
    for _ in range(position // 2):
        order = order[0::2] + order[1::2]
    first, second = order[: latent_dim // 2], order[latent_dim // 2 :]
    return (first, second) if position % 2 == 0 else (second, first)


def _log_scale_and_shift(
    network: Sequence[Affine], kept: Tensor, embedding: tuple[Any, Any]
) -> tuple[Tensor, Tensor]:
    first, second, last = network
    hidden = ops.silu(first(kept) + embedding[0])
    hidden = ops.silu(second(hidden) + embedding[1])
    log_scale, shift = ops.split(last(hidden), 2, axis=-1)
    return _LARGEST_LOG_SCALE * ops.tanh(log_scale / _LARGEST_LOG_SCALE), shift


@final
class FlowDistribution:
    """Distribution of z = flow(u) for noise u of a simple distribution.

    Args:
        flow: the invertible map; it keeps the weights, this object keeps none.
        base: distribution of u; by default standard normal.
        weights: of the labels, float (..., labels), if the flow has labels.
    """

    def __init__(self, flow: Flow, base: Distribution | None = None, weights: Tensor | None = None) -> None:
        self._flow, self._weights = flow, weights
        self._base = Gaussian(0.0, 0.0) if base is None else base

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the log-density in nats, float32 (...), of z (..., latent_dim)."""
        u, log_det = self._flow.inverse(z, self._weights)
        # log p(z) = log p(u) + log |det du/dz|  with u = flow^-1(z)
        return self._base.log_prob(u) + log_det

    def from_noise(self, u: Tensor) -> Tensor:
        """Map standard normal noise u to latents z, both float32 (..., latent_dim)."""
        return self._flow.forward(self._base.from_noise(u), self._weights)[0]

    def to_noise(self, z: Tensor) -> Tensor:
        """Map latents z to standard normal noise u, both float32 (..., latent_dim)."""
        return self._base.to_noise(self._flow.inverse(z, self._weights)[0])


def labelled_flow(flow: Flow, base: Gaussian, log_probabilities: Tensor) -> Labelled:
    """Return one flow for each label.

    Args:
        flow: the invertible map, with labels; it keeps the weights, the distribution keeps none.
        base: distribution of the noise under each label, with parameters (labels, latent_dim).
        log_probabilities: log p(y), float (labels,).
    """

    def given(weights: Tensor) -> FlowDistribution:
        means, log_scales = (ops.matmul(weights, part) for part in (base.mean, base.log_scale))
        return FlowDistribution(flow, Gaussian(means, log_scales), weights)

    return Labelled(given, flow.latent_dim, log_probabilities)
