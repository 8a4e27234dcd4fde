"""Priors p(z): what the latents of all images together should look like.

A prior is a layer that owns the weights; `distribution(encode)` gives the distribution object. Each is a map
z = T(u) of standard normal base noise, so generation, latent grids and interpolation need no special case.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import keras
import numpy as np
from keras import ops

from digitvae import seeds
from digitvae.couplings import CouplingFlow
from digitvae.distributions import (
    Autoregressive,
    Distribution,
    FlowDistribution,
    Gaussian,
    GaussianMixture,
    Labelled,
    labelled_flow,
)

Encode = Callable[[Any], Gaussian]
"""Maps images, float (n, height, width) in [0, 1], to the posterior q(z|x)."""


class Prior(keras.layers.Layer, abc.ABC):
    """A learned or fixed prior over latents; always float32."""

    labels = 0
    """Number of labels on which it depends; with labels its distribution is a `Labelled`."""

    def __init__(self, latent_dim: int, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.latent_dim = latent_dim
        self.built = True

    @abc.abstractmethod
    def distribution(self, encode: Encode) -> Distribution | Labelled:
        """Return p(z).

        Args:
            encode: the model's own posterior, for priors that are made of it.
        """

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"latent_dim": self.latent_dim, "name": self.name}


@keras.saving.register_keras_serializable("digitvae")
class StandardNormalPrior(Prior):
    """p(z) = N(0, I) (Kingma & Welling 2013)."""

    def distribution(self, encode: Encode) -> Gaussian:
        """Return N(0, I); `encode` is not used."""
        zeros = ops.zeros((self.latent_dim,), "float32")
        return Gaussian(zeros, zeros)


@keras.saving.register_keras_serializable("digitvae")
class MixturePrior(Prior):
    """A mixture of diagonal Gaussians with learned weights, means and scales.

    Args:
        latent_dim: size of the code.
        components: number of Gaussians.
        seed: seed of the initial means, which are standard normal so that the components differ.
    """

    def __init__(self, latent_dim: int, components: int, seed: int = 0, **kwargs):
        super().__init__(latent_dim, **kwargs)
        self.components, self.seed = components, seed
        shape = (components, latent_dim)
        self.logits = self.add_weight(shape=(components,), initializer="zeros", name="logits")
        self.means = self.add_weight(
            shape=shape,
            initializer=keras.initializers.RandomNormal(stddev=1.0, seed=seeds.integer(seed, "means")),
            name="means",
        )
        self.log_scales = self.add_weight(shape=shape, initializer="zeros", name="log_scales")

    def distribution(self, encode: Encode) -> GaussianMixture:
        """Return sum_k w_k N(mean_k, scale_k**2); `encode` is not used."""
        return GaussianMixture(ops.convert_to_tensor(self.logits), Gaussian(self.means, self.log_scales))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "components": self.components, "seed": self.seed}


@keras.saving.register_keras_serializable("digitvae")
class VampPrior(Prior):
    """The variational mixture of posteriors at learned pseudo-inputs (Tomczak & Welling 2018, equation 9).

    Args:
        latent_dim: size of the code.
        image_shape: (height, width) of the pseudo-inputs.
        components: number of pseudo-inputs.
        seed: seed of the initial pseudo-inputs.
    """

    def __init__(
        self, latent_dim: int, image_shape: tuple[int, int], components: int, seed: int = 0, **kwargs
    ):
        super().__init__(latent_dim, **kwargs)
        self.image_shape, self.components, self.seed = tuple(image_shape), components, seed
        self.logits = self.add_weight(shape=(components,), initializer="zeros", name="logits")
        self.pseudo_inputs = self.add_weight(
            shape=(components, *self.image_shape),
            initializer=keras.initializers.RandomNormal(
                stddev=1.0, seed=seeds.integer(seed, "pseudo_inputs")
            ),
            name="pseudo_inputs",
        )

    def start_from(self, images: np.ndarray) -> None:
        """Set the pseudo-inputs to images, drawn with the prior's seed.

        Args:
            images: uint8 (n, height, width), n >= 1.
        """
        chosen = seeds.stream(self.seed, "pseudo_inputs").choice(
            len(images), self.components, replace=len(images) < self.components
        )
        # The weights are logits of pixels; 0.02 and 0.98 leave them where the sigmoid still has a slope.
        pixels = np.clip(images[chosen].astype("float32") / 255, 0.02, 0.98)
        self.pseudo_inputs.assign(np.log(pixels) - np.log1p(-pixels))

    def distribution(self, encode: Encode) -> GaussianMixture:
        """Return sum_k w_k q(z | pseudo-input k)."""
        return GaussianMixture(ops.convert_to_tensor(self.logits), encode(ops.sigmoid(self.pseudo_inputs)))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        own = {"image_shape": self.image_shape, "components": self.components, "seed": self.seed}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("digitvae")
class FlowPrior(Prior):
    """Noise through affine couplings (Dinh et al. 2017), z = flow(u); with labels, p(z|y) for each of them.

    Without labels the noise has a mixture of Gaussians as its distribution. With labels it has one Gaussian
    for each, and the couplings depend on the label too.

    Args:
        latent_dim: size of the code, at least 2.
        couplings: number of affine couplings.
        hidden: units of their hidden layers.
        seed: seed of their initial weights.
        components: Gaussians in the noise of a prior without labels; 1 is the standard normal.
        labels: number of labels, 0 for a prior that does not depend on them.
    """

    def __init__(
        self,
        latent_dim: int,
        couplings: int,
        hidden: int,
        seed: int = 0,
        components: int = 1,
        labels: int = 0,
        **kwargs,
    ):
        super().__init__(latent_dim, **kwargs)
        self.couplings, self.hidden, self.seed = couplings, hidden, seed
        self.components, self.labels = components, labels
        self.flow = CouplingFlow(latent_dim, couplings, hidden, seed=seed, labels=labels)
        if count := labels or (components if components > 1 else 0):
            shape = (count, latent_dim)
            # Labels tell the Gaussians apart; components need different means to begin with.
            spread = keras.initializers.RandomNormal(stddev=0.5, seed=seeds.integer(seed, "means"))
            self.means = self.add_weight(shape=shape, initializer="zeros" if labels else spread, name="means")
            self.log_scales = self.add_weight(shape=shape, initializer="zeros", name="log_scales")
            self.logits = self.add_weight(
                shape=(count,), initializer="zeros", trainable=not labels, name="logits"
            )

    def start_from(self, labels: np.ndarray) -> None:
        """Set p(y) to the shares of the labels, int (n,), -1 where the label is not known."""
        self.logits.assign(_log_shares(labels, self.labels))

    def distribution(self, encode: Encode) -> FlowDistribution | Labelled:
        """Return the flow's density; `encode` is not used."""
        if not self.labels and self.components == 1:
            return FlowDistribution(self.flow.map)
        logits = ops.convert_to_tensor(self.logits)
        base = Gaussian(self.means, self.log_scales)
        if self.labels:
            return labelled_flow(self.flow.map, base, ops.log_softmax(logits))
        return FlowDistribution(self.flow.map, GaussianMixture(logits, base))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        own = ("couplings", "hidden", "seed", "components", "labels")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


@keras.saving.register_keras_serializable("digitvae")
class AutoregressivePrior(Prior):
    """Latents that follow one another, by a masked network (MADE; Germain et al. 2015).

    Each is a mixture of Gaussians, given those before it and, with labels, the label. So every conditional is
    a table of one latent's bins at most, which the lossless codec needs.

    Args:
        latent_dim: size of the code.
        hidden: units of each of the two hidden layers.
        components: Gaussians of each latent.
        seed: seed of the initial weights.
        labels: number of labels, 0 for a prior that does not depend on them.
    """

    def __init__(
        self, latent_dim: int, hidden: int, components: int, seed: int = 0, labels: int = 0, **kwargs
    ):
        super().__init__(latent_dim, **kwargs)
        self.hidden, self.components, self.seed, self.labels = hidden, components, seed, labels
        sizes = (latent_dim, hidden, hidden, latent_dim * 3 * components)
        # A new prior has the same conditionals whatever came before: the last kernel is zero.
        starts = [
            *(keras.initializers.HeNormal(seed=seeds.integer(seed, "autoregressive", i)) for i in range(2)),
            keras.initializers.Zeros(),
        ]
        # Outside of `__call__` an enclosing layer's mixed policy would cast these to bfloat16.
        self._kernels = [
            self.add_weight(shape=shape, initializer=start, autocast=False, name=f"kernel_{i}")
            for i, (shape, start) in enumerate(zip(pairwise(sizes), starts, strict=True))
        ]
        self._biases = [
            self.add_weight(shape=(size,), initializer="zeros", autocast=False, name=f"bias_{i}")
            for i, size in enumerate(sizes[1:])
        ]
        # Components need different means to begin with.
        params = np.zeros((latent_dim, 3, components), "float32")
        params[:, 1] = seeds.stream(seed, "means").normal(size=params[:, 1].shape)
        self._biases[2].assign(params.ravel())
        if labels:
            self._embeddings = self.add_weight(
                shape=(labels, sum(sizes[1:])), initializer="zeros", autocast=False, name="embeddings"
            )
            self.logits = self.add_weight(
                shape=(labels,), initializer="zeros", trainable=False, autocast=False, name="logits"
            )

    def start_from(self, labels: np.ndarray) -> None:
        """Set p(y) to the shares of the labels, int (n,), -1 where the label is not known."""
        self.logits.assign(_log_shares(labels, self.labels))

    def distribution(self, encode: Encode) -> Autoregressive | Labelled:
        """Return the density of the network; `encode` is not used."""
        kernels, biases = map(list, (self._kernels, self._biases))
        if not self.labels:
            return Autoregressive(kernels, biases)
        given = partial(Autoregressive, kernels, biases, self._embeddings)
        return Labelled(given, self.latent_dim, ops.log_softmax(ops.convert_to_tensor(self.logits)))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        own = ("hidden", "components", "seed", "labels")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


def _log_shares(labels: np.ndarray, count: int) -> np.ndarray:
    # One more of each, so that no label is impossible.
    counts = 1 + np.bincount(labels[labels >= 0], minlength=count)
    return np.log(counts / counts.sum())
