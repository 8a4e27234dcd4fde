"""Augmentation: distortions that keep the size and the place of a drawing, the same for the same stream."""

from __future__ import annotations

import numpy as np
import pytest

import digitvae
from digitvae.data import distorted, fixed_bits, load_dataset
from digitvae.evaluation.likelihood import image_bounds


@pytest.fixture(scope="module")
def images():
    return load_dataset().train_images[:400]


@pytest.fixture(scope="module")
def found(images):
    return distorted(images, 1.0, np.random.default_rng(0))


def test_most_images_change_and_stay_themselves(images, found):
    assert (found.shape, found.dtype) == (images.shape, "uint8")
    changed = (found != images).any(axis=(1, 2))
    assert 0.55 < changed.mean() < 0.75
    # Neither a mirror nor a turn: each is nearer to its own original than to any other image.
    distance = [((found[i].astype(int) - images.astype(int)) ** 2).sum(axis=(1, 2)) for i in range(100)]
    assert np.mean(np.argmin(distance, axis=1) == np.arange(100)) > 0.7


def test_grey_levels_size_and_place_are_kept(images, found):
    levels = [np.sort(x.reshape(len(x), -1), axis=1) for x in (images, found)]
    np.testing.assert_array_equal(levels[0], levels[1])

    def longer_side(image):
        drawn = image > 10
        return max(np.ptp(np.flatnonzero(drawn.any(axis=axis))) for axis in (0, 1))

    assert [longer_side(x) for x in found] == [longer_side(x) for x in images]
    ink = images.sum(axis=(1, 2)).astype(float)
    for axis in (1, 2):
        centres = [(x.sum(axis=3 - axis) * np.arange(28)).sum(axis=1) / ink for x in (images, found)]
        assert np.abs(centres[1] - centres[0]).mean() > 0.05
        assert np.abs(centres[1] - centres[0]).max() < 1.0


def test_distorted_digits_are_nearly_as_likely_as_digits(images, found):
    # A rotation, shear, scaling and shift that change as much would lose 11 nats.
    bounds = [image_bounds(digitvae.load("mnist"), fixed_bits(x[:200]), 5).bound for x in (images, found)]
    changed = (found != images).any(axis=(1, 2))[:200]
    lost = (bounds[0] - bounds[1])[changed].mean()
    assert 0.5 < lost < 5.0


def test_strength_scales_the_distortion(images):
    def change(strength):
        return np.abs(distorted(images, strength, np.random.default_rng(0)).astype(int) - images).mean()

    assert change(0.0) == 0
    assert 0 < 1.5 * change(0.3) < change(1.0)


def test_it_depends_on_the_stream_alone(images, found):
    again, other = (distorted(images, 1.0, np.random.default_rng(seed)) for seed in (0, 1))
    np.testing.assert_array_equal(found, again)
    assert not np.array_equal(found, other)


def test_rows_choose_without_changing_the_others_numbers(images, found):
    part = distorted(images, 1.0, np.random.default_rng(0), slice(100, 200))
    np.testing.assert_array_equal(part[100:200], found[100:200])
    np.testing.assert_array_equal(part[:100], images[:100])


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (2, 2), (9, 13), (33, 47)])
def test_odd_shapes(shape):
    generator = np.random.default_rng(0)
    for images in (
        np.zeros((4, *shape), "uint8"),
        np.full((4, *shape), 200, "uint8"),
        generator.integers(0, 256, (4, *shape), "uint8"),
    ):
        found = distorted(images, 1.0, generator)
        assert (found.shape, found.dtype) == (images.shape, "uint8")
        np.testing.assert_array_equal(np.sort(found, axis=None), np.sort(images, axis=None))
