"""Scores of single images."""

from __future__ import annotations

import numpy as np
import pytest

from digitvae.data import fixed_bits
from digitvae.evaluation.likelihood import image_bounds
from digitvae.scoring import score

pytestmark = pytest.mark.backend


@pytest.fixture(scope="module")
def vae(make_vae, blobs):
    """A small model that knows blobs."""
    import keras

    model = make_vae(architecture="dense", blocks=0, width=32)
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=keras.backend.backend() == "jax")
    model.fit(blobs(512, seed=1), batch_size=64, epochs=15, verbose=0)
    return model


def test_likelihoods_are_those_of_evaluations(vae, blobs):
    images = blobs(5, seed=3)
    scores = score(vae, images, 7, seed=2, reference=blobs(20, seed=4))
    bounds = image_bounds(vae, fixed_bits(images), 7, seed=2)
    np.testing.assert_allclose(scores.nll, -bounds.bound)
    np.testing.assert_allclose(scores.negative_elbo, bounds.reconstruction + bounds.kl)
    error = np.square(images / 255 - vae.reconstruct(images) / 255).mean(axis=(1, 2))
    np.testing.assert_allclose(scores.mse, error)
    assert all(part.shape == (5,) and part.dtype == np.float64 for part in scores)


def test_percentiles_are_shares_of_the_reference(vae, blobs):
    reference = fixed_bits(blobs(200, seed=4))
    scores = score(vae, reference, 1, reference=reference)
    # The least of them has none below it, the greatest all but itself.
    np.testing.assert_allclose(np.sort(scores.percentile), np.arange(200) / 2, atol=1e-9)
    np.testing.assert_array_equal(np.argsort(scores.anomaly), np.argsort(scores.percentile))
    fresh = score(vae, blobs(300, seed=5), 1, reference=reference).percentile
    assert fresh.mean() == pytest.approx(50, abs=8)


def test_what_was_not_trained_on_is_an_anomaly(vae, blobs):
    reference, usual = blobs(300, seed=4), blobs(40, seed=5)
    noise = np.random.default_rng(0).integers(0, 256, usual.shape).astype("uint8")
    patched = usual.copy()
    patched[:, :3, :3] = 255 * np.random.default_rng(1).integers(0, 2, (40, 3, 3))
    found = [score(vae, images, 1, reference=reference).percentile for images in (usual, patched, noise)]
    assert np.median(found[0]) < 70
    assert np.median(found[1]) > 80
    assert found[2].min() > 95


def test_one_image_scores_as_among_others(vae, blobs):
    bits, reference = fixed_bits(blobs(4, seed=3)), blobs(20, seed=4)
    whole, alone = (score(vae, images, 3, reference=reference) for images in (bits, bits[:1]))
    for one, many in zip(alone, whole, strict=True):
        np.testing.assert_allclose(one, many[:1], rtol=1e-3, atol=1e-3)


def test_other_sizes_need_a_reference(vae, blobs):
    with pytest.raises(
        ValueError, match=r"^Expected reference images for a model of 9x13 .* reference=None$"
    ):
        score(vae, blobs(2))
    with pytest.raises(ValueError, match=r"^Expected at least 2 reference images. Received: 1$"):
        score(vae, blobs(2), reference=blobs(1))
    with pytest.raises(ValueError, match=r"^Expected images of 9x13 pixels. Received: 8x8$"):
        score(vae, np.zeros((1, 8, 8), "uint8"), reference=blobs(2))


def test_draws_below_one_are_refused(vae, blobs):
    with pytest.raises(ValueError, match=r"^Expected draws to be at least 1. Received: draws=0$"):
        score(vae, blobs(2), 0, reference=blobs(2))
