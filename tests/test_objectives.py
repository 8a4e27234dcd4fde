"""Objectives, measured against a model that can be solved: x|z ~ N(Wz + b, s^2), z ~ N(0, I)."""

from __future__ import annotations

import itertools
from types import MethodType, SimpleNamespace

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from digitvae.distributions import Gaussian, GaussianMixture
from digitvae.model import VAE
from digitvae.objectives import ELBO, IWAE, BoundTerms

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
    return Gaussian(MEAN + shift, np.log(np.sqrt(VARIANCE) * widening) * np.ones_like(MEAN))


def draw(q, k, prior=None, seed=0):
    """Returns the terms at k draws of q, by the model's own method around parts that can be solved."""
    model = solvable(lambda encode: prior or standard_normal(), None)
    noise = np.random.default_rng(seed).standard_normal((len(X), k, LATENTS), "float32")
    return VAE.bound_terms(model, X.astype("float32"), noise, q)


def solvable(distribution, encode):
    """Returns what `VAE.bound_terms` needs of a model: parts that can be solved, and its own two steps."""
    model = SimpleNamespace(
        prior=SimpleNamespace(distribution=distribution),
        posterior=encode,
        decode_params=lambda z: z,
        likelihood=LinearGaussian,
    )
    model._draw, model._terms = MethodType(VAE._draw, model), MethodType(VAE._terms, model)
    return model


def made_terms(reconstruction, log_ratio):
    """Returns terms of given draws under a prior without a closed form."""
    log_ratio = ops.convert_to_tensor(np.asarray(log_ratio, "float32"))
    reconstruction = ops.convert_to_tensor(np.asarray(reconstruction, "float32"))
    return BoundTerms(reconstruction, log_ratio, ops.mean(log_ratio, axis=1), None)


def analytic_elbo(shift, widening):
    """Returns E_q[log p(x|z)] and KL(q || p) of every image, in closed form."""
    mean, variance = MEAN + shift, VARIANCE * widening**2
    at_mean = stats.norm.logpdf(X, mean @ W.T + B, SCALE).sum(axis=1)
    expected = at_mean - (variance * (W**2).sum(axis=0)).sum() / (2 * SCALE**2)
    return expected, 0.5 * (variance + mean**2 - 1 - np.log(variance)).sum(axis=1)


@pytest.mark.parametrize("k", [1, 7, 100])
def test_with_the_exact_posterior_every_bound_is_the_likelihood(k):
    bound = to_numpy(IWAE()(draw(posterior(), k)))
    np.testing.assert_allclose(bound, LOG_P, atol=1e-3)


def test_the_bound_rises_to_the_likelihood():
    q = posterior(shift=0.4, widening=1.3)
    values = draw(q, 40_000)
    log_weights = -to_numpy(values.reconstruction) - to_numpy(values.log_ratio)
    gaps = []
    for k in (1, 5, 50, 40_000):
        groups = made_terms(-log_weights.reshape(-1, k), np.zeros((log_weights.size // k, k)))
        bounds = to_numpy(IWAE()(groups)).reshape(len(X), -1)
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
    terms = draw(q, 40_000)
    np.testing.assert_allclose(to_numpy(ELBO()(terms, 0)), expected - kl, atol=0.03)
    np.testing.assert_allclose(to_numpy(terms.kl), kl, rtol=1e-5)
    np.testing.assert_allclose(to_numpy(terms.kl_per_latent).sum(axis=1), kl, rtol=1e-5)


def test_without_a_closed_form_the_kl_is_the_mean_over_draws():
    terms = draw(posterior(shift=0.4, widening=1.3), 40_000, opaque_normal())
    kl = to_numpy(terms.kl)
    np.testing.assert_allclose(kl, analytic_elbo(0.4, 1.3)[1], atol=0.03)
    np.testing.assert_allclose(kl, to_numpy(terms.log_ratio).mean(axis=1), rtol=1e-4)
    assert terms.kl_per_latent is None


def test_given_draws_are_taken_in_place_of_the_noise():
    q, terms = posterior(), draw(posterior(), 1)
    at_mean = solvable(lambda encode: standard_normal(), lambda x: q)
    z = ops.convert_to_tensor(MEAN[:, None].astype("float32"))
    found = VAE.bound_terms(at_mean, X.astype("float32"), z=z)
    expected = -stats.norm.logpdf(X, MEAN @ W.T + B, SCALE).sum(axis=1)
    np.testing.assert_allclose(to_numpy(found.reconstruction)[:, 0], expected, rtol=1e-5)
    assert (to_numpy(found.reconstruction) != to_numpy(terms.reconstruction)).all()


def test_beta_weighs_the_kl_alone():
    terms = draw(posterior(widening=1.3), 3)
    kl = to_numpy(terms.kl)
    ones = to_numpy(ELBO(3)(terms, 0))
    fours = to_numpy(ELBO(3, beta=4)(terms, 0))
    np.testing.assert_allclose(ones - fours, 3 * kl, rtol=1e-4)
    np.testing.assert_allclose(ones + kl, -to_numpy(terms.reconstruction).mean(axis=1), rtol=1e-4)


def free_bits_value(mean, floor):
    """Returns the objective for a two-image posterior with the given means and scale 1."""
    kl_per_latent = Gaussian(np.asarray(mean, "float32"), np.zeros((2, 2))).kl_per_latent(standard_normal())
    nothing = ops.zeros((2, 1))
    terms = BoundTerms(nothing, nothing, ops.sum(kl_per_latent, axis=1), kl_per_latent)
    return to_numpy(ELBO(free_bits=floor)(terms, 0) * ops.ones((2,)))


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


def test_free_bits_want_a_kl_for_each_latent():
    with pytest.raises(ValueError, match="Expected a Gaussian prior with free_bits"):
        ELBO(free_bits=1.0)(draw(posterior(), 1, opaque_normal()), 0)


def test_warm_up_grows_beta_with_the_steps():
    terms = draw(posterior(widening=1.3), 1)
    objective = ELBO(beta=2.0, warmup_steps=4)

    def beta(step):
        value = to_numpy(objective(terms, step))
        return float(((-to_numpy(terms.reconstruction)[:, 0] - value) / to_numpy(terms.kl)).mean())

    np.testing.assert_allclose([beta(step) for step in range(6)], [0, 0.5, 1, 1.5, 2, 2], atol=1e-5)


def test_the_model_counts_training_steps_alone(make_vae, blobs):
    vae = make_vae(warmup_epochs=1.0)
    assert len(make_vae().weights) == len(vae.weights) - 1
    vae.fit(blobs(24), batch_size=8, epochs=2, verbose=0, validation_data=(blobs(9),))
    assert float(vae.step.numpy()) == 6


def test_iwae_with_one_draw_is_the_elbo():
    terms = draw(posterior(shift=0.4), 1, opaque_normal())
    np.testing.assert_allclose(to_numpy(IWAE(1)(terms, 0)), to_numpy(ELBO(1)(terms, 0)), rtol=1e-5)


def test_iwae_does_not_overflow():
    far = made_terms([[5000.0, 5000.0]], np.zeros((1, 2)))
    np.testing.assert_allclose(to_numpy(IWAE()(far)), [-5000], rtol=1e-6)


def step_of(vae, images):
    """Returns how a step of plain gradient descent moves each part's weights, as one vector."""
    parts = vae.encoder, vae.decoder, vae.prior

    def weights():
        return [np.concatenate([to_numpy(w).ravel() for w in part.trainable_variables]) for part in parts]

    before = weights()
    vae.compile(optimizer=keras.optimizers.SGD(1e-3))
    value = vae.train_on_batch(images)
    return value, [(after - start) / 1e-3 for after, start in zip(weights(), before, strict=True)]


@pytest.mark.parametrize("count", [1, 3])
def test_resampled_draws_have_the_gradient_of_all_on_average(make_vae, blobs, count):
    images = np.repeat(blobs(1) > 100, 4000, axis=0)
    results = {}
    for resampled in (0, count):
        vae = make_vae(objective="iwae", prior="flow", architecture="dense", resampled=resampled)
        results[resampled] = step_of(vae, images)
    (value, theirs), (again, ours) = results[0], results[count]
    assert again == pytest.approx(value, rel=1e-5)
    for a, b in zip(ours, theirs, strict=True):
        assert np.linalg.norm(b) > 0.1
        assert np.linalg.norm(a - b) < 0.15 * np.linalg.norm(b)


@pytest.mark.parametrize("objective", [ELBO(3, 0.5, 0.1, 7), IWAE(4, 2)], ids=["elbo", "iwae"])
def test_the_config_rebuilds_the_same_objective(objective):
    twin = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(objective))
    assert type(twin) is type(objective)
    assert twin.get_config() == objective.get_config()
