"""Objectives, measured against a model that can be solved: x|z ~ N(Wz + b, s^2), z ~ N(0, I)."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from digitvae.distributions import Gaussian, GaussianMixture
from digitvae.objectives import ELBO, IWAE, Terms, importance_weighted_bound, kl_divergence, terms

pytestmark = pytest.mark.backend

to_numpy = ops.convert_to_numpy
PIXELS, LATENTS, SCALE = 6, 2, 0.7
# Orthogonal columns, so that the exact posterior is diagonal.
W = np.linalg.qr(np.random.default_rng(1).normal(size=(PIXELS, LATENTS)))[0] * [1.5, 0.6]
B = np.linspace(-1, 1, PIXELS)
X = np.random.default_rng(2).normal(size=(5, PIXELS)) + B
LOG_P = stats.multivariate_normal(B, W @ W.T + SCALE**2 * np.eye(PIXELS)).logpdf(X)
VARIANCE = 1 / (1 + (W**2).sum(axis=0) / SCALE**2)
MEAN = VARIANCE * ((X - B) @ W) / SCALE**2


class LinearGaussian:
    """p(x|z) with the decoder's output for z (n, k, latents)."""

    def __init__(self, z):
        self.pixels = Gaussian(
            ops.add(ops.matmul(z, W.T.astype("float32")), B.astype("float32")), np.log(SCALE)
        )

    def log_prob(self, x):
        """Returns nats (n, k) for x (n, 1, pixels)."""
        return self.pixels.log_prob(x)


def standard_normal():
    """Returns the prior as a Gaussian, whose KL has a closed form."""
    return Gaussian(np.zeros(LATENTS), np.zeros(LATENTS))


def opaque_normal():
    """Returns the same prior as something without a closed form."""
    return GaussianMixture(np.zeros(1), Gaussian(np.zeros((1, LATENTS)), np.zeros((1, LATENTS))))


def posterior(shift=0.0, widening=1.0):
    """Returns the exact posterior, or one that is off."""
    log_scale = np.log(np.sqrt(VARIANCE) * widening) * np.ones_like(MEAN)
    return Gaussian((MEAN + shift)[:, None], log_scale[:, None])


def draw(q, k, prior=None, seed=0):
    """Returns the terms at k draws of q."""
    z = q.from_noise(np.random.default_rng(seed).standard_normal((len(X), k, LATENTS), "float32"))
    return terms(X[:, None].astype("float32"), z, q, prior or standard_normal(), LinearGaussian(z))


def analytic_elbo(shift, widening):
    """Returns E_q[log p(x|z)] and KL(q || p) of every image, in closed form."""
    mean, variance = MEAN + shift, VARIANCE * widening**2
    at_mean = stats.norm.logpdf(X, mean @ W.T + B, SCALE).sum(axis=1)
    expected = at_mean - (variance * (W**2).sum(axis=0)).sum() / (2 * SCALE**2)
    return expected, 0.5 * (variance + mean**2 - 1 - np.log(variance)).sum(axis=1)


@pytest.mark.parametrize("k", [1, 7, 100])
def test_with_the_exact_posterior_every_bound_is_the_likelihood(k):
    bound = to_numpy(importance_weighted_bound(draw(posterior(), k)))
    np.testing.assert_allclose(bound, LOG_P, atol=1e-3)


def test_the_bound_rises_to_the_likelihood():
    q = posterior(shift=0.4, widening=1.3)
    values = draw(q, 40_000)
    log_weights = -to_numpy(values.reconstruction) - to_numpy(values.log_ratio)
    gaps = []
    for k in (1, 5, 50, 40_000):
        groups = Terms(
            ops.convert_to_tensor(-log_weights.reshape(-1, k)), ops.zeros((log_weights.size // k, k))
        )
        bounds = to_numpy(importance_weighted_bound(groups)).reshape(len(X), -1)
        gaps.append(LOG_P - bounds.mean(axis=1))
    for lower, higher in itertools.pairwise(gaps):
        assert (lower > higher).all()
    assert gaps[-2].min() > 0
    np.testing.assert_allclose(gaps[-1], 0, atol=0.02)
    reconstruction, kl = analytic_elbo(0.4, 1.3)
    np.testing.assert_allclose(gaps[0], LOG_P - (reconstruction - kl), atol=0.05)


def test_the_elbo_is_the_analytic_one():
    q = posterior(shift=0.4, widening=1.3)
    expected, kl = analytic_elbo(0.4, 1.3)
    value = to_numpy(ELBO().value(draw(q, 40_000), q, standard_normal(), training=True))
    np.testing.assert_allclose(value, expected - kl, atol=0.03)
    np.testing.assert_allclose(to_numpy(kl_divergence(None, q, standard_normal())), kl, rtol=1e-5)


def test_without_a_closed_form_the_kl_is_the_mean_over_draws():
    q, prior = posterior(shift=0.4, widening=1.3), opaque_normal()
    values = draw(q, 40_000, prior)
    kl = to_numpy(kl_divergence(values.log_ratio, q, prior))
    np.testing.assert_allclose(kl, analytic_elbo(0.4, 1.3)[1], atol=0.03)
    np.testing.assert_allclose(kl, to_numpy(values.log_ratio).mean(axis=1), rtol=1e-4)


def test_beta_weighs_the_kl_alone():
    q = posterior(widening=1.3)
    values, prior = draw(q, 3), standard_normal()
    kl = to_numpy(kl_divergence(None, q, prior))
    ones = to_numpy(ELBO(3).value(values, q, prior, training=True))
    fours = to_numpy(ELBO(3, beta=4).value(values, q, prior, training=True))
    np.testing.assert_allclose(ones - fours, 3 * kl, rtol=1e-4)
    np.testing.assert_allclose(ones + kl, -to_numpy(values.reconstruction).mean(axis=1), rtol=1e-4)


def free_bits_value(mean, floor):
    """Returns the objective for a two-image posterior with the given means and scale 1."""
    q = Gaussian(np.asarray(mean, "float32")[:, None], np.zeros((2, 1, 2)))
    nothing = Terms(ops.zeros((2, 1)), ops.zeros((2, 1)))
    return to_numpy(ELBO(free_bits=floor).value(nothing, q, standard_normal(), training=True))


def test_free_bits_are_a_floor_for_each_latent_averaged_over_the_batch():
    # KL of a latent is mean^2 / 2: 4.5 and 0.5 nats, batch mean 2.5, for the first; 0.08 for the second.
    mean = [[3.0, 0.4], [1.0, 0.4]]
    np.testing.assert_allclose(free_bits_value(mean, 0.25), [-2.75, -2.75], rtol=1e-6)
    np.testing.assert_allclose(free_bits_value(mean, 3.0), [-6.0, -6.0], rtol=1e-6)
    # One image below the floor is no matter while the batch is above it.
    np.testing.assert_allclose(free_bits_value(mean, 1.0), [-3.5, -3.5], rtol=1e-6)


def test_below_the_floor_nothing_pulls():
    base = free_bits_value([[3.0, 0.4], [1.0, 0.4]], 0.25)
    np.testing.assert_array_equal(free_bits_value([[3.0, 0.3], [1.0, 0.5]], 0.25), base)
    assert (free_bits_value([[3.1, 0.4], [1.0, 0.4]], 0.25) < base).all()


def test_warm_up_grows_beta_with_training_steps_alone():
    q, prior = posterior(widening=1.3), standard_normal()
    values = draw(q, 1)
    kl = to_numpy(kl_divergence(None, q, prior))
    objective = ELBO(beta=2.0, warmup_steps=4)

    def beta(training):
        value = to_numpy(objective.value(values, q, prior, training))
        return float(((-to_numpy(values.reconstruction)[:, 0] - value) / kl).mean())

    seen = []
    for _ in range(6):
        seen.append(beta(training=True))
        before = float(objective.step)
        beta(training=False)
        assert float(objective.step) == before
    np.testing.assert_allclose(seen, [0, 0.5, 1, 1.5, 2, 2], atol=1e-5)
    assert beta(training=False) == pytest.approx(2, abs=1e-5)


def test_iwae_with_one_draw_is_the_elbo():
    q, prior = posterior(shift=0.4), opaque_normal()
    values = draw(q, 1, prior)
    np.testing.assert_allclose(
        to_numpy(IWAE(1).value(values, q, prior, training=True)),
        to_numpy(ELBO(1).value(values, q, prior, training=True)),
        rtol=1e-5,
    )


def test_iwae_does_not_overflow():
    far = Terms(ops.convert_to_tensor(np.array([[5000.0, 5000.0]], "float32")), ops.zeros((1, 2)))
    np.testing.assert_allclose(to_numpy(importance_weighted_bound(far)), [-5000], rtol=1e-6)


@pytest.mark.parametrize("objective", [ELBO(3, 0.5, 0.1, 7), IWAE(4)], ids=["elbo", "iwae"])
def test_the_config_rebuilds_the_same_objective(objective):
    twin = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(objective))
    assert type(twin) is type(objective)
    assert twin.get_config() == objective.get_config()
