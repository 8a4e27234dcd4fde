"""Augmentation: slight distortions, the same for the same stream."""

from __future__ import annotations

import numpy as np
import pytest

from digitvae.data import distorted, load_dataset


@pytest.fixture(scope="module")
def images():
    return load_dataset().train_images[:400]


def test_half_of_the_images_change_and_only_slightly(images):
    found = distorted(images, 1.0, np.random.default_rng(0))
    assert (found.shape, found.dtype) == (images.shape, "uint8")
    changed = (found != images).any(axis=(1, 2))
    assert 0.4 < changed.mean() < 0.6
    # The same grey levels, in nearly the same place.
    levels = [np.sort(x.reshape(len(x), -1), axis=1) for x in (images, found)]
    np.testing.assert_array_equal(levels[0], levels[1])
    ink = images[changed].sum(axis=(1, 2)).astype(float)
    centres = [(x[changed] * np.arange(28)).sum(axis=(1, 2)) / ink for x in (images, found)]
    assert 0.1 < np.abs(centres[1] - centres[0]).mean() < 1.0
    # Neither a mirror nor a turn: each is nearer to its own original than to any other image.
    distance = [((found[i].astype(int) - images.astype(int)) ** 2).sum(axis=(1, 2)) for i in range(100)]
    assert np.mean(np.argmin(distance, axis=1) == np.arange(100)) > 0.75


def test_strength_scales_the_distortion(images):
    def change(strength):
        found = distorted(images, strength, np.random.default_rng(0))
        return np.abs(found.astype(int) - images).mean()

    assert change(0.0) == 0
    assert 0 < 1.5 * change(0.3) < change(1.0)


def test_it_depends_on_the_stream_alone(images):
    first, again, other = (distorted(images, 1.0, np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    wide = distorted(np.full((5, 9, 13), 200, "uint8"), 1.0, np.random.default_rng(0))
    assert wide.shape == (5, 9, 13)
