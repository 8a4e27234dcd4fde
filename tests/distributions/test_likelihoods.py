"""Pixel likelihoods against SciPy, float64 formulas and their own draws."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from scipy import integrate, special, stats

from digitvae.distributions import Bernoulli, ContinuousBernoulli, DiscretisedLogisticMixture, Likelihood

pytestmark = pytest.mark.backend

to_numpy = keras.ops.convert_to_numpy

ALL = [Bernoulli, ContinuousBernoulli, DiscretisedLogisticMixture]
LOGITS = [-40.0, -8.0, -1.0, -0.6, -0.5, -0.49, -0.1, -1e-4, 0.0, 1e-6, 0.3, 0.51, 1.9, 12.0, 40.0]


def normal(*shape: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=scale, size=shape).astype("float32")


def drawn(distribution: Likelihood, seed: int = 0) -> np.ndarray:
    """Return a draw of every image, by NumPy's numbers."""
    shape = (*distribution.mean.shape, 2)
    return to_numpy(distribution.sample(np.random.default_rng(seed).random(shape, "float32")))


def levels(*shape: int, seed: int = 1) -> np.ndarray:
    return (np.random.default_rng(seed).integers(0, 256, size=shape) / 255).astype("float32")


def pixel(likelihood: type[Likelihood], params: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Returns the log-probability of each pixel on its own, by images of one pixel."""
    return to_numpy(likelihood(params[:, None, None, :]).log_prob(np.asarray(x)[:, None, None]))


# --- what every likelihood promises


@pytest.mark.parametrize("likelihood", ALL)
def test_images_and_samples_broadcast(likelihood):
    params = normal(2, 3, 4, 5, likelihood.channels())
    x = np.round(levels(3, 4, 5))
    joint = to_numpy(likelihood(params).log_prob(x))
    assert joint.shape == (2, 3)
    assert tuple(likelihood(params).mean.shape) == (2, 3, 4, 5)
    assert drawn(likelihood(params)).shape == (2, 3, 4, 5)
    for k in range(2):
        np.testing.assert_allclose(joint[k], to_numpy(likelihood(params[k]).log_prob(x)), rtol=1e-5)
    # One decoded image against many observed ones is the same rule.
    one_to_many = to_numpy(likelihood(params[1, 2]).log_prob(x))
    assert one_to_many.shape == (3,)
    np.testing.assert_allclose(one_to_many[2], joint[1, 2], rtol=1e-5)


def test_an_image_is_the_sum_of_its_pixels():
    params, x = normal(4, 3, 3, 1), np.round(levels(4, 3, 3))
    pixels = pixel(Bernoulli, params.reshape(36, 1), x.ravel()).reshape(4, 9)
    np.testing.assert_allclose(to_numpy(Bernoulli(params).log_prob(x)), pixels.sum(1), rtol=1e-5)
    found = to_numpy(Bernoulli(params).log_prob_per_pixel(x))
    np.testing.assert_allclose(found.reshape(4, 9), pixels, rtol=1e-6)


@pytest.mark.parametrize("likelihood", ALL)
def test_the_numbers_alone_decide_a_sample(likelihood):
    distribution = likelihood(normal(4, 3, 3, likelihood.channels()))
    np.testing.assert_array_equal(drawn(distribution, 5), drawn(distribution, 5))
    first, second = drawn(distribution, 5), drawn(distribution, 6)
    assert (first != second).any()
    assert first.min() >= 0
    assert first.max() <= 1
    for extreme in (0.0, np.nextafter(np.float32(1), np.float32(0))):
        assert np.isfinite(to_numpy(distribution.sample(np.full((4, 3, 3, 2), extreme)))).all()


@pytest.mark.parametrize("likelihood", ALL)
def test_mean_is_that_of_the_samples(likelihood):
    params = np.broadcast_to(
        normal(1, 2, 3, likelihood.channels(), scale=2.0), (20_000, 2, 3, likelihood.channels())
    )
    distribution = likelihood(params)
    samples = drawn(distribution, 11).astype("float64")
    error = 5 * samples.std(0) / np.sqrt(len(samples)) + 1e-3
    assert (np.abs(samples.mean(0) - to_numpy(distribution.mean)[0]) < error).all()


@pytest.mark.parametrize("likelihood", ALL)
@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0, 1000.0])
def test_values_and_gradients_are_finite_at_extremes(likelihood, scale, gradient):
    params = scale * np.sign(normal(4, 3, 3, likelihood.channels(), seed=2))
    for x in (np.zeros((3, 3)), np.ones((3, 3)), np.eye(3)):
        assert np.isfinite(to_numpy(likelihood(params).log_prob(x))).all()
        assert np.isfinite(gradient(lambda p, x=x: likelihood(p).log_prob(x), params)).all()
    mean = to_numpy(likelihood(params).mean)
    assert np.isfinite(mean).all()
    assert mean.min() >= 0
    assert mean.max() <= 1
    assert np.isfinite(gradient(lambda p: likelihood(p).mean, params)).all()
    assert np.isfinite(drawn(likelihood(params), 3)).all()


@pytest.mark.usefixtures("mixed_policy")
@pytest.mark.parametrize("likelihood", ALL)
def test_everything_is_float32_under_a_mixed_policy(likelihood):
    distribution = likelihood(keras.ops.cast(normal(4, 3, 3, likelihood.channels()), "bfloat16"))
    x = keras.ops.ones((4, 3, 3), "bfloat16")
    results = (distribution.log_prob(x), distribution.mean, distribution.sample(np.full((4, 3, 3, 2), 0.5)))
    assert {keras.backend.standardize_dtype(tensor.dtype) for tensor in results} == {"float32"}


@pytest.mark.parametrize("likelihood", ALL)
def test_a_wrong_number_of_channels_is_refused(likelihood):
    with pytest.raises(ValueError, match=r"Expected \d+ channels .* Received: params.shape="):
        likelihood(np.zeros((4, 3, 3, likelihood.channels() + 1)))


# --- Bernoulli


def test_bernoulli_is_that_of_scipy():
    logits = np.array(LOGITS, "float32")
    for x in (0, 1):
        expected = special.log_expit((2 * x - 1) * logits.astype("float64"))
        got = pixel(Bernoulli, logits[:, None], np.full(len(logits), x))
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=4e-6)
        moderate = np.abs(logits) < 10
        probability = special.expit(logits[moderate].astype("float64"))
        np.testing.assert_allclose(
            got[moderate], stats.bernoulli(probability).logpmf(x), rtol=1e-4, atol=1e-6
        )
    np.testing.assert_allclose(
        to_numpy(Bernoulli(logits[:, None, None, None]).mean).ravel(), special.expit(logits), rtol=1e-5
    )


def test_bernoulli_gradient_is_exact_at_zero(gradient):
    x = np.array([[0.0, 1.0]])
    slope = gradient(lambda logits: Bernoulli(logits).log_prob(x), np.zeros((1, 2, 1)))
    np.testing.assert_allclose(slope.ravel(), [-0.5, 0.5])


def test_bernoulli_samples_have_their_frequencies():
    logits = np.linspace(-4, 4, 16).reshape(4, 4, 1)
    samples = drawn(Bernoulli(np.broadcast_to(logits, (4000, 4, 4, 1))), 1)
    assert set(np.unique(samples)) == {0.0, 1.0}
    p = special.expit(logits[..., 0])
    statistic = ((samples.sum(0) - 4000 * p) ** 2 / (4000 * p * (1 - p))).sum()
    assert stats.chi2(16).sf(statistic) > 1e-4


# --- continuous Bernoulli


def continuous_bernoulli_log_density(x: np.ndarray, logit: float) -> np.ndarray:
    """Returns the paper's formula, log C(p) + x log p + (1 - x) log(1 - p), in float64."""
    p = special.expit(np.float64(logit))
    log_normaliser = np.log(2.0) if logit == 0 else np.log(2 * np.arctanh(1 - 2 * p) / (1 - 2 * p))
    return log_normaliser + special.xlogy(x, p) + special.xlog1py(1 - x, -p)


@pytest.mark.parametrize(
    "logit",
    [logit for logit in LOGITS if abs(logit) in (0.0, *[v for v in map(abs, LOGITS) if 1e-4 < v < 20])],
)
def test_continuous_bernoulli_is_the_papers(logit):
    x = np.linspace(0, 1, 33).astype("float32")
    got = pixel(ContinuousBernoulli, np.full((33, 1), logit, "float32"), x)
    expected = continuous_bernoulli_log_density(x.astype("float64"), np.float32(logit))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=3e-6)


@pytest.mark.parametrize("logit", LOGITS)
def test_continuous_bernoulli_integrates_to_one_and_to_its_mean(logit):
    x = np.linspace(0, 1, 4001).astype("float32")
    density = np.exp(pixel(ContinuousBernoulli, np.full((4001, 1), logit, "float32"), x).astype("float64"))
    assert integrate.simpson(density, x=np.linspace(0, 1, 4001)) == pytest.approx(1, abs=1e-5)
    mean = to_numpy(ContinuousBernoulli(np.full((1, 1, 1), logit, "float32")).mean).item()
    assert integrate.simpson(density * np.linspace(0, 1, 4001), x=np.linspace(0, 1, 4001)) == pytest.approx(
        mean, abs=1e-5
    )


def test_continuous_bernoulli_gradient_is_pixel_less_mean(gradient):
    # An exponential family: d log p(x) / dl = x - E[x], at every logit, the seams of the series included.
    logits = np.array(LOGITS, "float32")[None, :, None]
    slope = gradient(
        lambda values: ContinuousBernoulli(values).log_prob(np.full((1, len(LOGITS)), 0.7)), logits
    )
    mean = to_numpy(ContinuousBernoulli(logits).mean)
    np.testing.assert_allclose(slope[..., 0], 0.7 - mean, atol=2e-6)
    variance = gradient(lambda values: ContinuousBernoulli(values).mean, logits)
    assert variance[0, LOGITS.index(0.0), 0] == pytest.approx(1 / 12, rel=1e-5)


@pytest.mark.parametrize("logit", [-20.0, -1.0, -1e-7, 0.0, 0.3, 5.0, 40.0])
def test_continuous_bernoulli_samples_follow_the_distribution_function(logit):
    samples = drawn(ContinuousBernoulli(np.full((1, 50, 80, 1), logit)), 2).ravel()

    def cdf(x):
        return x if abs(logit) < 1e-5 else np.expm1(logit * x.astype("float64")) / np.expm1(logit)

    assert stats.kstest(samples, cdf).pvalue > 1e-3


# --- discretised mixture of logistics


def mixture_log_probs(params: np.ndarray) -> np.ndarray:
    """Returns the log-probabilities of the 256 levels for one pixel's parameters, in float64."""
    logits, means, raw = np.split(params.astype("float64"), 3)
    mixtures = len(logits)
    logistic = stats.logistic(
        (np.arange(mixtures) + 0.5) / mixtures + means, np.exp(-2 + 5 * np.tanh(raw / 5))
    )
    edges = (np.arange(1, 256)[:, None] - 0.5) / 255
    cdf = np.vstack([np.zeros(mixtures), logistic.cdf(edges), np.ones(mixtures)])
    sf = np.vstack([np.ones(mixtures), logistic.sf(edges), np.zeros(mixtures)])
    # Of the two differences the one between the smaller numbers keeps its digits.
    mass = np.where(cdf[1:] < 0.5, np.diff(cdf, axis=0), -np.diff(sf, axis=0))
    with np.errstate(divide="ignore"):
        return np.log(mass @ special.softmax(logits))


def all_levels(params: np.ndarray, mixtures: int) -> np.ndarray:
    images = (np.arange(256) / 255).astype("float32")[:, None, None]
    return to_numpy(DiscretisedLogisticMixture(params[None, None, :], mixtures).log_prob(images))


ORDINARY = [normal(15, seed=seed, scale=scale) for seed, scale in enumerate([0.0, 0.3, 1.0, 3.0])]
EXTREME = [
    np.concatenate([normal(5, seed=8), means, np.full(5, raw)]).astype("float32")
    for means in (np.zeros(5), normal(5, seed=9, scale=0.3), np.full(5, 30.0), np.full(5, -30.0))
    for raw in (-60.0, 60.0)
]


@pytest.mark.parametrize("params", ORDINARY)
def test_discretised_mixture_is_that_of_scipy(params):
    expected = mixture_log_probs(params)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(all_levels(params, 5), expected, rtol=1e-4, atol=1e-4)


def test_a_level_is_met_by_a_pixel_an_ulp_beside_it():
    likelihood = DiscretisedLogisticMixture(ORDINARY[2][None, None, :])
    images = (np.arange(256) / 255).astype("float32")[:, None, None]
    beside = np.nextafter(images, np.float32(0.5))
    np.testing.assert_array_equal(
        to_numpy(likelihood.log_prob(beside)), to_numpy(likelihood.log_prob(images))
    )


@pytest.mark.parametrize("params", ORDINARY + EXTREME)
def test_discretised_mixture_sums_to_one(params):
    probabilities = np.exp(all_levels(params, 5).astype("float64"))
    np.testing.assert_allclose(probabilities, np.exp(mixture_log_probs(params)), atol=1e-5)
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_one_component_is_enough_and_none_is_not():
    params = np.array([0.0, 0.1, -2.0], "float32")
    np.testing.assert_allclose(all_levels(params, 1), mixture_log_probs(params), rtol=1e-4)
    assert DiscretisedLogisticMixture.channels(4) == 12
    with pytest.raises(ValueError, match=r"Expected .* Received: mixtures=0"):
        DiscretisedLogisticMixture.channels(0)


@pytest.mark.parametrize("params", ORDINARY + EXTREME)
def test_discretised_mixture_mean_is_that_of_the_levels(params):
    expected = np.exp(mixture_log_probs(params)) @ np.arange(256) / 255
    got = to_numpy(DiscretisedLogisticMixture(params[None, None, :]).mean).item()
    assert got == pytest.approx(expected, abs=0.04 / 255)


@pytest.mark.parametrize("params", ORDINARY[1:])
def test_discretised_mixture_samples_have_their_frequencies(params):
    shape = (1, 200, 200, 15)
    samples = drawn(DiscretisedLogisticMixture(np.broadcast_to(params, shape)), 4).ravel()
    found = np.round(255 * samples).astype(int)
    np.testing.assert_allclose(samples, found / 255, atol=1e-7)
    expected = samples.size * np.exp(all_levels(params, 5).astype("float64"))
    # Neighbouring levels are pooled until each cell expects at least 20, as the test asks for.
    cells = np.minimum((np.cumsum(expected) - 1e-9) // 20, expected.sum() // 20 - 1).astype(int)
    observed = np.bincount(cells, np.bincount(found, minlength=256))
    pooled = np.bincount(cells, expected)
    observed, pooled = observed[pooled > 0], pooled[pooled > 0]
    assert stats.chisquare(observed, pooled * observed.sum() / pooled.sum()).pvalue > 1e-4
