"""Places on a plane."""

from __future__ import annotations

import numpy as np
import pytest

from digitvae.explorer.projection import fitted, map_of_neighbours, plane


@pytest.fixture
def clusters():
    """Three clusters in 6 dimensions, apart in the last two alone, which vary less than the first."""
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    z = rng.standard_normal((90, 6)) * [9, 5, 3, 1, 0.2, 0.2]
    z[:, 4:] += np.array([[0, 0], [2, 0], [0, 2]])[labels]
    return z, labels


def separation(places, labels):
    means = np.stack([places[labels == kind].mean(axis=0) for kind in range(3)])
    within = np.mean([places[labels == kind].std(axis=0).max() for kind in range(3)])
    return min(np.linalg.norm(means[i] - means[j]) for i, j in ((0, 1), (0, 2), (1, 2))) / within


def test_the_plane_parts_the_labels(clusters):
    z, labels = clusters
    assert separation(plane(z, labels), labels) > 5
    assert separation(plane(z, None), labels) < 1


def test_without_labels_it_is_that_of_most_variance(clusters):
    z, _ = clusters
    places = plane(z, None)
    np.testing.assert_allclose(np.abs(np.corrcoef(places.T, z.T[:2])[:2, 2:]), np.eye(2), atol=0.1)


@pytest.mark.parametrize("labels", [np.zeros(90, int), np.full(90, -1), np.arange(90) % 2])
def test_too_few_labels_count_as_none(clusters, labels):
    z, _ = clusters
    np.testing.assert_array_equal(plane(z, labels), plane(z, None))


def test_a_turned_plane_is_turned_back(clusters):
    z, labels = clusters
    before = plane(z, labels)
    turn = np.array([[0.6, 0.8], [0.8, -0.6]])
    np.testing.assert_allclose(plane(z, labels, before @ turn), before @ turn, atol=1e-8)


@pytest.mark.parametrize(("count", "size"), [(1, 3), (2, 1), (40, 1), (40, 2)])
def test_small_and_flat_sets_have_places(count, size):
    z = np.random.default_rng(0).standard_normal((count, size))
    for places in (fitted(plane(z, None)), fitted(plane(z, np.arange(count) % 3)), map_of_neighbours(z, 0)):
        assert places.shape == (count, 2)
        assert ((places >= 0) & (places <= 1)).all()


def test_latents_that_do_not_vary_have_places():
    for labels in (None, np.arange(30) % 3):
        places = fitted(plane(np.ones((30, 4)), labels))
        assert np.isfinite(places).all()


def test_two_latents_are_their_own_map():
    z = np.random.default_rng(0).standard_normal((40, 2))
    np.testing.assert_allclose(np.corrcoef(map_of_neighbours(z, 0).T, z.T)[:2, 2:].diagonal(), 1, rtol=1e-6)


def test_neighbours_stay_neighbours(clusters):
    _, labels = clusters
    z = np.eye(3)[labels] * 20 + np.random.default_rng(0).standard_normal((90, 3))
    assert separation(map_of_neighbours(z, 0), labels) > 2
