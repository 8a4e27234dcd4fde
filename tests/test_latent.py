"""Walks through the latent space."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from digitvae.latent import interpolate, most_visible_axes, noise_plane, slerp

pytestmark = pytest.mark.backend


@pytest.fixture(scope="module")
def vae(make_vae, blobs):
    """A trained model with a flow."""
    vae = make_vae(prior="flow")
    vae.fit(blobs(64), batch_size=8, epochs=4, verbose=0)
    return vae


def test_the_plane_is_a_grid_of_quantiles(vae):
    images, quantiles, axes = noise_plane(vae, size=5, axes=(2, 0), edge=0.1)
    assert images.shape == (5, 5, 9, 13)
    assert axes == (2, 0)
    np.testing.assert_allclose(quantiles, [0.1, 0.3, 0.5, 0.7, 0.9])
    for row, column in [(0, 0), (0, 4), (4, 0), (1, 3)]:
        noise = np.zeros((1, 4), "float32")
        noise[0, 2], noise[0, 0] = (NormalDist().inv_cdf(quantiles[i]) for i in (row, column))
        expected = vae.decode(vae.latents_from_noise(noise))[0]
        assert np.abs(images[row, column].astype(int) - expected).max() <= 1


def test_a_plane_of_one_image_is_the_middle(vae):
    images, quantiles, _ = noise_plane(vae, size=1)
    middle = vae.decode(vae.latents_from_noise(np.zeros((1, 4))))
    assert np.abs(images[0].astype(int) - middle).max() <= 1
    assert quantiles.tolist() == [0.5]


def test_the_axes_are_the_two_that_show_most(make_vae):
    vae = make_vae(architecture="dense", blocks=0)
    gains = np.array([0.1, 3.0, 0.5, 1.5])[:, None]
    for weight, value in zip(vae.decoder.weights[:2], (gains * np.ones((4, 8)), np.zeros(8)), strict=True):
        weight.assign(value)
    assert most_visible_axes(vae) == (1, 3)
    assert noise_plane(vae, size=2)[2] == (1, 3)


def test_one_latent_has_a_plane_too(make_vae):
    images, _, axes = noise_plane(make_vae(latent_dim=1), size=3)
    assert axes == (0, 0)
    assert images.shape == (3, 3, 9, 13)


@pytest.mark.parametrize("arguments", [{"size": 0}, {"axes": (0, 4)}, {"axes": (-1, 0)}])
def test_impossible_planes_are_refused(vae, arguments):
    with pytest.raises(ValueError, match=r"^Expected .* Received: "):
        noise_plane(vae, **arguments)


def test_a_walk_goes_from_one_reconstruction_to_the_other(vae, blobs):
    start, end = blobs(3), blobs(3, seed=1)
    walk = interpolate(vae, start, end, steps=6)
    assert walk.shape == (3, 6, 9, 13)
    assert np.abs(walk[:, 0].astype(int) - vae.reconstruct(start)).max() <= 1
    assert np.abs(walk[:, -1].astype(int) - vae.reconstruct(end)).max() <= 1
    back = interpolate(vae, end, start, steps=6)
    assert np.abs(walk.astype(int) - back[:, ::-1]).max() <= 1


def test_impossible_walks_are_refused(vae, blobs):
    with pytest.raises(ValueError, match=r"Expected steps to be at least 2. Received: steps=1"):
        interpolate(vae, blobs(1), blobs(1), steps=1)
    with pytest.raises(ValueError, match=r"Expected as many starts as ends. Received: 2 and 1"):
        interpolate(vae, blobs(2), blobs(1))


def test_slerp_turns_evenly_and_changes_length_linearly():
    a, b = np.array([[2.0, 0, 0]]), np.array([[0, 4.0, 0]])
    for t in np.linspace(0, 1, 7):
        expected = (2 + 2 * t) * np.array([[np.cos(t * np.pi / 2), np.sin(t * np.pi / 2), 0]])
        np.testing.assert_allclose(slerp(a, b, t), expected, atol=1e-9)


def test_slerp_has_no_holes():
    v = np.array([[1.0, 2.0, 3.0]])
    for t in (0.0, 0.3, 1.0):
        for a, b in [(v, v), (v, 2 * v), (v, -v)]:
            np.testing.assert_allclose(slerp(a, b, t), (1 - t) * a + t * b, atol=1e-5)
        for a, b in [(v, 0 * v), (0 * v, v), (0 * v, 0 * v)]:
            assert np.isfinite(slerp(a, b, t)).all()
