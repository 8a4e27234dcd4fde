"""The weights of a flow, as a Keras layer; what it computes is in `distributions.flows`."""

from __future__ import annotations

from typing import Any, final

import keras

from digitvae import seeds
from digitvae.distributions import Flow, Tensor
from digitvae.distributions.flows import split


@final
@keras.saving.register_keras_serializable("digitvae")
class CouplingFlow(keras.layers.Layer):
    """A `Flow` with weights that can be trained; a new one is the identity.

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
        splits = [split(latent_dim, position) for position in range(couplings)]
        self._steps = [
            _AffineCoupling(len(kept), len(moved), hidden, seed, position)
            for position, (kept, moved) in enumerate(splits)
        ]
        # Outside of `__call__` an enclosing layer's mixed policy would cast these to bfloat16.
        self._log_scale, self._shift = (
            self.add_weight(shape=(latent_dim,), initializer="zeros", autocast=False, name=name)
            for name in ("log_scale", "shift")
        )
        self._embeddings = None
        if labels:
            # One matrix for all hidden layers: one product instead of two per coupling.
            self._embeddings = self.add_weight(
                shape=(labels, 2 * hidden * couplings), initializer="zeros", autocast=False, name="embeddings"
            )
        networks = [step._network for step in self._steps]
        self.map = Flow(networks, self._log_scale, self._shift, self._embeddings)
        self.built = True

    def forward(self, u: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map noise to latents, as `Flow.forward`."""
        return self.map.forward(u, weights)

    def inverse(self, z: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map latents to noise, as `Flow.inverse`."""
        return self.map.inverse(z, weights)

    def start_from(self, other: CouplingFlow) -> None:
        """Take the weights of a flow without labels: the map of every label is then that flow's.

        Couplings beyond those of the other flow keep their weights; new ones are the identity.

        Raises:
            ValueError: the other flow has other sizes or more couplings.
        """
        same_sizes = (self.latent_dim, self.hidden) == (other.latent_dim, other.hidden)
        if not same_sizes or self.couplings < other.couplings:
            raise ValueError(
                f"Expected a flow with {self.latent_dim} latents and at most {self.couplings} x "
                f"{self.hidden} couplings. "
                f"Received: {other.latent_dim} latents, {other.couplings} x {other.hidden}"
            )
        for ours, theirs in zip(self._steps, other._steps, strict=False):
            ours.set_weights(theirs.get_weights())
        self._log_scale.assign(other._log_scale)
        self._shift.assign(other._shift)
        if self._embeddings is not None:
            self._embeddings.assign(keras.ops.zeros(self._embeddings.shape, "float32"))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, for `from_config`."""
        own = ("latent_dim", "couplings", "hidden", "seed", "labels")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


@final
class _AffineCoupling(keras.layers.Layer):
    """The network of one coupling, which maps the coordinates that are kept to log-scales and shifts."""

    def __init__(self, kept: int, moved: int, hidden: int, seed: int | None, position: int) -> None:
        super().__init__(dtype="float32")
        # An initializer with a given seed always draws the same values: every layer gets a seed of its own.
        kernel_seeds = [
            None if seed is None else seeds.integer(seed, "coupling", position, i) for i in range(2)
        ]
        # Files name the weights after `_steps` and `_network`.
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
