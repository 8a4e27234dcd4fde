"""Draws of posteriors against those that can be solved, or summed over many draws of the prior."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from digitvae import tempering
from digitvae.building import build
from digitvae.tempering import posterior_draws

pytestmark = pytest.mark.backend


def of_visible(likelihood, x, visible):
    return ops.sum(visible * likelihood.log_prob_per_pixel(x / 255), axis=(-2, -1))


def drawn(vae, *observations, draws=200, seed=0):
    batches = posterior_draws(vae, of_visible, observations, draws, seed)
    return np.concatenate([latents for _, latents in batches]).astype("float64")


@pytest.mark.parametrize("correlation", [0.0, 0.7])
@pytest.mark.parametrize("rows_seen", [2, 8])
def test_draws_are_those_of_the_exact_posterior(linear_gaussian, correlation, rows_seen):
    solved = linear_gaussian(correlation)
    visible = np.zeros(solved.images.shape, bool)
    visible[:, :rows_seen] = True
    w, b = (np.asarray(part) for part in solved.vae.decoder.get_weights())
    seen = visible[0].reshape(-1)
    noise = 0.2  # standard deviation of a pixel
    covariance = np.linalg.inv(np.eye(3) + w[:, seen] @ w[:, seen].T / noise**2)
    x = solved.images.reshape(len(solved.images), -1) / 255
    means = (x[:, seen] - b[seen]) @ w[:, seen].T @ covariance / noise**2
    latents = drawn(solved.vae, solved.images, visible)
    assert latents.shape == (len(x), 200, 3)
    # Transitions have parted what resampling copied.
    assert all(len(np.unique(part, axis=0)) == 200 for part in latents)
    scales = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose((latents.mean(axis=1) - means) / scales, 0, atol=0.35)
    found = np.mean([np.cov(part.T) for part in latents], axis=0)
    np.testing.assert_allclose(
        found / np.outer(scales, scales), covariance / np.outer(scales, scales), atol=0.2
    )
    whitened = (latents - means[:, None]) @ np.linalg.cholesky(np.linalg.inv(covariance))
    assert stats.kstest(whitened.reshape(-1), "norm").statistic < 0.05


def random_model(tiny, prior, labels=None):
    vae = build(tiny(prior=prior, architecture="dense", blocks=0, latent_dim=2), (9, 13), labels=labels)
    vae.encoder.run_eagerly = vae.decoder.run_eagerly = keras.backend.backend() == "tensorflow"
    rng = np.random.default_rng(1)
    vae.decoder.set_weights([0.5 * rng.standard_normal(w.shape) for w in vae.decoder.get_weights()])
    for weight in vae.prior.trainable_weights:
        weight.assign(0.3 * rng.standard_normal(weight.shape))
    return vae


@pytest.mark.parametrize("prior", ["normal", "mixture", "flow", "labelled flow"])
def test_draws_agree_with_weighted_draws_of_the_prior(tiny, blobs, prior):
    labels = np.array([0, 1, 1, 2]) if prior == "labelled flow" else None
    vae = random_model(tiny, prior.removeprefix("labelled "), labels)
    assert vae.labels == (0 if labels is None else 3)
    images = np.where(blobs(4, seed=2) > 100, 255, 0).astype("uint8")
    visible = np.zeros(images.shape, bool)
    visible[:, :, :6] = True
    latents = drawn(vae, images, visible, draws=256)
    noise = np.random.default_rng(2).standard_normal((20_000, 2))
    z = vae.latents_from_noise(noise, vae.draw_labels(len(noise)) if vae.labels else None)
    logits = np.concatenate([np.asarray(vae.decoder.predict_on_batch(part)) for part in np.split(z, 4)])
    log_p = np.where(images[:, None] > 0, -np.logaddexp(0, -logits[..., 0]), -np.logaddexp(0, logits[..., 0]))
    log_weights = (log_p * visible[:, None]).sum(axis=(2, 3))
    weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    assert (1 / np.square(weights).sum(axis=1) > 200).all()  # enough of them count
    means = weights @ z
    scales = np.sqrt(weights @ z**2 - means**2)
    np.testing.assert_allclose((latents.mean(axis=1) - means) / scales, 0, atol=0.35)
    np.testing.assert_allclose(latents.std(axis=1) / scales, 1, atol=0.3)


def test_explanations_far_apart_keep_their_shares(linear_gaussian):
    """No transition crosses from one to the other: the weights of the steps alone make the shares right."""
    solved = linear_gaussian()
    w, b = (np.asarray(part) for part in solved.vae.decoder.get_weights())
    to_first = ops.convert_to_tensor((w[0] / (w[0] @ w[0])).reshape(8, 8))
    offset = ops.convert_to_tensor(b.reshape(8, 8))

    def two_peaks(likelihood, x):
        first = ops.sum((likelihood.mean - offset) * to_first, axis=(-2, -1))
        peaks = [-ops.square((first - place) / 0.1) / 2 for place in (-1.5, 1.5)]
        shares = ops.logaddexp(math.log(0.9) + peaks[0], math.log(0.1) + peaks[1])
        return shares + 0 * ops.sum(x, axis=(-2, -1))

    (batch,) = posterior_draws(solved.vae, two_peaks, [solved.images[:2]], 256)
    first = batch[1][..., 0]
    np.testing.assert_allclose((first < 0).mean(axis=1), 0.9, atol=0.06)
    np.testing.assert_allclose(np.abs(first).mean(), 1.5, atol=0.05)


def test_nothing_seen_gives_the_prior(linear_gaussian):
    solved = linear_gaussian()
    latents = drawn(solved.vae, solved.images[:2], np.zeros((2, 8, 8), bool), draws=400)
    assert stats.kstest(latents.reshape(-1), "norm").pvalue > 1e-3


def test_an_image_keeps_its_noise_in_any_company(linear_gaussian, monkeypatch):
    solved = linear_gaussian()
    visible = np.ones(solved.images.shape, bool)
    whole = drawn(solved.vae, solved.images, visible, draws=16)
    monkeypatch.setattr(tempering, "CHAINS_AT_ONCE", 40)
    monkeypatch.setattr(tempering, "NUMBERS_AT_ONCE", 1000)
    few = drawn(solved.vae, solved.images[:5], visible[:5], draws=16)
    # Rounding differs with the size of a batch, and the moves of a chain enlarge it.
    np.testing.assert_allclose(few, whole[:5], atol=5e-2)
    assert np.abs(drawn(solved.vae, solved.images[:1], visible[:1], draws=16, seed=1) - whole[:1]).min() > 0
