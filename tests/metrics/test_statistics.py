from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from digitvae.metrics import bootstrap_interval, paired_difference, regression_estimate


def test_interval_agrees_with_scipys_percentile_bootstrap():
    values = np.random.default_rng(0).exponential(3.0, 400)
    theirs = bootstrap((values,), np.mean, n_resamples=20000, method="percentile", rng=1).confidence_interval
    ours = bootstrap_interval(values, resamples=20000)
    np.testing.assert_allclose(ours, theirs, rtol=0.01)


def test_interval_covers_the_true_mean_as_often_as_it_says():
    generator = np.random.default_rng(0)
    intervals = [
        bootstrap_interval(generator.normal(7.0, 2.0, 80), resamples=300, level=0.8, seed=i)
        for i in range(400)
    ]
    covered = np.mean([low <= 7.0 <= high for low, high in intervals])
    # Five standard errors of 400 trials; percentile intervals of 80 values cover slightly less than they say.
    assert covered == pytest.approx(0.79, abs=0.1)


def test_same_seed_gives_the_same_interval_and_another_seed_another():
    values = np.random.default_rng(0).normal(size=50)
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3)
    assert bootstrap_interval(values, seed=3) != bootstrap_interval(values, seed=4)


def test_interval_moves_and_scales_with_the_values():
    values = np.random.default_rng(0).normal(size=60)
    low, high = bootstrap_interval(values)
    np.testing.assert_allclose(
        bootstrap_interval(1e6 + 2 * values), (1e6 + 2 * low, 1e6 + 2 * high), rtol=1e-14
    )


def test_equal_values_leave_no_doubt():
    assert bootstrap_interval(np.full(10, 1 / 3)) == (1 / 3, 1 / 3)


def test_every_value_is_drawn():
    # All draws are of one value with probability 1/4, which is more than the tails that are cut off.
    assert bootstrap_interval([0.0, 1.0]) == (0, 1)


def test_higher_level_is_wider():
    values = np.random.default_rng(0).normal(size=60)
    narrow, wide = bootstrap_interval(values, level=0.5), bootstrap_interval(values, level=0.99)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_paired_difference_cancels_what_the_images_share():
    generator = np.random.default_rng(0)
    shared = generator.normal(80, 20, 300)
    a, b = shared + 0.5 + generator.normal(0, 0.1, 300), shared
    mean, low, high = paired_difference(a, b)
    assert mean == pytest.approx(np.mean(a) - np.mean(b))
    assert 0.45 < low < mean < high < 0.55
    one, other = bootstrap_interval(a), bootstrap_interval(b)
    assert one[0] < other[1]  # apart they could not be told from each other


def test_paired_difference_is_the_interval_of_the_differences():
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=(2, 40))
    assert paired_difference(a, b)[1:] == bootstrap_interval(a - b)
    mean, low, high = paired_difference(b, a)
    np.testing.assert_allclose((-mean, -high, -low), paired_difference(a, b))


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ([[1.0, 2.0]], ("values", "(n,)", "(1, 2)")),
        ([1.0], ("at least 2", "values", "1")),
        ([1.0, np.nan, np.inf], ("finite values", "2 of 3")),
        (["a", "b"], ("values", "real")),
    ],
)
def test_bad_values_are_refused(refused, values, parts):
    with refused(*parts):
        bootstrap_interval(values)


def test_bad_settings_are_refused(refused):
    with refused("resamples=0"):
        bootstrap_interval([1.0, 2.0], resamples=0)
    with refused("level=1.0"):
        bootstrap_interval([1.0, 2.0], level=1.0)
    with refused("3 and 2"):
        paired_difference([1.0, 2.0, 3.0], [1.0, 2.0])


def test_the_luck_of_a_subset_cancels():
    # Like ELBO and NLL of images: 20 nats of spread in common, one of their own.
    rng = np.random.default_rng(0)
    covered, errors, plain = 0, [], []
    for _ in range(400):
        controls = rng.normal(90, 20, 2000)
        values = 0.97 * controls - 1 + rng.normal(0, 1, 2000)
        chosen = rng.choice(2000, 200, replace=False)
        estimate, (low, high) = regression_estimate(values[chosen], controls[chosen], controls)
        covered += low <= values.mean() <= high
        errors.append(estimate - values.mean())
        plain.append(values[chosen].mean() - values.mean())
    assert 0.92 < covered / 400 < 0.98
    assert abs(np.mean(errors)) < 3 * np.std(errors) / 20
    assert np.std(plain) > 10 * np.std(errors)
