"""Evaluation: the numbers of an image are its own, and they are the right ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special, stats

from digitvae.data import Dataset, fixed_bits
from digitvae.evaluation import evaluate, protocol
from digitvae.evaluation.likelihood import image_bounds
from digitvae.metrics import regression_estimate

pytestmark = pytest.mark.backend


@pytest.fixture(scope="module")
def vae(make_vae, blobs):
    """A dense model without blocks, so that NumPy can follow it, after some steps."""
    vae = make_vae(architecture="dense", blocks=0)
    vae.fit(blobs(64), batch_size=8, epochs=4, verbose=0)
    return vae


@pytest.fixture(scope="module")
def bits(blobs):
    """Twelve images of bits."""
    return fixed_bits(blobs(12, seed=3))


def swish(x):
    """x times the logistic function."""
    return x * special.expit(x)


def by_hand(vae, bits, draws, seed=0):
    """Returns what `image_bounds` should, in float64 NumPy, an image at a time."""
    w1, b1, w2, b2 = (w.numpy().astype("float64") for w in vae.encoder.weights)
    v1, c1, v2, c2 = (w.numpy().astype("float64") for w in vae.decoder.weights)
    results = []
    for i, image in enumerate(bits):
        x = image.reshape(-1) / 255
        mean, log_scale = np.split(swish(x @ w1 + b1) @ w2 + b2, 2)
        noise = np.random.Generator(np.random.Philox(key=[seed, i])).standard_normal(
            (draws, vae.latent_dim), "float32"
        )
        z = mean + np.exp(log_scale) * noise
        logits = swish(z @ v1 + c1) @ v2 + c2
        log_p_x = (x * logits - np.logaddexp(0, logits)).sum(axis=1)
        log_ratio = (stats.norm.logpdf(z, mean, np.exp(log_scale)) - stats.norm.logpdf(z)).sum(axis=1)
        bound = special.logsumexp(log_p_x - log_ratio) - math.log(draws)
        results.append((-log_p_x.mean(), log_ratio.mean(), bound))
    return np.array(results).T


@pytest.mark.parametrize("draws", [1, 5, 130])
def test_the_terms_are_those_of_a_direct_computation(vae, bits, draws):
    computed = image_bounds(vae, bits, draws, seed=4)
    for ours, theirs in zip(computed[:3], by_hand(vae, bits, draws, seed=4), strict=True):
        assert ours.dtype == np.float64
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


@pytest.mark.parametrize("at_once", [1, 35, 640])
def test_neither_batches_nor_chunks_change_the_numbers(vae, bits, monkeypatch, at_once):
    expected = image_bounds(vae, bits, 70)
    monkeypatch.setattr("digitvae.evaluation.likelihood.DECODES_AT_ONCE", at_once)
    for ours, theirs in zip(image_bounds(vae, bits, 70), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_an_image_keeps_its_noise_in_any_company(vae, bits):
    whole = image_bounds(vae, bits, 7)
    chosen = np.array([9, 2, 5])
    for ours, theirs in zip(image_bounds(vae, bits[chosen], 7, indices=chosen)[:3], whole[:3], strict=True):
        np.testing.assert_allclose(ours, theirs[chosen], atol=1e-3)
    other = image_bounds(vae, bits[chosen], 7)
    assert np.abs(other[0] - whole[0][chosen]).min() > 1e-4


def test_seeds_repeat_and_differ(vae, bits):
    first, again, other = (image_bounds(vae, bits, 3, seed=seed)[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


def test_the_bound_lies_above_the_elbo_of_the_same_draws_and_rises(vae, bits):
    reconstruction, kl, bound, _ = image_bounds(vae, bits, 20)
    assert (bound >= -(reconstruction + kl) - 1e-6).all()
    means = [image_bounds(vae, bits, k)[2].mean() for k in (1, 10, 500)]
    assert means == sorted(means)
    one = image_bounds(vae, bits, 1)
    np.testing.assert_allclose(one[2], -(one[0] + one[1]), atol=1e-6)


def test_the_result_has_the_documented_names_and_agrees_with_itself(vae, dataset):
    result = evaluate(vae, dataset, draws=6, nll_draws=50, nll_images=5)
    test = result["test"]
    assert set(test) >= {
        "images", "elbo", "reconstruction", "kl", "nll", "nll_k", "nll_images", "bits_per_dim", "mse",
        "pca_mse",
    }  # fmt: skip
    assert result["protocol"] == "dynamic"
    assert (test["images"], test["nll_k"], test["nll_images"]) == (12, 50, 5)
    assert test["elbo"] == pytest.approx(-(test["reconstruction"] + test["kl"]), rel=1e-9)
    assert test["bits_per_dim"] == pytest.approx(test["nll"] / (9 * 13 * math.log(2)))
    bits = fixed_bits(dataset.test_images)
    reconstruction, kl, _, _ = image_bounds(vae, bits, 6)
    assert test["reconstruction"] == pytest.approx(reconstruction.mean(), abs=1e-3)
    assert test["kl"] == pytest.approx(kl.mean(), abs=1e-3)
    spaced = np.array([0, 2, 4, 7, 9])
    some = -image_bounds(vae, bits[spaced], 50, indices=spaced)[2]
    nll, interval = regression_estimate(some, (reconstruction + kl)[spaced], reconstruction + kl)
    assert test["nll"] == pytest.approx(nll, abs=1e-3)
    assert test["nll_estimate_interval"] == pytest.approx(interval, abs=1e-3)
    assert interval[0] < nll < interval[1]
    difference = (dataset.test_images.astype(float) - vae.reconstruct(dataset.test_images)) / 255
    assert test["mse"] == pytest.approx(np.mean(difference**2))


def test_more_images_than_there_are_means_all(vae, dataset):
    test = evaluate(vae, dataset, draws=1, nll_draws=2, nll_images=1000)["test"]
    assert test["nll_images"] == 12
    assert test["nll_estimate_interval"] is None
    bound = image_bounds(vae, fixed_bits(dataset.test_images), 2)[2]
    assert test["nll"] == pytest.approx(-bound.mean(), abs=1e-6)


@pytest.mark.parametrize("name", ["draws", "nll_draws", "nll_images"])
def test_counts_below_one_are_refused(vae, dataset, name):
    with pytest.raises(ValueError, match=f"Expected {name} to be at least 1. Received: {name}=0"):
        evaluate(vae, dataset, **{name: 0})


def test_images_of_another_size_are_refused(vae, blobs):
    other = Dataset("other", blobs(5, 10, 10), None, blobs(5, 10, 10), None)
    with pytest.raises(ValueError, match=r"Expected images of .*9.*13.* Received: .*10"):
        evaluate(vae, other)


@pytest.mark.parametrize(
    ("likelihood", "name"),
    [
        ("bernoulli", "dynamic"),
        ("continuous_bernoulli", "grey-density"),
        ("discretised_logistic", "grey-256"),
    ],
)
def test_protocols_have_names(make_vae, likelihood, name):
    assert protocol(make_vae(likelihood=likelihood)) == name


@pytest.mark.parametrize("prior", ["mixture", "vamp", "flow"])
def test_every_prior_can_be_measured(make_vae, dataset, prior):
    vae = make_vae(prior=prior, likelihood="discretised_logistic", images=dataset.train_images)
    test = evaluate(vae, dataset, draws=2, nll_draws=3)["test"]
    assert test.pop("nll_estimate_interval") is None
    assert all(np.isfinite(value) for value in test.values())


def test_the_curve_is_the_bound_with_fewer_draws(make_vae, bits):
    vae = make_vae()
    whole = image_bounds(vae, bits, 130, seed=3, curve=(1, 64, 65, 130))
    np.testing.assert_array_equal(whole.curve[3], whole.bound)
    for row, k in enumerate((1, 64, 65)):
        np.testing.assert_allclose(whole.curve[row], image_bounds(vae, bits, k, seed=3).bound, atol=1e-4)
