"""Labels and styles of images."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp

from digitvae.latent import classify, restyle

pytestmark = pytest.mark.backend


def test_under_its_own_label_an_image_is_its_reconstruction(labelled, blobs, close):
    images = blobs(6)
    drawn = restyle(labelled, images)
    assert drawn.shape == (6, 3, 9, 13)
    own = classify(labelled, images).argmax(axis=1)
    close(drawn[np.arange(6), own], labelled.reconstruct(images))
    for label in range(3):
        given = restyle(labelled, images, labels=label, own=label)
        close(given[:, 0], labelled.reconstruct(images))


def test_another_label_keeps_the_noise(labelled, close):
    noise = np.random.default_rng(0).standard_normal((5, 4), "float32")
    labels = np.array([0, 1, 2, 0, 1])
    latents = labelled.latents_from_noise(noise, labels)
    drawn = restyle(labelled, latents, labels=[2, 0], own=labels)
    for column, label in enumerate([2, 0]):
        close(drawn[:, column], labelled.decode(labelled.latents_from_noise(noise, np.full(5, label))))
    assert (drawn[:, 0] != drawn[:, 1]).any()


def test_by_default_the_label_is_that_of_the_mean(labelled, blobs):
    images = blobs(7)
    found = classify(labelled, images)
    np.testing.assert_allclose(found, labelled.label_probabilities(labelled.encode(images)), atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_many_draws_give_the_posterior_of_the_label(tiny):
    # One flow of two latents, for which the integral over z is a sum over a grid.
    from digitvae.building import build

    vae = build(tiny(prior="flow", latent_dim=2), (9, 13), labels=np.array([0, 0, 0, 1]))
    rng = np.random.default_rng(1)
    for weight in vae.decoder.weights:
        weight.assign(np.asarray(weight) + rng.normal(scale=0.1, size=weight.shape))
    vae.prior.means.assign([[-1.0, 0.5], [1.0, 0.0]])
    images = (rng.random((2, 9, 13)) < 0.5).astype("uint8") * 255
    side = np.linspace(-6, 6, 81)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    log_joint = vae.log_joint(grid)
    # The mean of many estimates, each of which is good but for a term of 1 / draws.
    found = classify(vae, np.repeat(images, 30, axis=0), draws=100).reshape(2, 30, 2).mean(axis=1)
    for image, probabilities in zip(images, found, strict=True):
        likelihood = vae.log_likelihood(np.broadcast_to(image, (len(grid), 9, 13)), grid)
        totals = logsumexp(likelihood[:, None] + log_joint, axis=0)
        np.testing.assert_allclose(probabilities, np.exp(totals - logsumexp(totals)), atol=0.03)
    at_mean = classify(vae, images)
    assert np.abs(at_mean - found).max() > 0.05


def test_draws_are_those_of_the_seed(labelled, blobs):
    images = blobs(4)
    found = classify(labelled, images, draws=3, seed=1)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(found, classify(labelled, images, draws=3, seed=1))
    assert (found != classify(labelled, images, draws=3, seed=2)).any()


def test_impossible_labels_are_refused(labelled, plain, blobs):
    images = blobs(2)
    for call in (
        lambda: restyle(plain, images),
        lambda: restyle(plain, images, labels=[0], own=0),
        lambda: classify(plain, images),
        lambda: classify(plain, images, draws=2),
    ):
        with pytest.raises(ValueError, match="Expected a model that was trained with labels"):
            call()
    for wrong in ({"labels": [3]}, {"own": 3}, {"own": [0, -1]}):
        with pytest.raises(ValueError, match=r"Expected labels from 0 to 2. Received: "):
            restyle(labelled, images, **wrong)
    with pytest.raises(ValueError, match="Expected labels, whole numbers of shape"):
        restyle(labelled, images, own=[0, 1, 2])
    with pytest.raises(ValueError, match="Expected draws to be a whole number of at least 1"):
        classify(labelled, images, draws=0)
