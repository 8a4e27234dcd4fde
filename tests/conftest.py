"""Settings that must stand before Keras is imported, and the small data and models that most tests share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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
