"""An invertible network that turns standard normal noise into latents, and the distribution it makes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, final

import keras
from keras import ops

from digitvae import seeds
from digitvae.distributions.base import Tensor, as_float32
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

    The layer has no `call`: use `forward` and `inverse`. It holds all its weights from the start and computes
    in float32 under any dtype policy.

    Args:
        latent_dim: number of coordinates, at least 2.
        couplings: number of affine couplings, at least 2 for every coordinate to be moved by some other.
        hidden: units in each of the two hidden layers of a coupling's network.
        seed: makes the initial weights repeatable; None draws them from Keras' global seed.
        **kwargs: `name` and other arguments of `keras.layers.Layer`; `dtype` is ignored.

    Raises:
        ValueError: if latent_dim is below 2 or couplings or hidden below 1.
    """

    def __init__(
        self, latent_dim: int, couplings: int = 4, hidden: int = 128, seed: int | None = None, **kwargs: Any
    ) -> None:
        # get_config saves the dtype and from_config hands it back, hence not a plain keyword.
        super().__init__(**{**kwargs, "dtype": "float32"})
        if latent_dim < 2:
            raise ValueError(
                f"Expected at least 2 latents, one half to move the other. Received: {latent_dim=}"
            )
        if couplings < 1 or hidden < 1:
            raise ValueError(f"Expected positive couplings and hidden. Received: {couplings=}, {hidden=}")
        self.latent_dim, self.couplings, self.hidden, self.seed = latent_dim, couplings, hidden, seed
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
        self.built = True

    def forward(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Map noise u (..., latent_dim) to latents z of that shape and log |det dz/du| (...), both float32.

        Raises:
            ValueError: if the last axis of u does not have latent_dim entries.
        """
        z, shape = self._rows(u)
        log_det = ops.sum(self._log_scale)
        for shuffle, step in zip(self._shuffles, self._steps, strict=False):
            z, change = step.forward(ops.take(z, shuffle, axis=1))
            log_det = log_det + change
        z = ops.take(z, self._shuffles[-1], axis=1)
        z = z * ops.exp(self._log_scale) + self._shift
        return ops.reshape(z, shape), ops.reshape(log_det, shape[:-1])

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Map latents z (..., latent_dim) to noise u of that shape and log |det du/dz| (...), both float32.

        Raises:
            ValueError: if the last axis of z does not have latent_dim entries.
        """
        u, shape = self._rows(z)
        u = (u - self._shift) * ops.exp(-self._log_scale)
        log_det = -ops.sum(self._log_scale)
        u = ops.take(u, self._unshuffles[-1], axis=1)
        for unshuffle, step in reversed(list(zip(self._unshuffles, self._steps, strict=False))):
            u, change = step.inverse(u)
            log_det = log_det + change
            u = ops.take(u, unshuffle, axis=1)
        return ops.reshape(u, shape), ops.reshape(log_det, shape[:-1])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, for `from_config`."""
        own = ("latent_dim", "couplings", "hidden", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}

    def _rows(self, values: Tensor) -> tuple[Tensor, tuple[Any, ...]]:
        # Dense layers want a matrix, and are fastest on one.
        values = as_float32(values)
        if values.shape[-1] != self.latent_dim:
            raise ValueError(
                f"Expected {self.latent_dim} entries on the last axis. Received: shape={tuple(values.shape)}"
            )
        return ops.reshape(values, (-1, self.latent_dim)), ops.shape(values)


@final
class FlowDistribution:
    """Distribution of z = flow(u) for standard normal u.

    Args:
        flow: the invertible map; it keeps the weights, this object keeps none.
    """

    def __init__(self, flow: CouplingFlow) -> None:
        self._flow = flow

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the log-density in nats, float32 (...), of z (..., latent_dim)."""
        u, log_det = self._flow.inverse(z)
        # log p(z) = log N(u | 0, I) + log |det du/dz|  with u = flow^-1(z)
        return Gaussian(0.0, 0.0).log_prob(u) + log_det

    def from_noise(self, u: Tensor) -> Tensor:
        """Map noise u to latents z, both float32 (..., latent_dim); differentiable."""
        return self._flow.forward(u)[0]

    def to_noise(self, z: Tensor) -> Tensor:
        """Map latents z to noise u, both float32 (..., latent_dim); differentiable."""
        return self._flow.inverse(z)[0]


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
                    hidden, "swish", kernel_initializer=keras.initializers.GlorotUniform(s), dtype="float32"
                )
                for s in kernel_seeds
            ),
            keras.layers.Dense(2 * moved, kernel_initializer="zeros", dtype="float32"),
        ]
        for layer, inputs in zip(self._network, (kept, hidden, hidden), strict=True):
            layer.build((None, inputs))
        self.built = True

    def forward(self, u: Tensor) -> tuple[Tensor, Tensor]:
        kept, moved = u[:, : self._kept], u[:, self._kept :]
        log_scale, shift = self._log_scale_and_shift(kept)
        moved = moved * ops.exp(log_scale) + shift
        return ops.concatenate([kept, moved], axis=1), ops.sum(log_scale, axis=-1)

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        kept, moved = z[:, : self._kept], z[:, self._kept :]
        log_scale, shift = self._log_scale_and_shift(kept)
        moved = (moved - shift) * ops.exp(-log_scale)
        return ops.concatenate([kept, moved], axis=1), -ops.sum(log_scale, axis=-1)

    def _log_scale_and_shift(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        for layer in self._network:
            kept = layer(kept)
        log_scale, shift = ops.split(kept, 2, axis=-1)
        return _LARGEST_LOG_SCALE * ops.tanh(log_scale / _LARGEST_LOG_SCALE), shift
