"""Tiny models for coding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from digitvae.codec import codec_model, read_codec_model
from digitvae.light.archive import Archive

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def make_codec(make_vae, blobs, tmp_path_factory):
    """Return a maker of models for coding, trained for a few steps; arguments are fields of the config."""

    def make(image_shape=(9, 13), precision="float64", steps=30, **changes):
        images = blobs(64, *image_shape)
        vae = make_vae(image_shape, images, **{"prior": "autoregressive", **changes})
        vae.fit(images, epochs=steps // 8, batch_size=8, verbose=0)
        folder = tmp_path_factory.mktemp("run")
        vae.save(folder / "model.keras")
        return vae, codec_model(Archive(folder / "model.keras"), "tiny", precision)

    return make


@pytest.fixture(scope="session")
def grey():
    """A model of 256 levels, for coding."""
    return read_codec_model(GOLDEN / "grey.npz")


@pytest.fixture(scope="session")
def bits():
    """A model of bits, for coding."""
    return read_codec_model(GOLDEN / "bits.npz")


@pytest.fixture(scope="session")
def some(blobs):
    """Grey images of the tiny models' size, noise among them."""
    noise = np.random.default_rng(3).integers(0, 256, (4, 9, 13), "uint8")
    return np.concatenate([blobs(30, seed=5), noise, np.zeros((2, 9, 13), "uint8")])
