"""A saved VAE, run by NumPy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt

from digitvae.distributions import LIKELIHOODS, Distribution, Gaussian, Labelled
from digitvae.distributions.operations import by_numpy
from digitvae.light.archive import Archive, NeedsKeras
from digitvae.light.networks import Network
from digitvae.light.priors import read_prior
from digitvae.trained import TrainedModel

_LIKELIHOODS = {kind.__name__: kind for kind in LIKELIHOODS.values()}


@final
class LightVAE(TrainedModel):
    """A trained model that starts at once: all of `digitvae.VAE` but training and measuring.

    Results are those of `digitvae.VAE` up to rounding, from the same seeds.

    Args:
        archive: the saved model.

    Attributes:
        prior: p(z), for formulas inside of `by_numpy`.

    Raises:
        NeedsKeras: a layer, prior or likelihood that is not known here.
        ValueError: weights are missing.
    """

    def __init__(self, archive: Archive):
        config = archive.config
        if config["likelihood"] not in _LIKELIHOODS:
            raise NeedsKeras(f"a likelihood of the classes {', '.join(_LIKELIHOODS)}", config["likelihood"])
        self.likelihood = _LIKELIHOODS[config["likelihood"]]
        self._encoder, self._decoder = (Network(archive, part) for part in ("encoder", "decoder"))
        height, width = self._encoder.input_shape
        self.image_shape = (height, width)
        (self.latent_dim,) = self._decoder.input_shape
        self.prior_name = config["prior"]["class_name"]
        self.prior = read_prior(archive, self._posterior)
        self.labels = self.prior.labels if isinstance(self.prior, Labelled) else 0

    def _posterior(self, x: np.ndarray) -> Gaussian:
        return Gaussian(*np.split(self._encoded(x), 2, axis=-1))

    # What computes for `TrainedModel`.

    def _encoded(self, x: npt.NDArray[np.float32]) -> np.ndarray:
        return self._encoder(x, x[0].size)

    def _decoded(self, z: npt.NDArray[np.float32]) -> np.ndarray:
        return self._decoder(z, self.image_shape[0] * self.image_shape[1])

    def _prior(self) -> Distribution | Labelled:
        return self.prior

    def _run(self, function: Callable[..., Any], *arrays: np.ndarray) -> np.ndarray:
        with by_numpy():
            return np.asarray(function(*arrays))


def read_model(path: Path) -> LightVAE:
    """Read a `model.keras`.

    Raises:
        NeedsKeras: a model that only Keras can run.
        ValueError: the file is missing or damaged.
    """
    return LightVAE(Archive(path))
