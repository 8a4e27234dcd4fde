from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import energy_distance, ortho_group
from sklearn.neighbors import NearestNeighbors

from digitvae.metrics import (
    _distances,
    active_units,
    aggregate_mismatch,
    clustering_accuracy,
    knn_accuracy,
    linear_probe,
    map_2d,
)
from digitvae.metrics.latents import _principal_plane


def test_active_units_are_those_whose_mean_varies():
    signs = np.tile([-1.0, 1.0], 50)[:, None]
    # The variances are 1, 0.0121, 0.0081 and 0, whatever the mean.
    means = 5 + signs * [1.0, 0.11, 0.09, 0.0]
    assert active_units(means) == 2
    assert active_units(means, threshold=0.005) == 3
    assert active_units(means, threshold=2.0) == 0


def test_linear_probe_finds_what_a_line_separates(groups):
    latents, labels = groups
    assert linear_probe(latents[::2], labels[::2], latents[1::2], labels[1::2]) == 1
    assert linear_probe(latents, labels, latents, np.roll(labels, 20)) == 0


def test_linear_probe_does_not_depend_on_scale_but_on_linearity():
    generator = np.random.default_rng(0)
    latents = generator.normal(size=(400, 3))
    inside = (np.linalg.norm(latents, axis=1) < 1.5).astype(int)
    assert linear_probe(latents, inside, latents, inside) < 0.7
    sided = (latents[:, 0] > 0).astype(int)
    scaled = latents * [1e-6, 1.0, 1e6]
    assert linear_probe(scaled, sided, scaled, sided) > 0.97


def test_knn_votes_among_neighbours():
    train, labels = np.array([[0.0], [1.0], [2.0], [10.0]]), np.array([7, 3, 3, 4])
    test = np.array([[0.1], [9.0]])
    assert knn_accuracy(train, labels, test, np.array([7, 4]), neighbours=1) == 1
    assert knn_accuracy(train, labels, test, np.array([3, 3]), neighbours=3) == 1
    assert knn_accuracy(train, labels, test, np.array([3, 4]), neighbours=4) == 0.5


def test_clusters_are_named_one_to_one(groups):
    latents, labels = groups
    assert clustering_accuracy(latents, labels) == 1
    # Names are arbitrary, and two clusters cannot share one.
    assert clustering_accuracy(latents, 11 - labels) == 1
    mixed = np.array([1] * 20 + [1] * 12 + [3] * 8 + [4] * 20)
    assert clustering_accuracy(latents, mixed) == pytest.approx((20 + 8 + 20) / 60)


def test_collapsed_codes_cluster_into_the_largest_class():
    assert clustering_accuracy(np.ones((10, 3)), np.array([0] * 6 + [1] * 3 + [2])) == pytest.approx(0.6)


def test_the_plane_of_largest_variance_keeps_the_distances_of_a_plane():
    generator = np.random.default_rng(0)
    plane = generator.normal(size=(50, 2)) * [5, 1]
    latents = 3 + plane @ ortho_group.rvs(6, random_state=1)[:2]
    drawn = _principal_plane(latents)
    np.testing.assert_allclose(cdist(drawn, drawn), cdist(plane, plane), atol=1e-9)
    assert drawn[:, 0].std() > 2 * drawn[:, 1].std()


def test_tsne_map_keeps_groups_together(groups):
    latents, labels = groups
    drawn, indices = map_2d(latents, points=45)
    assert drawn.shape == (45, 2)
    _, neighbours = NearestNeighbors(n_neighbors=4).fit(drawn).kneighbors()
    assert (labels[indices][neighbours] == labels[indices][:, None]).all()
    np.testing.assert_array_equal(map_2d(latents, points=45)[0], drawn)


def test_map_takes_evenly_spaced_points():
    drawn, indices = map_2d(np.arange(20.0).reshape(10, 2), points=4)
    np.testing.assert_array_equal(indices, [0, 2, 5, 7])
    np.testing.assert_array_equal(drawn, np.arange(20.0).reshape(10, 2)[indices])


def test_map_of_one_latent_is_a_line():
    drawn, _ = map_2d(np.arange(3.0)[:, None])
    np.testing.assert_array_equal(drawn, [[0, 0], [1, 0], [2, 0]])


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_map_of_few_points(count):
    latents = np.random.default_rng(0).normal(size=(count, 5))
    drawn, _ = map_2d(latents)
    assert drawn.shape == (count, 2)
    assert np.isfinite(drawn).all()
    if count <= 3:
        np.testing.assert_allclose(cdist(drawn, drawn), cdist(latents, latents), atol=1e-9)


def test_map_of_a_collapsed_code_is_a_point():
    np.testing.assert_array_equal(map_2d(np.ones((30, 4)))[0], np.zeros((30, 2)))


def test_perfect_codes_are_at_the_floor():
    found = aggregate_mismatch(np.random.default_rng(9).normal(size=(1500, 6)))
    # The expectation of the fit's KL is d (d + 3) / 4n to first order.
    assert found["gaussian_kl_floor"] == pytest.approx(6 * 9 / 6000, rel=0.6)
    assert found["gaussian_kl"] == pytest.approx(found["gaussian_kl_floor"], rel=0.6)
    assert 0 < found["energy_distance"] < 2 * found["energy_distance_floor"]


def test_gaussian_kl_is_the_closed_form():
    standard = np.random.default_rng(0).normal(size=(300, 2))
    standard -= standard.mean(axis=0)
    standard = standard @ np.linalg.inv(np.linalg.cholesky(np.cov(standard.T, bias=True))).T
    covariance, mean = np.array([[2.0, 0.6], [0.6, 0.5]]), np.array([0.3, -1.0])
    found = aggregate_mismatch(mean + standard @ np.linalg.cholesky(covariance).T)
    expected = (2.5 + 1.09 - 2 - math.log(2.0 * 0.5 - 0.36)) / 2
    assert found["gaussian_kl"] == pytest.approx(expected)


def test_energy_distance_is_scipys_in_one_dimension():
    codes = np.random.default_rng(3).normal(0.5, 1.3, (200, 1))
    found = aggregate_mismatch(codes, seed=4)
    normal, other = np.random.default_rng(4).standard_normal((2, 200, 1))
    # SciPy's is the square root, and has no factor 2.
    assert found["energy_distance"] == pytest.approx(energy_distance(codes[:, 0], normal[:, 0]) ** 2)
    assert found["energy_distance_floor"] == pytest.approx(energy_distance(other[:, 0], normal[:, 0]) ** 2)


def test_energy_distance_in_blocks_is_that_of_all_pairs(monkeypatch):
    monkeypatch.setattr(_distances, "_ENTRIES", 7 * 100)
    codes = np.random.default_rng(3).normal(0.5, 1.3, (100, 4))
    normal, _ = np.random.default_rng(0).standard_normal((2, 100, 4))
    expected = 2 * cdist(codes, normal).mean() - cdist(codes, codes).mean() - cdist(normal, normal).mean()
    assert aggregate_mismatch(codes)["energy_distance"] == pytest.approx(expected)


def test_energy_distance_sees_what_mean_and_covariance_do_not():
    generator = np.random.default_rng(0)
    # A cube's corners: mean 0, covariance I, and no Gaussian.
    found = aggregate_mismatch(generator.choice([-1.0, 1.0], (1000, 2)))
    assert found["gaussian_kl"] < 0.01
    assert found["energy_distance"] > 5 * found["energy_distance_floor"]


def test_codes_that_do_not_vary_are_infinitely_far():
    found = aggregate_mismatch(np.random.default_rng(0).normal(size=(50, 2)) * [1.0, 0.0])
    assert found["gaussian_kl"] == math.inf
    assert math.isfinite(found["energy_distance"])


@pytest.mark.parametrize("seed", range(8))
def test_codes_that_repeat_one_another_are_infinitely_far(seed):
    codes = np.random.default_rng(seed).normal(size=(50, 3))
    # The determinant is 0 but for rounding, which gives it either sign.
    assert aggregate_mismatch(codes[:, [0, 1, 2, 0]])["gaussian_kl"] == math.inf


@pytest.mark.parametrize(
    ("latents", "parts"),
    [
        (np.zeros(5), ("(n, d)", "(5,)")),
        (np.zeros((5, 0)), ("(n, d)", "(5, 0)")),
        (np.array([[0.0], [np.nan]]), ("finite", "1 of 2")),
        (np.zeros((0, 3)), ("at least", "0")),
        (np.zeros((5, 3), complex), ("real", "complex128")),
    ],
)
def test_bad_latents_are_refused(refused, latents, parts):
    labels = np.arange(len(latents))
    calls = [
        lambda: active_units(latents),
        lambda: aggregate_mismatch(latents),
        lambda: map_2d(latents),
        lambda: clustering_accuracy(latents, labels),
        lambda: knn_accuracy(latents, labels, latents, labels),
        lambda: linear_probe(latents, labels, latents, labels),
    ]
    for call in calls:
        with refused(*parts):
            call()


@pytest.mark.parametrize("measure", [knn_accuracy, linear_probe])
def test_bad_labels_are_refused(refused, groups, measure):
    latents, labels = groups
    with refused("train_labels", "60", "(59,)"):
        measure(latents, labels[1:], latents, labels)
    with refused("test_labels", "float64"):
        measure(latents, labels, latents, labels / 2)
    with refused("train_latents and test_latents", "4 and 3"):
        measure(latents, labels, latents[:, :3], labels)


def test_bad_settings_are_refused(refused, groups):
    latents, labels = groups
    with refused("neighbours", "60", "neighbours=61"):
        knn_accuracy(latents, labels, latents, labels, neighbours=61)
    with refused("2 classes", "all are 4"):
        linear_probe(latents, np.full(60, 4), latents, labels)
    with refused("labels", "(3,)"):
        clustering_accuracy(latents, labels[:3])
    with refused("points=0"):
        map_2d(latents, points=0)
    with refused("more rows", "(4, 4)"):
        aggregate_mismatch(latents[:4])
    with refused("at least 2", "1"):
        active_units(latents[:1])
