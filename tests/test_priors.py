"""Priors: densities that integrate to one, maps of noise that can be undone, configs that come back."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from digitvae.distributions import Gaussian
from digitvae.priors import AutoregressivePrior, FlowPrior, MixturePrior, StandardNormalPrior, VampPrior

pytestmark = pytest.mark.backend

to_numpy = ops.convert_to_numpy

LABELLED = pytest.mark.parametrize("kind", ["flow", "autoregressive"])


def encode(images):
    """A posterior that tells images apart: mean brightness of the halves, scale 0.3."""
    means = ops.stack([ops.mean(images[:, :4], axis=(1, 2)), ops.mean(images[:, 4:], axis=(1, 2))], axis=-1)
    return Gaussian(4 * means, -1.2 * ops.ones_like(means))


def make(name, seed=0):
    """Returns a two-dimensional prior."""
    return {
        "normal": lambda: StandardNormalPrior(2),
        "mixture": lambda: MixturePrior(2, 3, seed=seed),
        "vamp": lambda: VampPrior(2, (9, 13), 3, seed=seed),
        "flow": lambda: FlowPrior(2, 4, 8, seed=seed),
        "flow of a mixture": lambda: FlowPrior(2, 4, 8, seed=seed, components=3),
        "autoregressive": lambda: AutoregressivePrior(2, 8, 3, seed=seed),
    }[name]()


def disturbed(name):
    """Returns a two-dimensional prior with weights moved away from where they start."""
    prior = make(name)
    rng = np.random.default_rng(3)
    # A flow stretches the tails of what is below it: less, so that the grids of the tests hold them.
    scale = 0.15 if name == "flow of a mixture" else 0.3
    for weight in prior.weights:
        weight.assign(to_numpy(weight) + rng.normal(scale=scale, size=weight.shape))
    return prior


@pytest.fixture(params=["normal", "mixture", "vamp", "flow", "flow of a mixture", "autoregressive"])
def name(request):
    """Each prior's name."""
    return request.param


def test_the_density_integrates_to_one(name):
    step = 0.05
    axis = np.arange(-25, 25, step, "float32")
    grid = np.stack(np.meshgrid(axis, axis), axis=-1)
    density = np.exp(to_numpy(disturbed(name).distribution(encode).log_prob(grid)))
    assert density.sum() * step**2 == pytest.approx(1, abs=2e-3)


def test_noise_becomes_draws_of_that_density(name):
    distribution = disturbed(name).distribution(encode)
    noise = np.random.default_rng(0).standard_normal((4000, 2), "float32")
    latents = to_numpy(distribution.from_noise(noise))
    np.testing.assert_allclose(to_numpy(distribution.to_noise(latents)), noise, atol=2e-3)
    # E_p[exp(a.z)] both ways: over draws, and over a grid with the density.
    step = 0.1
    axis = np.arange(-12, 12, step, "float32")
    grid = np.stack(np.meshgrid(axis, axis), axis=-1)
    density = np.exp(to_numpy(distribution.log_prob(grid)))
    for function in (lambda z: np.sin(z[..., 0]), lambda z: np.cos(z[..., 0] - 2 * z[..., 1])):
        expected = (density * function(grid)).sum() * step**2
        assert function(latents).mean() == pytest.approx(expected, abs=5 / np.sqrt(4000))


def test_shapes(name):
    distribution = make(name).distribution(encode)
    assert distribution.log_prob(np.zeros((5, 3, 2), "float32")).shape == (5, 3)
    assert distribution.from_noise(np.zeros((5, 2), "float32")).shape == (5, 2)


def test_a_prior_is_float32_under_a_mixed_policy(name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        prior = make(name)
        log_prob = prior.distribution(encode).log_prob(np.zeros((1, 2), "float32"))
    finally:
        keras.config.set_dtype_policy(before)
    assert to_numpy(log_prob).dtype == np.float32
    assert all(weight.dtype == "float32" for weight in prior.weights)


def test_the_config_rebuilds_the_same_prior(name):
    prior = make(name, seed=5)
    twin = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(prior))
    assert type(twin) is type(prior)
    assert twin.get_config() == prior.get_config()
    for ours, theirs in zip(prior.weights, twin.weights, strict=True):
        np.testing.assert_array_equal(to_numpy(ours), to_numpy(theirs))


@pytest.mark.parametrize("name", ["mixture", "vamp", "flow", "autoregressive"])
def test_the_seed_chooses_the_initial_weights(name):
    first, again, other = (make(name, seed) for seed in (1, 1, 2))
    same = [
        np.array_equal(to_numpy(a), to_numpy(b)) for a, b in zip(first.weights, again.weights, strict=True)
    ]
    differ = [
        np.array_equal(to_numpy(a), to_numpy(b)) for a, b in zip(first.weights, other.weights, strict=True)
    ]
    assert all(same)
    assert not all(differ)


def test_components_of_a_new_mixture_differ():
    means = to_numpy(MixturePrior(4, 10).means)
    assert np.ptp(means, axis=0).min() > 0.5


def test_vamp_starts_from_images(blobs):
    images = blobs(20)
    prior, again = VampPrior(2, (9, 13), 5, seed=1), VampPrior(2, (9, 13), 5, seed=1)
    prior.start_from(images)
    again.start_from(images)
    np.testing.assert_array_equal(to_numpy(prior.pseudo_inputs), to_numpy(again.pseudo_inputs))
    pixels = to_numpy(ops.sigmoid(prior.pseudo_inputs))
    clipped = np.clip(images / 255, 0.02, 0.98)
    distances = np.abs(pixels[:, None] - clipped[None]).max(axis=(2, 3))
    assert distances.min(axis=1).max() < 1e-5
    assert len(set(distances.argmin(axis=1))) == 5, "an image is taken twice"


def test_vamp_starts_from_fewer_images_than_components(blobs):
    prior = VampPrior(2, (9, 13), 5)
    prior.start_from(blobs(2))
    assert np.isfinite(to_numpy(prior.pseudo_inputs)).all()


def test_vamp_is_the_mixture_of_its_posteriors(blobs):
    prior = VampPrior(2, (9, 13), 3)
    prior.start_from(blobs(20))
    prior.logits.assign([0.0, 1.0, -1.0])
    z = np.random.default_rng(0).normal(size=(7, 2)).astype("float32")
    posteriors = encode(ops.sigmoid(prior.pseudo_inputs))
    each = to_numpy(posteriors.log_prob(z[:, None]))
    weights = np.exp([0.0, 1.0, -1.0]) / np.exp([0.0, 1.0, -1.0]).sum()
    expected = np.log((np.exp(each) * weights).sum(axis=1))
    np.testing.assert_allclose(to_numpy(prior.distribution(encode).log_prob(z)), expected, rtol=1e-4)


@LABELLED
def test_the_density_with_labels_is_the_mixture_of_those_under_each_label(kind):
    prior = labelled(kind)
    distribution, shares = prior.distribution(encode), np.array([0.2, 0.5, 0.3])
    step = 0.1
    axis = np.arange(-15, 15, step, "float32")
    grid = np.stack(np.meshgrid(axis, axis), axis=-1)
    joint = np.exp(to_numpy(distribution.log_joint(grid)))
    np.testing.assert_allclose(joint.sum((0, 1)) * step**2, shares, atol=2e-3)
    np.testing.assert_allclose(np.exp(to_numpy(distribution.log_prob(grid))), joint.sum(-1), atol=1e-5)
    for label, share in enumerate(shares):
        density = np.exp(to_numpy(distribution.given(np.eye(3, dtype="float32")[label]).log_prob(grid)))
        np.testing.assert_allclose(share * density, joint[..., label], rtol=1e-4, atol=1e-7)
    # The labels have different densities, or nothing here could fail.
    assert np.abs(joint[..., 0] / 0.2 - joint[..., 1] / 0.5).max() > 0.01


@LABELLED
def test_known_labels_give_the_joint_density_and_missing_ones_the_marginal(kind):
    distribution = labelled(kind).distribution(encode)
    z = np.random.default_rng(0).normal(size=(4, 5, 2)).astype("float32")
    joint, marginal = to_numpy(distribution.log_joint(z)), to_numpy(distribution.log_prob(z))
    for labels in ([2, 0, 1, 1], [2, -1, 1, -1]):
        found = to_numpy(distribution.log_prob_labelled(z, np.array(labels)))
        for row, label in enumerate(labels):
            expected = marginal[row] if label < 0 else joint[row, :, label]
            np.testing.assert_allclose(found[row], expected, rtol=1e-5)
    wrong = to_numpy(distribution.log_prob_labelled(z, np.array([0, 3, -2, 1])))
    assert np.isnan(wrong).all(axis=1).tolist() == [False, True, True, False]


@LABELLED
def test_noise_under_a_label_becomes_draws_of_its_density(kind):
    distribution = labelled(kind).distribution(encode)
    noise = np.random.default_rng(0).standard_normal((4000, 2), "float32")
    step = 0.1
    axis = np.arange(-15, 15, step, "float32")
    grid = np.stack(np.meshgrid(axis, axis), axis=-1)
    # Between labels there is a density too.
    for weights in ([0, 1, 0], [0.3, 0.7, 0]):
        given = distribution.given(np.array(weights, "float32"))
        latents = to_numpy(given.from_noise(noise))
        np.testing.assert_allclose(to_numpy(given.to_noise(latents)), noise, atol=2e-3)
        density = np.exp(to_numpy(given.log_prob(grid)))
        expected = (density * np.sin(grid[..., 0])).sum() * step**2
        assert np.sin(latents[..., 0]).mean() == pytest.approx(expected, abs=5 / np.sqrt(4000))


def labelled(kind):
    """Returns a two-dimensional prior with three labels of different shares, its weights disturbed."""
    prior = FlowPrior(2, 4, 8, labels=3) if kind == "flow" else AutoregressivePrior(2, 8, 3, labels=3)
    rng = np.random.default_rng(3)
    for weight in prior.weights:
        weight.assign(to_numpy(weight) + rng.normal(scale=0.15, size=weight.shape))
    prior.logits.assign(np.log([0.2, 0.5, 0.3]))
    return prior
