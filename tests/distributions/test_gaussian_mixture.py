"""The mixture of Gaussians: its density, and its exact map between noise and latents."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from scipy import special, stats

from digitvae.distributions import Gaussian, GaussianMixture

pytestmark = pytest.mark.backend

to_numpy = keras.ops.convert_to_numpy


def make(components: int = 4, latent_dim: int = 3, spread: float = 2.0, seed: int = 0):
    """Returns a mixture and its weights, means and scales in float64."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=components).astype("float32")
    means = (spread * rng.normal(size=(components, latent_dim))).astype("float32")
    log_scales = rng.normal(-0.5, 0.4, size=(components, latent_dim)).astype("float32")
    mixture = GaussianMixture(logits, Gaussian(means, log_scales))
    return (
        mixture,
        special.softmax(logits.astype("float64")),
        means.astype("float64"),
        np.exp(log_scales.astype("float64")),
    )


def test_log_prob_is_that_of_scipy():
    mixture, weights, means, scales = make()
    z = np.random.default_rng(1).normal(scale=3, size=(7, 2, 3)).astype("float32")
    densities = [
        stats.multivariate_normal(m, np.diag(s**2)).pdf(z) for m, s in zip(means, scales, strict=True)
    ]
    expected = np.log(np.tensordot(weights, np.array(densities), axes=1))
    np.testing.assert_allclose(to_numpy(mixture.log_prob(z)), expected, rtol=1e-4)


def test_a_narrow_component_far_out_keeps_its_digits():
    # The expanded square would subtract 1e10 from 1e10 here.
    mixture = GaussianMixture([0.0], Gaussian([[100.0, -100.0]], np.log([[1e-3, 1e-3]])))
    z = np.array([[100.0009765625, -100.0]], "float32")
    expected = stats.norm(0, 1e-3).logpdf([0.0009765625, 0.0]).sum()
    np.testing.assert_allclose(to_numpy(mixture.log_prob(z)), [expected], rtol=1e-4)


@pytest.mark.parametrize(("latent_dim", "spread"), [(1, 1.0), (2, 1.0), (3, 3.0), (6, 2.0), (2, 20.0)])
def test_to_noise_inverts_from_noise_up_to_five(latent_dim, spread):
    mixture, *_ = make(latent_dim=latent_dim, spread=spread)
    u = np.random.default_rng(2).uniform(-5, 5, size=(400, latent_dim)).astype("float32")
    u[0], u[1], u[2] = 5, -5, 0
    z = mixture.from_noise(u)
    assert np.isfinite(to_numpy(z)).all()
    np.testing.assert_allclose(to_numpy(mixture.to_noise(z)), u, atol=1e-4)


def test_from_noise_inverts_to_noise_where_the_density_is_not_tiny():
    mixture, *_ = make(spread=1.0)
    z = to_numpy(mixture.from_noise(np.random.default_rng(3).normal(size=(400, 3))))
    np.testing.assert_allclose(to_numpy(mixture.from_noise(mixture.to_noise(z))), z, atol=1e-3)


def test_a_single_component_is_an_affine_map():
    gaussian = Gaussian([[1.0, -2.0]], [[0.5, -1.0]])
    u = np.random.default_rng(4).uniform(-5, 5, size=(400, 2)).astype("float32")
    z = to_numpy(GaussianMixture([0.3], gaussian).from_noise(u))
    np.testing.assert_allclose(z, to_numpy(gaussian.from_noise(u)), rtol=1e-5, atol=1e-5)


def test_noise_far_outside_stays_finite():
    mixture, *_ = make()
    for value in (-60.0, 60.0):
        assert np.isfinite(to_numpy(mixture.from_noise(np.full((400, 3), value)))).all()
        u = to_numpy(mixture.to_noise(np.full((400, 3), 10 * value)))
        np.testing.assert_allclose(np.abs(u[:, 0]), 12.5)


def test_draws_have_the_marginals_and_the_covariance():
    mixture, weights, means, scales = make(spread=1.5)
    z = to_numpy(mixture.from_noise(np.random.default_rng(5).normal(size=(4000, 3)))).astype("float64")
    for i in range(3):

        def cdf(x, i=i):
            return stats.norm(means[:, i], scales[:, i]).cdf(np.asarray(x)[..., None]) @ weights

        assert stats.kstest(z[:, i], cdf).pvalue > 1e-3
    centred = means - weights @ means
    covariance = centred.T @ (weights[:, None] * centred) + np.diag(weights @ scales**2)
    np.testing.assert_allclose(np.cov(z.T), covariance, atol=0.15)
    np.testing.assert_allclose(z.mean(0), weights @ means, atol=0.1)


def test_change_of_variables_gives_the_density():
    mixture, *_ = make(latent_dim=2, spread=1.0)
    z = to_numpy(mixture.from_noise(np.random.default_rng(6).normal(size=(400, 2))))
    step = np.float32(1 / 64)
    jacobian = np.stack(
        [
            (to_numpy(mixture.to_noise(z + e)) - to_numpy(mixture.to_noise(z - e))) / (2 * step)
            for e in step * np.eye(2, dtype="float32")
        ],
        axis=-1,
    )
    # The first coordinate's noise must not depend on the second one.
    np.testing.assert_allclose(jacobian[:, 0, 1], 0, atol=1e-6)
    u = to_numpy(mixture.to_noise(z))
    expected = stats.norm.logpdf(u).sum(-1) + np.linalg.slogdet(jacobian)[1]
    np.testing.assert_allclose(to_numpy(mixture.log_prob(z)), expected, atol=2e-2)


def test_leading_axes_broadcast():
    mixture, *_ = make()
    u = np.random.default_rng(7).normal(size=(2, 200, 3)).astype("float32")
    z = to_numpy(mixture.from_noise(u))
    assert z.shape == (2, 200, 3)
    assert tuple(mixture.log_prob(z).shape) == (2, 200)
    np.testing.assert_allclose(z[1], to_numpy(mixture.from_noise(u[1])), atol=1e-5)


def test_one_mixture_a_row():
    rng = np.random.default_rng(8)
    logits, means = rng.normal(size=(4, 5)), rng.normal(size=(4, 5, 2))
    rows = GaussianMixture(logits, Gaussian(means, np.zeros((5, 2))))
    u = rng.normal(size=(4, 2))
    z = to_numpy(rows.from_noise(u))
    np.testing.assert_allclose(to_numpy(rows.to_noise(z)), u, atol=1e-4)
    for i in range(4):
        alone = GaussianMixture(logits[i], Gaussian(means[i], np.zeros((5, 2))))
        np.testing.assert_allclose(to_numpy(alone.from_noise(u[i])), z[i], atol=1e-5)
        np.testing.assert_allclose(to_numpy(alone.log_prob(z[i])), to_numpy(rows.log_prob(z))[i], rtol=1e-5)


def test_log_prob_has_finite_gradients_far_out(gradient):
    mixture, *_ = make()
    slope = gradient(mixture.log_prob, np.array([[0.0, 0.0, 0.0], [1e4, -1e4, 0.0]]))
    assert np.isfinite(slope).all()


@pytest.mark.usefixtures("mixed_policy")
def test_everything_is_float32_under_a_mixed_policy():
    mixture, *_ = make()
    u = keras.ops.ones((400, 3), "bfloat16")
    results = (mixture.from_noise(u), mixture.to_noise(u), mixture.log_prob(u))
    assert {keras.backend.standardize_dtype(tensor.dtype) for tensor in results} == {"float32"}
