"""Posteriors fitted to single images: they reach what can be reached."""

from __future__ import annotations

import numpy as np
import pytest

from digitvae.data import fixed_bits
from digitvae.evaluation import refinement
from digitvae.evaluation.likelihood import image_bounds
from digitvae.evaluation.refinement import refine_posteriors

pytestmark = pytest.mark.backend


def test_a_diagonal_posterior_is_reached_and_the_bound_is_then_the_likelihood(linear_gaussian):
    solved = linear_gaussian(shift=2, widening=2.5)
    posteriors = refine_posteriors(solved.vae, solved.images, 250)
    means, log_scales = posteriors
    assert means.dtype == log_scales.dtype == np.float32
    scales = np.sqrt(np.diag(solved.covariance))
    np.testing.assert_allclose((means - solved.mean) / scales, 0, atol=0.01)
    np.testing.assert_allclose(log_scales, np.broadcast_to(np.log(scales), (7, 3)), atol=0.01)
    terms = image_bounds(solved.vae, solved.images, 3, posteriors=posteriors)
    np.testing.assert_allclose(-(terms.reconstruction + terms.kl), solved.log_p, atol=0.01)
    np.testing.assert_allclose(terms.bound, solved.log_p, atol=0.01)
    before = image_bounds(solved.vae, solved.images, 3)
    assert (-(before.reconstruction + before.kl) < solved.log_p - 3).all()


def test_a_correlated_posterior_is_fitted_as_well_as_a_diagonal_one_can(linear_gaussian):
    solved = linear_gaussian(0.7, shift=1, widening=1.5)
    means, log_scales = refine_posteriors(solved.vae, solved.images, 200, draws=64)
    scales = np.diag(np.linalg.inv(solved.covariance)) ** -0.5
    np.testing.assert_allclose((means - solved.mean) / scales, 0, atol=0.05)
    np.testing.assert_allclose(log_scales, np.broadcast_to(np.log(scales), (7, 3)), atol=0.05)


def test_the_encoders_posteriors_are_the_default(linear_gaussian):
    solved = linear_gaussian(0.7, shift=1)
    posteriors = solved.vae.encode_posterior(solved.images)
    ours = image_bounds(solved.vae, solved.images, 5, posteriors=posteriors)
    for a, b in zip(ours, image_bounds(solved.vae, solved.images, 5), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("wrong", [(6, 3), (7, 2), (7,)])
def test_posteriors_of_another_shape_are_refused(linear_gaussian, wrong):
    solved = linear_gaussian()
    with pytest.raises(ValueError, match=r"Expected means and log-scales of shape \(7, 3\)"):
        image_bounds(solved.vae, solved.images, 5, posteriors=(np.zeros(wrong), np.zeros((7, 3))))


@pytest.mark.parametrize("at_once", [1, 9, 1000])
def test_batches_do_not_change_the_posteriors(linear_gaussian, monkeypatch, at_once):
    solved = linear_gaussian(0.7, shift=1)
    expected = refine_posteriors(solved.vae, solved.images, 6, draws=3)
    monkeypatch.setattr(refinement, "DECODES_AT_ONCE", at_once)
    for ours, theirs in zip(refine_posteriors(solved.vae, solved.images, 6, draws=3), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_an_image_keeps_its_noise_in_any_company(vae, bits):
    whole = refine_posteriors(vae, bits, 4, draws=2)[0]
    chosen = np.array([4, 2])
    alone = refine_posteriors(vae, bits[chosen], 4, draws=2, indices=chosen)[0]
    np.testing.assert_allclose(alone, whole[chosen], atol=1e-4)
    assert np.abs(refine_posteriors(vae, bits[chosen], 4, draws=2)[0] - alone).max() > 1e-3


def test_seeds_repeat_and_differ(vae, bits):
    first, again, other = (refine_posteriors(vae, bits, 4, seed=seed) for seed in (0, 0, 1))
    for part in range(2):
        np.testing.assert_array_equal(first[part], again[part])
        assert (first[part] != other[part]).any()


@pytest.mark.parametrize(
    ("prior", "likelihood"),
    [
        ("normal", "discretised_logistic"),
        ("mixture", "continuous_bernoulli"),
        ("vamp", "bernoulli"),
        ("flow", "bernoulli"),
    ],
)
def test_every_prior_and_likelihood_gains(random_vae, blobs, prior, likelihood):
    images = blobs(3, seed=5)
    vae = random_vae(prior=prior, likelihood=likelihood, images=images)
    images = fixed_bits(images) if likelihood == "bernoulli" else images
    posteriors = refine_posteriors(vae, images, 30)
    before = image_bounds(vae, images, 500)
    after = image_bounds(vae, images, 500, posteriors=posteriors)
    assert (after.reconstruction + after.kl < before.reconstruction + before.kl).all()
    assert after.bound.mean() > before.bound.mean() - 0.1


@pytest.mark.parametrize("name", ["steps", "draws"])
def test_counts_below_one_are_refused(vae, bits, name):
    with pytest.raises(ValueError, match=f"Expected {name} to be at least 1. Received: {name}=0"):
        refine_posteriors(vae, bits, **{"steps": 1, name: 0})


def test_grey_images_are_refused_by_a_model_of_bits(vae, blobs):
    with pytest.raises(ValueError, match=r"Expected bits, 0 or 255, for .* Received: grey images"):
        refine_posteriors(vae, blobs(2), 1)
