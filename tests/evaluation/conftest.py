"""Models with weights from NumPy, so that the numbers of a test are the same on every backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy import stats

from digitvae.data import fixed_bits

SIDE, LATENTS, SCALE = 8, 3, 0.2


class Solved(NamedTuple):
    """A linear-Gaussian VAE and what is known of it."""

    vae: Any
    images: np.ndarray
    """uint8 (n, SIDE, SIDE)."""
    log_p: np.ndarray
    """log p(x) in nats, (n,)."""
    mean: np.ndarray
    """Means of p(z|x), (n, LATENTS)."""
    covariance: np.ndarray
    """Covariance of p(z|x), (LATENTS, LATENTS)."""


@pytest.fixture(scope="session")
def linear_gaussian() -> Callable[..., Solved]:
    """Return a maker of VAEs that can be solved: x|z ~ N(Wz + b, s^2), z ~ N(0, I), with a linear encoder.

    Its arguments: `correlation` of the columns of W, 0 for a diagonal posterior; `shift` of the encoder's
    means in standard deviations; `widening` of its scales. By default the encoder has the exact mean and the
    exact marginal scales.
    """
    import keras
    from keras import ops

    from digitvae.distributions import Likelihood
    from digitvae.model import VAE
    from digitvae.objectives import ELBO
    from digitvae.priors import StandardNormalPrior

    class GaussianPixels(Likelihood):
        """Pixels with a fixed standard deviation around the decoder's output."""

        def __init__(self, params):
            self.means = params[..., 0]

        @staticmethod
        def channels():
            return 1

        @property
        def mean(self):
            return self.means

        def sample(self, seed):
            return self.means + SCALE * keras.random.normal(ops.shape(self.means), seed=seed)

        def _log_prob_per_pixel(self, x):
            return -0.5 * ops.square((x - self.means) / SCALE) - np.log(SCALE * np.sqrt(2 * np.pi))

    def make(correlation: float = 0.0, shift: float = 0.0, widening: float = 1.0) -> Solved:
        rng = np.random.default_rng(3)
        columns = np.linalg.qr(rng.normal(size=(SIDE**2, LATENTS)))[0]
        mixing = np.linalg.cholesky(
            (1 - correlation) * np.eye(LATENTS) + correlation * np.ones((LATENTS, LATENTS))
        )
        w = columns @ mixing.T * [0.9, 0.5, 0.2]
        b = np.linspace(0.4, 0.6, SIDE**2)
        x = b + rng.normal(size=(7, LATENTS)) @ w.T + SCALE * rng.normal(size=(7, SIDE**2))
        images = np.rint(255 * x.clip(0, 1)).astype("uint8")
        x = images / 255
        covariance = np.linalg.inv(np.eye(LATENTS) + w.T @ w / SCALE**2)
        scales = np.sqrt(np.diag(covariance))
        to_mean = w @ covariance / SCALE**2

        pixels = keras.Input((SIDE, SIDE))
        dense = keras.layers.Dense(2 * LATENTS)
        encoder = keras.Model(pixels, dense(keras.layers.Flatten()(pixels)))
        offsets = np.concatenate([shift * scales - b @ to_mean, np.log(widening * scales)])
        dense.set_weights([np.hstack([to_mean, np.zeros_like(to_mean)]), offsets])
        latents = keras.Input((LATENTS,))
        dense = keras.layers.Dense(SIDE**2)
        decoder = keras.Model(latents, keras.layers.Reshape((SIDE, SIDE, 1))(dense(latents)))
        dense.set_weights([w.T, b])
        vae = VAE(encoder, decoder, StandardNormalPrior(LATENTS), GaussianPixels, ELBO(), "none")
        vae.encoder.run_eagerly = keras.backend.backend() == "tensorflow"

        flat = x.reshape(len(x), -1)
        log_p = stats.multivariate_normal(b, w @ w.T + SCALE**2 * np.eye(SIDE**2)).logpdf(flat)
        images = images.reshape(-1, SIDE, SIDE)
        return Solved(vae, images, log_p, (flat - b) @ to_mean, covariance)

    return make


@pytest.fixture(scope="session")
def random_vae(make_vae) -> Callable[..., Any]:
    """Return a maker of tiny dense VAEs with random weights; arguments are those of `make_vae`."""

    def make(**changes: Any) -> Any:
        vae = make_vae(architecture="dense", blocks=0, **changes)
        rng = np.random.default_rng(0)
        for part, size in ((vae.encoder, 0.1), (vae.decoder, 0.4), (vae.prior, 0.3)):
            part.set_weights([size * rng.standard_normal(w.shape) for w in part.get_weights()])
        return vae

    return make


@pytest.fixture(scope="module")
def vae(random_vae):
    """A small model that tests do not change."""
    return random_vae()


@pytest.fixture(scope="module")
def bits(blobs):
    """Five images of bits."""
    return fixed_bits(blobs(5, seed=3))
