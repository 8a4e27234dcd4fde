"""Arithmetic and neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from digitvae.latent import arithmetic, neighbours, sets

pytestmark = pytest.mark.backend


def test_equal_sets_leave_the_reconstruction(vae, blobs, close):
    base, other = blobs(3), blobs(5, seed=1)
    close(arithmetic(vae, base, other, other), vae.reconstruct(base))


def test_means_are_taken_away_and_added(vae, blobs, close):
    base, minus, plus = (vae.encode(blobs(n, seed=n)) for n in (2, 3, 4))
    expected = vae.decode(base - minus.mean(axis=0) + plus.mean(axis=0))
    close(arithmetic(vae, base, minus, plus), expected)
    close(arithmetic(vae, blobs(2, seed=2), blobs(3, seed=3), blobs(4, seed=4)), expected)


@pytest.mark.parametrize("space", ["latent", "pixels"])
@pytest.mark.parametrize("block", [3, 1000])
def test_neighbours_are_the_nearest_of_all(vae, blobs, monkeypatch, space, block):
    monkeypatch.setattr(sets, "_BLOCK", block)
    images, among = blobs(8), blobs(20, seed=1)
    rows, distances = neighbours(vae, images, among, k=4, space=space)
    a, b = (vae.encode(i) if space == "latent" else i.reshape(len(i), -1) / 255 for i in (images, among))
    expected = np.linalg.norm(a[:, None].astype(float) - b[None], axis=-1)
    # By their distances, because a tiny model may send two images to nearly one place.
    nearest = np.sort(expected, axis=1)[:, :4]
    np.testing.assert_allclose(np.take_along_axis(expected, rows, axis=1), nearest, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(distances, nearest, rtol=1e-4, atol=1e-5)
    assert all(len(set(row)) == 4 for row in rows)
    assert (rows.dtype, distances.dtype) == (np.int64, np.float32)


def test_an_image_is_its_own_neighbour_the_first_of_equal_ones(plain, blobs):
    images = blobs(5)
    rows, distances = neighbours(plain, images, np.concatenate([images, images]), k=2, space="pixels")
    np.testing.assert_array_equal(rows, np.stack([np.arange(5), np.arange(5, 10)], axis=1))
    assert not distances.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "Expected k to be a whole number of at least 1. Received: k=0"),
        ({"k": 6}, "Expected k of at most 5, the images to search. Received: k=6"),
        ({"space": "sound"}, "Expected space to be latent or pixels. Received: space=sound"),
        ({"among": np.zeros((5, 9, 9), "uint8")}, "Expected images of 9x13 pixels. Received: 9x9"),
        ({"among": np.zeros((5, 9, 9), "uint8"), "space": "pixels"}, "Expected images of one size"),
    ],
)
def test_impossible_neighbours_are_refused(plain, blobs, arguments, message):
    with pytest.raises(ValueError, match=message):
        neighbours(plain, **{"images": blobs(2), "among": blobs(5), **arguments})
