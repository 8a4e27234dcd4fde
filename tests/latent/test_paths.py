"""Paths and sheets between points."""

from __future__ import annotations

import numpy as np
import pytest

from digitvae.latent import blend, interpolate, slerp

pytestmark = pytest.mark.backend
METHODS = ["noise", "spherical", "linear"]


@pytest.mark.parametrize("method", METHODS)
def test_a_path_goes_through_the_reconstructions(vae, blobs, close, method):
    images = blobs(3)
    path = interpolate(vae, images, 5, method)
    assert len(path) == 9
    close(path[[0, 4, 8]], vae.reconstruct(images))
    back = interpolate(vae, images[::-1], 5, method)
    close(path, back[::-1])


@pytest.mark.parametrize("method", METHODS)
def test_a_closed_path_returns_and_does_not_repeat_its_start(vae, blobs, close, method):
    images = blobs(3)
    path = interpolate(vae, images, 4, method, closed=True)
    assert len(path) == 9
    close(path[:7], interpolate(vae, images, 4, method))
    close(path[6:], interpolate(vae, images[[2, 0]], 4, method)[:-1])
    assert len(interpolate(vae, images[:2], 4, method, closed=True)) == 6


def test_the_methods_are_what_they_say(plain, blobs, close):
    latents = plain.encode(blobs(2))
    time = np.linspace(0, 1, 4)[:, None]
    straight = (1 - time) * latents[:1] + time * latents[1:]
    close(interpolate(plain, latents, 4, "linear"), plain.decode(straight))
    circle = np.concatenate([slerp(latents[:1], latents[1:], float(t)) for t in time[:, 0]])
    close(interpolate(plain, latents, 4, "spherical"), plain.decode(circle))
    a, b = plain.noise_from_latents(latents)[:, None]
    noise = np.concatenate([slerp(a, b, float(t)) for t in time[:, 0]])
    close(interpolate(plain, latents, 4), plain.decode(plain.latents_from_noise(noise)))


def test_weights_of_the_labels_change_evenly(labelled, close):
    # One noise under two labels.
    noise = np.full((2, 4), 0.3, "float32")
    latents = labelled.latents_from_noise(noise, np.array([0, 2]))
    assert labelled.label_probabilities(latents).argmax(axis=1).tolist() == [0, 2]
    weights = np.array([[1, 0, 0], [0.75, 0, 0.25], [0.5, 0, 0.5], [0.25, 0, 0.75], [0, 0, 1]])
    expected = labelled.decode(labelled.latents_from_noise(np.full((5, 4), 0.3), weights))
    close(interpolate(labelled, latents, 5), expected)


def test_images_and_their_latents_are_the_same_points(vae, blobs, close):
    images = blobs(4)
    close(interpolate(vae, images, 3), interpolate(vae, vae.encode(images), 3))
    close(blend(vae, images, 2, 3), blend(vae, vae.encode(images), 2, 3))


@pytest.mark.parametrize("method", METHODS)
def test_a_matrix_has_the_reconstructions_in_its_corners(vae, blobs, close, method):
    images = blobs(4)
    matrix = blend(vae, images, 3, 5, method)
    assert matrix.shape == (3, 5, 9, 13)
    close(matrix[[0, 0, -1, -1], [0, -1, 0, -1]], vae.reconstruct(images))
    # Its edges are paths, along both directions.
    close(matrix[0], interpolate(vae, images[:2], 5, method))
    close(matrix[-1], interpolate(vae, images[2:], 5, method))
    close(matrix[:, 0], interpolate(vae, images[::2], 3, method))
    close(matrix[:, -1], interpolate(vae, images[1::2], 3, method))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"points": 1}, "Expected at least 2 points. Received: 1"),
        ({"steps": 1}, "Expected steps to be a whole number of at least 2. Received: steps=1"),
        ({"steps": 2.5}, "Expected steps to be a whole number"),
        ({"method": "cubic"}, "Expected method to be one of noise, spherical, linear. Received: cubic"),
        ({"points": np.zeros((2, 5))}, "Expected images .* or latents, float .n, 4.. Received: float64"),
        ({"points": np.zeros((2, 4), int)}, "or latents, float .n, 4.. Received: int64, shape=.2, 4."),
        ({"points": np.zeros((0, 4))}, "Expected images"),
        ({"points": np.full((2, 4), np.nan)}, "Expected finite latents"),
        ({"points": np.zeros((2, 9, 12), "uint8")}, "Expected images of 9x13 pixels. Received: 9x12"),
    ],
)
def test_impossible_paths_are_refused(vae, blobs, arguments, message):
    points = arguments.pop("points", 2) if "points" in (arguments := dict(arguments)) else 2
    with pytest.raises(ValueError, match=message) as error:
        interpolate(vae, blobs(points) if isinstance(points, int) else points, **arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("corners", "arguments", "message"),
    [
        (3, {}, "Expected 4 corners. Received: 3"),
        (4, {"rows": 1}, "Expected rows to be a whole number of at least 2. Received: rows=1"),
        (4, {"columns": True}, "Expected columns to be a whole number"),
        (4, {"method": "?"}, "Expected method to be one of"),
    ],
)
def test_impossible_matrices_are_refused(plain, blobs, corners, arguments, message):
    with pytest.raises(ValueError, match=message):
        blend(plain, blobs(corners), **arguments)


def test_slerp_turns_evenly_and_changes_length_linearly():
    a, b = np.array([[2.0, 0, 0]]), np.array([[0, 4.0, 0]])
    for t in np.linspace(0, 1, 7):
        expected = (2 + 2 * t) * np.array([[np.cos(t * np.pi / 2), np.sin(t * np.pi / 2), 0]])
        np.testing.assert_allclose(slerp(a, b, t), expected, atol=1e-9)
        np.testing.assert_allclose(slerp(a, b, np.array([[t]])), expected, atol=1e-9)


def test_slerp_has_no_holes():
    v = np.array([[1.0, 2.0, 3.0]])
    for t in (0.0, 0.3, 1.0):
        for a, b in [(v, v), (v, 2 * v), (v, -v)]:
            np.testing.assert_allclose(slerp(a, b, t), (1 - t) * a + t * b, atol=1e-5)
        for a, b in [(v, 0 * v), (0 * v, v), (0 * v, 0 * v)]:
            assert np.isfinite(slerp(a, b, t)).all()
