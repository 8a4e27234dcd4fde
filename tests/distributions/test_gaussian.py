"""The diagonal Gaussian against SciPy, closed forms and Monte Carlo."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from scipy import stats

from digitvae.distributions import Gaussian

pytestmark = pytest.mark.backend

to_numpy = keras.ops.convert_to_numpy


def make(seed: int, shape: tuple[int, ...] = (5, 3)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape).astype("float32"), rng.normal(size=shape).astype("float32")


def test_log_prob_is_that_of_scipy():
    mean, log_scale = make(0)
    z, _ = make(1)
    expected = stats.norm(mean, np.exp(log_scale)).logpdf(z).sum(-1)
    np.testing.assert_allclose(to_numpy(Gaussian(mean, log_scale).log_prob(z)), expected, rtol=1e-5)
    vector = stats.multivariate_normal(mean[0], np.diag(np.exp(2 * log_scale[0])))
    np.testing.assert_allclose(
        to_numpy(Gaussian(mean[0], log_scale[0]).log_prob(z)), vector.logpdf(z), rtol=1e-5
    )


def test_from_noise_and_to_noise_invert_each_other():
    mean, log_scale = make(2)
    u, _ = make(3)
    gaussian = Gaussian(mean, log_scale)
    z = to_numpy(gaussian.from_noise(u))
    np.testing.assert_allclose(z, mean + np.exp(log_scale) * u, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(to_numpy(gaussian.to_noise(z)), u, rtol=1e-4, atol=1e-5)


def test_kl_is_the_closed_form_and_what_monte_carlo_finds():
    mean, log_scale = make(4, (3,))
    other_mean, other_log_scale = make(5, (3,))
    p, q = Gaussian(mean, log_scale), Gaussian(other_mean, other_log_scale)
    kl = to_numpy(p.kl_per_latent(q))
    s, t = np.exp(log_scale.astype("float64")), np.exp(other_log_scale.astype("float64"))
    expected = np.log(t / s) + (s**2 + (mean.astype("float64") - other_mean) ** 2) / (2 * t**2) - 0.5
    np.testing.assert_allclose(kl, expected, rtol=1e-5)

    z = p.from_noise(np.random.default_rng(6).normal(size=(200_000, 3)))
    log_ratio = to_numpy(p.log_prob(z) - q.log_prob(z)).astype("float64")
    assert abs(log_ratio.mean() - kl.sum()) < 5 * log_ratio.std() / np.sqrt(len(log_ratio))


def test_kl_of_equals_is_zero_and_close_to_it_keeps_its_digits():
    mean, log_scale = make(7)
    gaussian = Gaussian(mean, log_scale)
    np.testing.assert_array_equal(to_numpy(gaussian.kl_per_latent(gaussian)), 0)
    # KL(N(0, e^2d) || N(0, 1)) = d^2 + 2/3 d^3 + ...
    np.testing.assert_allclose(
        to_numpy(Gaussian([0.0], [1e-2]).kl_per_latent(Gaussian(0.0, 0.0))), 1.0067e-4, rtol=1e-3
    )


def test_leading_axes_broadcast():
    mean, log_scale = make(8, (4, 3))
    z, _ = make(9, (6, 4, 3))
    gaussian = Gaussian(mean, log_scale)
    log_prob = to_numpy(gaussian.log_prob(z))
    assert log_prob.shape == (6, 4)
    assert tuple(gaussian.from_noise(z).shape) == (6, 4, 3)
    for k in range(6):
        np.testing.assert_allclose(log_prob[k], to_numpy(gaussian.log_prob(z[k])), rtol=1e-6)
    standard = Gaussian(np.zeros(3), np.zeros(3))
    assert tuple(gaussian.kl_per_latent(standard).shape) == (4, 3)
    # A scale common to all coordinates still counts once for each.
    np.testing.assert_allclose(
        to_numpy(Gaussian(mean, 0.3).log_prob(mean)), -3 * (0.3 + 0.5 * np.log(2 * np.pi)), rtol=1e-6
    )


@pytest.mark.usefixtures("mixed_policy")
def test_everything_is_float32_under_a_mixed_policy():
    mean, log_scale = (keras.ops.cast(a, "bfloat16") for a in make(10))
    gaussian = Gaussian(mean, log_scale)
    z = gaussian.from_noise(keras.ops.ones((5, 3), "bfloat16"))
    results = (z, gaussian.to_noise(z), gaussian.log_prob(z), gaussian.kl_per_latent(gaussian))
    assert {keras.backend.standardize_dtype(tensor.dtype) for tensor in results} == {"float32"}


def test_gradients_reach_mean_and_scale(gradient):
    mean, log_scale = make(11, (3,))
    u, _ = make(12, (3,))
    np.testing.assert_allclose(gradient(lambda m: Gaussian(m, log_scale).from_noise(u), mean), 1.0)
    np.testing.assert_allclose(
        gradient(lambda s: Gaussian(mean, s).from_noise(u), log_scale), np.exp(log_scale) * u, rtol=1e-5
    )
