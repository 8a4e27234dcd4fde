"""Settings that must stand before Keras is imported, and the small data and models that most tests share."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy import stats

import digitvae
from digitvae.config import Config
from digitvae.data import Dataset
from digitvae.machine import tensorflow_bfloat16

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

_TINY: dict[str, Any] = {
    "width": 8,
    "blocks": 1,
    "latent_dim": 4,
    "prior": "normal",
    "prior_components": 3,
    "flow_couplings": 2,
    "flow_hidden": 8,
    "autoregressive_hidden": 8,
    "autoregressive_components": 2,
    "epochs": 2,
    "batch_size": 8,
    "precision": "float32",
}


def _tiny(**changes: Any) -> Config:
    if changes.get("likelihood", "bernoulli") != "bernoulli":
        changes.setdefault("binarization", "none")
    if changes.get("objective") == "iwae":
        changes.setdefault("draws", 3)
    return Config(**{**_TINY, **changes})


def _blobs(count: int, height: int = 9, width: int = 13, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    centres = rng.uniform([1, 1], [height - 2, width - 2], (count, 2))
    distances = (rows - centres[:, 0, None, None]) ** 2 + (columns - centres[:, 1, None, None]) ** 2
    return np.rint(255 * np.exp(-distances / 6)).astype(np.uint8)


@pytest.fixture(scope="session")
def tiny() -> Callable[..., Config]:
    """Return a maker of configs with the smallest networks; arguments are further fields."""
    return _tiny


@pytest.fixture(scope="session")
def blobs() -> Callable[..., np.ndarray]:
    """Return a maker of grey images of one soft blob each, uint8 (count, height, width): easy to learn."""
    return _blobs


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    """A small data set with labels: 48 images to train and validate, 12 to test."""
    images = _blobs(60)
    labels = np.arange(60) % 3
    return Dataset("blobs", images[:48], labels[:48], images[48:], labels[48:])


@pytest.fixture(scope="session")
def make_vae() -> Callable[..., Any]:
    """Return a maker of tiny models; arguments are the image shape, training images and config fields."""
    import keras

    from digitvae.building import build

    def make(image_shape: tuple[int, int] = (9, 13), images: np.ndarray | None = None, **changes: Any) -> Any:
        vae = build(_tiny(**changes), image_shape, images=images)
        # Tracing a graph costs TensorFlow seconds, a step of a tiny model without one nothing.
        eager = keras.backend.backend() == "tensorflow"
        vae.compile(
            optimizer=keras.optimizers.Adam(1e-2), run_eagerly=eager, jit_compile=not eager and "auto"
        )
        vae.encoder.run_eagerly = vae.decoder.run_eagerly = eager
        return vae

    return make


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
def environment() -> dict[str, str]:
    """The environment of subprocesses: this package and backend, no screen, no network proxy."""
    source = str(Path(digitvae.__file__).parents[1])
    kept = {name: value for name, value in os.environ.items() if name not in ("MPLBACKEND", "DISPLAY")}
    path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
    return {**kept, "PYTHONPATH": path}


@pytest.fixture(scope="session")
def python(environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a runner of `python ARGS` in a folder; output is text, keywords extend the environment."""

    def run(*arguments: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=cwd,
            env={**environment, **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def load_script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Return a loader of files of `scripts/` and `benchmarks/` as modules, by their paths from the root."""

    def load(path: str) -> Any:
        file = Path(__file__).parents[1] / path
        monkeypatch.syspath_prepend(file.parent)  # where the modules are that it imports
        return importlib.import_module(file.stem)

    return load


@pytest.fixture(scope="session")
def with_bfloat16() -> None:
    """Skips the test where a setting of oneDNN leaves TensorFlow no products in bfloat16."""
    import keras

    if keras.backend.backend() == "tensorflow" and tensorflow_bfloat16() == "fatal":
        pytest.skip("ONEDNN_MAX_CPU_ISA leaves TensorFlow no products in bfloat16")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own with 2 MB; who may not mount one skips the test."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    try:
        subprocess.run(["mount", *options], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no disk can be mounted")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A .npy file of 700 real digits: 550 to train, 50 to validate, 100 to test."""
    from digitvae.data import load_dataset

    path = tmp_path_factory.mktemp("digits") / "digits.npy"
    np.save(path, load_dataset().train_images[:700])
    return path
