"""An invertible network that turns standard normal noise into latents, and the distribution it makes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, final

import keras
from keras import ops

from digitvae import seeds
from digitvae.distributions.base import Distribution, Tensor, as_float32
from digitvae.distributions.gaussian import Gaussian

# One coupling scales a coordinate by at most e^2 up or down: several reach any scale, and none explodes.
_LARGEST_LOG_SCALE = 2.0


@final
@keras.saving.register_keras_serializable("digitvae")
class CouplingFlow(keras.layers.Layer):
    """Stack of affine couplings between noise u and latents z (Real NVP; Dinh et al. 2017, section 3).

    Each coupling keeps one half of the coordinates and shifts and scales the other by a small network of the
    kept half. Two couplings in a row swap the halves; every second one splits the coordinates anew. An
    elementwise affine map comes last, so that scale and location need no coupling. A
    new flow is the identity.

    With labels the map depends on one: its embedding is added in both hidden layers of every coupling.
    Between labels, the weights of an average of embeddings select a map.

    The layer has no `call`: use `forward` and `inverse`. It holds all its weights from the start and computes
    in float32 under any dtype policy.

    Args:
        latent_dim: number of coordinates, at least 2.
        couplings: number of affine couplings, at least 2 for every coordinate to be moved by some other.
        hidden: units in each of the two hidden layers of a coupling's network.
        seed: makes the initial weights repeatable; None draws them from Keras' global seed.
        labels: number of labels on which the map depends; 0 for a map that depends on none.
        **kwargs: `name` and other arguments of `keras.layers.Layer`; `dtype` is ignored.

    Raises:
        ValueError: if latent_dim is below 2 or couplings or hidden below 1.
    """

    def __init__(
        self,
        latent_dim: int,
        couplings: int = 4,
        hidden: int = 128,
        seed: int | None = None,
        labels: int = 0,
        **kwargs: Any,
    ) -> None:
        # get_config saves the dtype and from_config hands it back, hence not a plain keyword.
        super().__init__(**{**kwargs, "dtype": "float32"})
        if latent_dim < 2:
            raise ValueError(
                f"Expected at least 2 latents, one half to move the other. Received: {latent_dim=}"
            )
        if couplings < 1 or hidden < 1:
            raise ValueError(f"Expected positive couplings and hidden. Received: {couplings=}, {hidden=}")
        self.latent_dim, self.couplings, self.hidden = latent_dim, couplings, hidden
        self.seed, self.labels = seed, labels
        splits = [_split(latent_dim, position) for position in range(couplings)]
        self._steps = [
            _AffineCoupling(len(kept), len(moved), hidden, seed, position)
            for position, (kept, moved) in enumerate(splits)
        ]
        # Every coupling expects the coordinates that it keeps first. They are reordered between couplings,
        # and return to their own order after the last one.
        natural = list(range(latent_dim))
        orders = [natural, *(kept + moved for kept, moved in splits), natural]
        self._shuffles = [[before.index(c) for c in after] for before, after in pairwise(orders)]
        self._unshuffles = [[after.index(c) for c in before] for before, after in pairwise(orders)]
        # Outside of `__call__` an enclosing layer's mixed policy would cast these two to bfloat16.
        self._log_scale = self.add_weight(
            shape=(latent_dim,), initializer="zeros", autocast=False, name="log_scale"
        )
        self._shift = self.add_weight(shape=(latent_dim,), initializer="zeros", autocast=False, name="shift")
        if labels:
            # One matrix for all hidden layers: one product instead of two per coupling.
            self._embeddings = self.add_weight(
                shape=(labels, 2 * hidden * couplings), initializer="zeros", autocast=False, name="embeddings"
            )
        self.built = True

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
        for shuffle, step, embedding in zip(self._shuffles, self._steps, embeddings, strict=False):
            z, change = step.forward(ops.take(z, shuffle, axis=1), embedding)
            log_det = log_det + change
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
        steps = list(zip(self._unshuffles, self._steps, embeddings, strict=False))
        for unshuffle, step, embedding in reversed(steps):
            u, change = step.inverse(u, embedding)
            log_det = log_det + change
            u = ops.take(u, unshuffle, axis=1)
        return ops.reshape(u, shape), ops.reshape(log_det, shape[:-1])

    def start_from(self, other: CouplingFlow) -> None:
        """Take the weights of a flow without labels: the map of every label is then that flow's.

        Raises:
            ValueError: the other flow has other sizes.
        """
        sizes = ("latent_dim", "couplings", "hidden")
        if [getattr(self, name) for name in sizes] != [getattr(other, name) for name in sizes]:
            raise ValueError(
                f"Expected a flow with {self.latent_dim} latents and {self.couplings} x {self.hidden} "
                f"couplings. Received: {other.latent_dim} latents, {other.couplings} x {other.hidden}"
            )
        for ours, theirs in zip(self._steps, other._steps, strict=True):
            ours.set_weights(theirs.get_weights())
        self._log_scale.assign(other._log_scale)
        self._shift.assign(other._shift)
        if self.labels:
            self._embeddings.assign(ops.zeros_like(self._embeddings))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, for `from_config`."""
        own = ("latent_dim", "couplings", "hidden", "seed", "labels")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}

    def _rows(self, values: Tensor) -> tuple[Tensor, tuple[Any, ...]]:
        # Dense layers want a matrix, and are fastest on one.
        values = as_float32(values)
        if values.shape[-1] != self.latent_dim:
            raise ValueError(
                f"Expected {self.latent_dim} entries on the last axis. Received: shape={tuple(values.shape)}"
            )
        return ops.reshape(values, (-1, self.latent_dim)), ops.shape(values)

    def _embedded(self, weights: Tensor | None, shape: tuple[Any, ...]) -> Any:
        """Return the pair of embeddings for the hidden layers of each coupling, each (rows, hidden)."""
        if weights is None:
            return [(0.0, 0.0)] * self.couplings
        weights = ops.broadcast_to(as_float32(weights), (*shape[:-1], self.labels))
        rows = ops.matmul(ops.reshape(weights, (-1, self.labels)), ops.convert_to_tensor(self._embeddings))
        parts = ops.split(rows, 2 * self.couplings, axis=1)
        return list(zip(parts[::2], parts[1::2], strict=True))


@final
class FlowDistribution:
    """Distribution of z = flow(u) for noise u of a simple distribution.

    Args:
        flow: the invertible map; it keeps the weights, this object keeps none.
        base: distribution of u; by default standard normal.
        weights: of the labels, float (..., labels), if the flow has labels.
    """

    def __init__(
        self, flow: CouplingFlow, base: Distribution | None = None, weights: Tensor | None = None
    ) -> None:
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


@final
class LabelledFlow:
    """One flow for each label: p(z) = sum_y p(y) p(z|y).

    Args:
        flow: the invertible map, with labels; it keeps the weights, this object keeps none.
        base: distribution of the noise under each label, with parameters (labels, latent_dim).
        log_probabilities: log p(y), float (labels,).
    """

    def __init__(self, flow: CouplingFlow, base: Gaussian, log_probabilities: Tensor) -> None:
        self._flow, self._base = flow, base
        self._log_probabilities = as_float32(log_probabilities)

    def given(self, weights: Tensor) -> FlowDistribution:
        """Return p(z|y), a map of standard normal noise.

        Args:
            weights: of the labels, float (..., labels): a one for the label; or weights that sum to 1, for a
                distribution between those of several labels.
        """
        weights = as_float32(weights)
        means, log_scales = (ops.matmul(weights, part) for part in (self._base.mean, self._base.log_scale))
        return FlowDistribution(self._flow, Gaussian(means, log_scales), weights)

    def log_joint(self, z: Tensor) -> Tensor:
        """Return log p(z, y) of every label in nats, float32 (..., labels), for z (..., latent_dim)."""
        labels, dim = self._flow.labels, self._flow.latent_dim
        z = as_float32(z)
        z = ops.broadcast_to(z[..., None, :], (*ops.shape(z)[:-1], labels, dim))
        return self._log_probabilities + self.given(ops.eye(labels)).log_prob(z)

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
        weights = ops.cast(ops.equal(labels[..., None], ops.arange(self._flow.labels)), "float32")
        log_probabilities = ops.sum(weights * self._log_probabilities, axis=-1)
        joint = log_probabilities + self.given(weights).log_prob(z)
        known = labels >= 0
        # The sum over all labels costs as many passes through the flow: only where some label is missing.
        marginal = ops.cond(ops.all(known), lambda: joint, lambda: self.log_prob(z))
        invalid = ops.logical_or(labels < -1, labels >= self._flow.labels)
        return ops.where(invalid, float("nan"), ops.where(known, joint, marginal))


def _split(latent_dim: int, position: int) -> tuple[list[int], list[int]]:
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


@final
class _AffineCoupling(keras.layers.Layer):
    """Keeps the first coordinates; a shift and a bounded log-scale that depend on them move the others."""

    def __init__(self, kept: int, moved: int, hidden: int, seed: int | None, position: int) -> None:
        super().__init__(dtype="float32")
        self._kept = kept
        # An initializer with a given seed always draws the same values: every layer gets a seed of its own.
        kernel_seeds = [
            None if seed is None else seeds.integer(seed, "coupling", position, i) for i in range(2)
        ]
        self._network = [
            *(
                keras.layers.Dense(
                    hidden, kernel_initializer=keras.initializers.GlorotUniform(s), dtype="float32"
                )
                for s in kernel_seeds
            ),
            keras.layers.Dense(2 * moved, kernel_initializer="zeros", dtype="float32"),
        ]
        for layer, inputs in zip(self._network, (kept, hidden, hidden), strict=True):
            layer.build((None, inputs))
        self.built = True

    def forward(self, u: Tensor, embedding: tuple[Any, Any]) -> tuple[Tensor, Tensor]:
        kept, moved = u[:, : self._kept], u[:, self._kept :]
        log_scale, shift = self._log_scale_and_shift(kept, embedding)
        moved = moved * ops.exp(log_scale) + shift
        return ops.concatenate([kept, moved], axis=1), ops.sum(log_scale, axis=-1)

    def inverse(self, z: Tensor, embedding: tuple[Any, Any]) -> tuple[Tensor, Tensor]:
        kept, moved = z[:, : self._kept], z[:, self._kept :]
        log_scale, shift = self._log_scale_and_shift(kept, embedding)
        moved = (moved - shift) * ops.exp(-log_scale)
        return ops.concatenate([kept, moved], axis=1), -ops.sum(log_scale, axis=-1)

    def _log_scale_and_shift(self, kept: Tensor, embedding: tuple[Any, Any]) -> tuple[Tensor, Tensor]:
        first, second, last = self._network
        hidden = ops.silu(first(kept) + embedding[0])
        hidden = ops.silu(second(hidden) + embedding[1])
        log_scale, shift = ops.split(last(hidden), 2, axis=-1)
        return _LARGEST_LOG_SCALE * ops.tanh(log_scale / _LARGEST_LOG_SCALE), shift
