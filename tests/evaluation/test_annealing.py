"""Annealed importance sampling: right where the answer is known, and an image's numbers are its own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

from digitvae.data import fixed_bits
from digitvae.evaluation import annealing
from digitvae.evaluation.annealing import State, annealed_likelihood, hamiltonian_transition
from digitvae.evaluation.likelihood import image_bounds

pytestmark = pytest.mark.backend


def narrow(position):
    """r(e) that makes the end of the path N(m, s^2), whatever the coordinate."""
    shift = (position - MEAN) / STD
    log_ratio = (-0.5 * np.square(shift) - np.log(STD) + 0.5 * np.square(position)).sum(axis=1)
    return State(position, log_ratio, position - shift / STD)


MEAN, STD = np.array([1.0, -2.0, 0.0]), np.array([0.5, 1.0, 0.8])


@pytest.mark.parametrize("beta", [0.3, 1.0])
def test_a_transition_leaves_its_density_as_it_is(beta):
    # N(e; 0, 1) exp(beta r(e)): precisions and precision-weighted means are interpolated.
    precision = 1 - beta + beta / STD**2
    mean = beta * MEAN / STD**2 / precision
    rng = np.random.default_rng(0)
    n = 100_000
    state = narrow(mean + rng.standard_normal((n, 3)) / np.sqrt(precision))
    # Large steps, so that what acceptance does is seen.
    step_size = np.full(n, 1.5) / np.sqrt(precision.max())
    accepted = []
    for _ in range(3):
        state, acceptance = hamiltonian_transition(
            narrow, state, beta, step_size, rng.standard_normal((n, 3)), rng.random(n), 3
        )
        accepted.append(acceptance.mean())
    assert 0.4 < min(accepted) < max(accepted) < 0.9
    standardised = (state.position - mean) * np.sqrt(precision)
    np.testing.assert_allclose(standardised.mean(axis=0), 0, atol=5 / math.sqrt(n))
    np.testing.assert_allclose(np.cov(standardised.T), np.eye(3), atol=10 / math.sqrt(n))
    np.testing.assert_array_equal(state.log_ratio, narrow(state.position).log_ratio)
    np.testing.assert_array_equal(state.gradient, narrow(state.position).gradient)


def test_trajectories_run_back_and_small_steps_are_accepted():
    rng = np.random.default_rng(0)
    start, momentum = narrow(rng.standard_normal((20, 3))), rng.standard_normal((20, 3))
    visited = []

    def evaluate(position):
        visited.append(narrow(position))
        return visited[-1]

    def move(step):
        visited.clear()
        arguments = (np.full(20, step), momentum, np.zeros(20), 6)
        return hamiltonian_transition(evaluate, start, 1.0, *arguments)

    end, acceptance = move(0.01)
    assert acceptance.min() > 0.999
    np.testing.assert_allclose(end.position, start.position + 0.06 * momentum, atol=0.03)
    # The same chain from its end, momentum reversed, comes back: without that the weights would be wrong.
    end, _ = move(0.3)
    before_last, last = visited[-2].position, visited[-1]
    velocity = (last.position - before_last) / 0.3 + 0.15 * (last.gradient - last.position)
    back, _ = hamiltonian_transition(narrow, last, 1.0, np.full(20, 0.3), -velocity, np.zeros(20), 6)
    np.testing.assert_allclose(back.position, start.position, atol=1e-9)


def test_trajectories_to_infinity_are_rejected():
    start = narrow(np.zeros((4, 3)))
    arguments = (np.full(4, 1e200), np.ones((4, 3)), np.zeros(4), 3)
    end, acceptance = hamiltonian_transition(narrow, start, 1.0, *arguments)
    np.testing.assert_array_equal(acceptance, 0)
    np.testing.assert_array_equal(end.position, start.position)


def test_with_one_temperature_it_is_importance_sampling(linear_gaussian):
    solved = linear_gaussian(0.5, shift=0.5, widening=1.2)
    estimates = annealed_likelihood(solved.vae, solved.images, chains=9, temperatures=1, seed=4)
    assert estimates.dtype == np.float64
    mean, log_scale = solved.vae.encode_posterior(solved.images)
    for i in range(len(solved.images)):
        stream = np.random.Generator(np.random.Philox(counter=[0, 0, 0, 1], key=[4, i]))
        noise = stream.standard_normal((9, 3))
        z = mean[i] + np.exp(log_scale[i]) * noise
        # log p(x, z) = log p(x) + log p(z|x)
        off = z - solved.mean[i]
        log_joint = solved.log_p[i] - 0.5 * (
            np.einsum("ki,ij,kj->k", off, np.linalg.inv(solved.covariance), off)
            + np.linalg.slogdet(2 * np.pi * solved.covariance)[1]
        )
        log_q = (-0.5 * noise**2 - log_scale[i] - 0.5 * math.log(2 * math.pi)).sum(axis=1)
        assert estimates[i] == pytest.approx(special.logsumexp(log_joint - log_q) - math.log(9), abs=1e-3)


@pytest.mark.parametrize(("shift", "widening"), [(0.0, 1.0), (1.5, 0.7), (-1.5, 2.5)])
def test_it_converges_to_the_closed_form(linear_gaussian, shift, widening):
    solved = linear_gaussian(0.7, shift, widening)
    gaps = solved.log_p - annealed_likelihood(solved.vae, solved.images, chains=64, temperatures=80)
    np.testing.assert_allclose(gaps, 0, atol=0.3)
    assert gaps.mean() == pytest.approx(0, abs=0.1)


def test_it_is_right_where_importance_sampling_is_not(linear_gaussian):
    solved = linear_gaussian(0.7, shift=3, widening=0.5)
    decodes = 32 * 3 * (80 + annealing.PILOT_TEMPERATURES)
    bound = image_bounds(solved.vae, solved.images, decodes).bound
    estimates = annealed_likelihood(solved.vae, solved.images, chains=32, temperatures=80)
    assert np.mean(solved.log_p - bound) > 3
    assert np.mean(solved.log_p - estimates) < 0.5
    assert (estimates > bound).all()


def test_more_temperatures_are_tighter(linear_gaussian):
    solved = linear_gaussian(0.7, shift=2, widening=0.7)
    gaps = [
        np.mean(solved.log_p - annealed_likelihood(solved.vae, solved.images, 4, temperatures))
        for temperatures in (1, 5, 40)
    ]
    assert gaps[0] > 2 * gaps[1] > 4 * gaps[2]


@pytest.mark.parametrize("widening", [0.2, 1.0, 20.0])
def test_the_pilot_finds_step_sizes_that_suit(linear_gaussian, monkeypatch, widening):
    seen = []

    def watched(*arguments):
        state, acceptance = hamiltonian_transition(*arguments)
        seen.append(acceptance.mean())
        return state, acceptance

    monkeypatch.setattr(annealing, "hamiltonian_transition", watched)
    solved = linear_gaussian(0.7, shift=1, widening=widening)
    annealed_likelihood(solved.vae, solved.images, chains=16, temperatures=40)
    measured = seen[annealing.PILOT_TEMPERATURES :]
    assert len(measured) == 39
    assert np.mean(measured[10:]) == pytest.approx(annealing.TARGET_ACCEPTANCE, abs=0.15)


@pytest.mark.parametrize("at_once", [1, 13, 1000])
def test_batches_do_not_change_the_numbers(linear_gaussian, monkeypatch, at_once):
    solved = linear_gaussian(0.7, shift=1)
    expected = annealed_likelihood(solved.vae, solved.images, 6, 8)
    monkeypatch.setattr(annealing, "CHAINS_AT_ONCE", at_once)
    np.testing.assert_allclose(annealed_likelihood(solved.vae, solved.images, 6, 8), expected, atol=0.01)


def test_an_image_keeps_its_noise_in_any_company(vae, bits):
    whole = annealed_likelihood(vae, bits, 3, 4)
    chosen = np.array([4, 2])
    alone = annealed_likelihood(vae, bits[chosen], 3, 4, indices=chosen)
    np.testing.assert_allclose(alone, whole[chosen], atol=1e-3)
    assert np.abs(annealed_likelihood(vae, bits[chosen], 3, 4) - alone).min() > 1e-4


def test_seeds_repeat_and_differ(vae, bits):
    first, again, other = (annealed_likelihood(vae, bits, 3, 4, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


@pytest.mark.parametrize(
    ("prior", "likelihood"),
    [
        ("normal", "discretised_logistic"),
        ("mixture", "continuous_bernoulli"),
        ("vamp", "bernoulli"),
        ("flow", "bernoulli"),
    ],
)
def test_every_prior_and_likelihood_agrees_with_importance_sampling(random_vae, blobs, prior, likelihood):
    images = blobs(3, seed=5)
    vae = random_vae(prior=prior, likelihood=likelihood, images=images)
    images = fixed_bits(images) if likelihood == "bernoulli" else images
    estimates = annealed_likelihood(vae, images, chains=48, temperatures=30, leapfrog_steps=2)
    terms = image_bounds(vae, images, 2000)
    assert (terms.bound > 0.5 - terms.reconstruction - terms.kl).all()
    np.testing.assert_allclose(estimates, terms.bound, atol=0.5)


@pytest.mark.parametrize("name", ["chains", "temperatures", "leapfrog_steps"])
def test_counts_below_one_are_refused(vae, bits, name):
    with pytest.raises(ValueError, match=f"Expected {name} to be at least 1. Received: {name}=0"):
        annealed_likelihood(vae, bits, **{name: 0})


def test_grey_images_are_refused_by_a_model_of_bits(vae, blobs):
    with pytest.raises(ValueError, match=r"Expected bits, 0 or 255, for .* Received: grey images"):
        annealed_likelihood(vae, blobs(2))
