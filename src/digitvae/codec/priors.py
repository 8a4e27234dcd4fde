"""Priors for coding: the distribution of each latent's bin, given those before it."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, Protocol, TypeAlias, final

import numpy as np

from digitvae.codec import tables
from digitvae.codec.levels import Mixture
from digitvae.codec.network import Product
from digitvae.codec.tables import Floats
from digitvae.distributions.autoregressive import LARGEST_LOG_SCALE

Conditionals: TypeAlias = Generator[Mixture, np.ndarray, None]
"""Yields the mixtures of n codes' first latent, takes their bins, yields those of the second, ..."""


class Prior(Protocol):
    """p(z) for bins."""

    def conditionals(self, count: int) -> Conditionals:
        """Return the conditionals of a number of codes."""


class Grid:
    """Bins of the latents: bin j of latent i has its centre at origin_i + (j - 128) width_i.

    Args:
        origins: float64 (latent_dim,).
        widths: float64 (latent_dim,).
    """

    def __init__(self, origins: Floats, widths: Floats) -> None:
        self.origins, self.widths = origins, widths

    def places(self, means: Floats) -> Floats:
        """Return where values (..., latent_dim) lie, in bins."""
        return (means - self.origins) / self.widths + 128

    @staticmethod
    def centred(bins: np.ndarray) -> np.ndarray:
        """Return what networks take: whole numbers -128 .. 127."""
        return (bins - 128).astype("float32")


@final
class MixtureCoder:
    """A mixture of diagonal Gaussians; of one, the standard normal.

    The weights of the components follow the latents, by products of densities, element by element.

    Args:
        grid: the bins.
        shares: of the components, float64 (K,), the largest 1.
        means: float64 (K, latent_dim).
        inverse_scales: float64 (K, latent_dim).
    """

    def __init__(self, grid: Grid, shares: Floats, means: Floats, inverse_scales: Floats) -> None:
        self._shares = shares
        self._means, self._inverse = grid.places(means), inverse_scales * grid.widths

    def conditionals(self, count: int) -> Conditionals:
        """Return the conditionals of a number of codes."""
        shares = np.broadcast_to(self._shares[:, None], (len(self._shares), count))
        for mean, inverse in zip(self._means.T[..., None], self._inverse.T[..., None], strict=True):
            weights = np.rint(shares * 2.0**tables.WEIGHT_BITS)
            bins = yield Mixture(weights, np.broadcast_to(mean, weights.shape), inverse, tables.normal())
            t = np.clip((bins - mean) * inverse, -30, 30)
            shares = shares * (inverse * tables.exponential(-t * t / 2))
            # The largest is exactly 1; others may vanish.
            shares = np.maximum(shares / shares.max(axis=0), 1e-100)


@final
class AutoregressiveCoder:
    """The masked network of `digitvae.distributions.Autoregressive`, of whole numbers.

    A latent's hidden units are computed when its bin is known: all latents take one pass together.

    Args:
        grid: the bins.
        arrays: of the three products, by name.
        settings: of the three products.
    """

    def __init__(self, grid: Grid, arrays: Mapping[str, np.ndarray], settings: Any) -> None:
        self._grid = grid
        self._layers = [Product(arrays, f"prior{i}", setting) for i, setting in enumerate(settings)]

    def conditionals(self, count: int) -> Conditionals:
        """Return the conditionals of a number of codes."""
        first, second, last = self._layers
        latent_dim, hidden = first.kernel.shape
        size = last.kernel.shape[1] // latent_dim
        # As in `distributions.autoregressive.masks`: hidden units in the order of their latents.
        numbers = np.arange(hidden) * max(1, latent_dim - 1) // hidden
        codes = np.zeros((count, latent_dim), "float32")
        below, above = (np.zeros((count, hidden), layer.dtype) for layer in (second, last))
        done = 0
        for i in range(latent_dim):
            params = last(above[:, :done], slice(i * size, (i + 1) * size))
            bins = yield self._mixture(params.T.astype("float64").reshape(3, -1, count), i)
            codes[:, i] = Grid.centred(bins)
            units = slice(done, done + int((numbers == i).sum()))
            done = units.stop
            below[:, units] = np.maximum(first(codes[:, : i + 1], units), 0)
            above[:, units] = np.maximum(second(below[:, :done], units), 0)

    def _mixture(self, params: np.ndarray, i: int) -> Mixture:
        logits, means, scales = params
        return Mixture(
            weights_of(logits),
            means / MEAN_STEPS + 128,
            tables.looked_up(tables.inverse_scales(0.0, LARGEST_LOG_SCALE), scales) * self._grid.widths[i],
            tables.normal(),
        )


MEAN_STEPS = 256
"""Steps of a mean in a bin."""


def weights_of(logits: Floats) -> Floats:
    """Return the weights of components, whole numbers, for logits (K, n) in steps of 1/256."""
    table = tables.weights()
    behind = logits.max(axis=0) - logits
    return table.take(np.minimum(behind, len(table) - 1).astype("intp"))
