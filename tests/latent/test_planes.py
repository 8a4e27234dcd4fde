"""Planes of the base noise."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from digitvae.latent import label_plane, manifold, most_visible_axes

pytestmark = pytest.mark.backend
EDGE = NormalDist().inv_cdf(0.98)


def test_the_plane_is_a_grid_of_quantiles(plain, close):
    images, quantiles, axes = manifold(plain, size=5, axes=(2, 0))
    assert axes == (2, 0)
    np.testing.assert_allclose(quantiles, [0.02, 0.26, 0.5, 0.74, 0.98])
    noise = np.zeros((5, 5, 4), "float32")
    for row, column in np.ndindex(5, 5):
        noise[row, column, [2, 0]] = [NormalDist().inv_cdf(quantiles[i]) for i in (row, column)]
    expected = plain.decode(plain.latents_from_noise(noise.reshape(25, 4)))
    close(images, expected.reshape(5, 5, 9, 13))


def test_a_plane_of_one_image_is_the_middle(plain, close):
    images, quantiles, _ = manifold(plain, size=1)
    close(images[0], plain.decode(plain.latents_from_noise(np.zeros((1, 4)))))
    assert quantiles.tolist() == [0.5]


def test_a_plane_of_a_label_is_that_of_its_distribution(labelled, close):
    for label in range(3):
        images, _, _ = manifold(labelled, size=3, label=label)
        middle = labelled.latents_from_noise(np.zeros((1, 4)), [label])
        close(images[1, 1:2], labelled.decode(middle))


def test_the_axes_are_the_two_that_show_most(make_vae):
    vae = make_vae(architecture="dense", blocks=0)
    gains = np.array([0.1, 3.0, 0.5, 1.5])[:, None]
    for weight, value in zip(vae.decoder.weights[:2], (gains * np.ones((4, 8)), np.zeros(8)), strict=True):
        weight.assign(value)
    assert most_visible_axes(vae) == (1, 3)
    assert manifold(vae, size=2).axes == (1, 3)


def test_one_latent_has_a_plane_too(make_vae):
    images, _, axes = manifold(make_vae(latent_dim=1), size=3)
    assert axes == (0, 0)
    assert images.shape == (3, 3, 9, 13)


@pytest.mark.parametrize(
    "arguments",
    [{"size": 0}, {"size": 2.0}, {"axes": (0, 4)}, {"axes": (-1, 0)}, {"label": 0}],
)
def test_impossible_planes_are_refused(plain, arguments):
    with pytest.raises(ValueError, match=r"^Expected .* Received: "):
        manifold(plain, **arguments)


@pytest.mark.parametrize("label", [None, 3, -1])
def test_a_prior_with_labels_wants_one_of_them(labelled, label):
    with pytest.raises(ValueError, match=f"Expected a label from 0 to 2. Received: label={label}"):
        manifold(labelled, label=label)


def test_the_rows_of_a_label_plane_go_through_the_labels(labelled, close):
    images, labels, quantiles, axis = label_plane(labelled, rows_per_label=2, columns=3)
    assert labels.tolist() == [0, -1, 1, -1, 2]
    np.testing.assert_allclose(quantiles, [0.02, 0.5, 0.98])
    noise = np.zeros((3, 4), "float32")
    noise[:, axis] = [-EDGE, 0, EDGE]
    weights = np.array([[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 1]])
    for row, weight in zip(images, weights, strict=True):
        close(row, labelled.decode(labelled.latents_from_noise(noise, np.tile(weight, (3, 1)))))


def test_a_label_plane_of_some_labels_in_their_order(labelled, close):
    some = label_plane(labelled, rows_per_label=3, columns=2, labels=[2, 0])
    assert some.labels.tolist() == [2, -1, -1, 0]
    noise = np.zeros((2, 4), "float32")
    noise[:, some.axis] = [-EDGE, EDGE]
    close(some.images[0], labelled.decode(labelled.latents_from_noise(noise, [2, 2])))
    weights = np.tile([2 / 3, 0, 1 / 3], (2, 1))
    close(some.images[2], labelled.decode(labelled.latents_from_noise(noise, weights)))
    assert label_plane(labelled, rows_per_label=1, columns=1).labels.tolist() == [0, 1, 2]


def test_the_columns_of_a_label_plane_are_the_most_visible_coordinate(labelled):
    axis = label_plane(labelled, columns=2, labels=[1]).axis
    assert axis == most_visible_axes(labelled, 1)[0]


@pytest.mark.parametrize(
    "arguments",
    [{"rows_per_label": 0}, {"columns": 0}, {"labels": []}, {"labels": [3]}, {"labels": [0, -1]}],
)
def test_impossible_label_planes_are_refused(labelled, plain, arguments):
    with pytest.raises(ValueError, match=r"^Expected .* Received: "):
        label_plane(labelled, **arguments)
    with pytest.raises(ValueError, match="Expected a model that was trained with labels"):
        label_plane(plain, **arguments)
