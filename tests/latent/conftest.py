"""Models with and without labels."""

from __future__ import annotations

import numpy as np
import pytest

from digitvae.building import build


@pytest.fixture(scope="session")
def plain(make_vae, blobs):
    """A trained model with a flow and without labels."""
    vae = make_vae(prior="flow")
    vae.fit(blobs(64), batch_size=8, epochs=4, verbose=0)
    return vae


@pytest.fixture(scope="session")
def labelled(tiny, blobs):
    """A model with three labels, whose prior tells them apart and whose flow is no identity."""
    import keras

    vae = build(tiny(prior="flow"), (9, 13), labels=np.arange(30) % 3)
    # Tracing a graph for every size of a batch costs TensorFlow seconds.
    vae.encoder.run_eagerly = vae.decoder.run_eagerly = keras.backend.backend() == "tensorflow"
    rng = np.random.default_rng(0)
    for weight in [*vae.encoder.weights, *vae.decoder.weights, *vae.prior.trainable_weights]:
        value = np.asarray(weight)
        weight.assign(value + rng.normal(scale=0.1, size=value.shape))
    vae.prior.means.assign(2 * np.eye(3, 4))
    return vae


@pytest.fixture(scope="session")
def models(plain, labelled):
    """Both, by name."""
    return {"plain": plain, "labelled": labelled}


@pytest.fixture(params=["plain", "labelled"])
def vae(request, models):
    """Each of them in turn."""
    return models[request.param]


@pytest.fixture(scope="session")
def close():
    """Return a check that images are equal but for the rounding of floats."""

    def check(images, expected):
        assert images.dtype == np.uint8
        assert images.shape == expected.shape
        assert np.abs(images.astype(int) - expected).max() <= 1

    return check
