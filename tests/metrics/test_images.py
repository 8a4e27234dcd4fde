from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

from digitvae.metrics import images as module
from digitvae.metrics import mse_per_image, psnr, ssim


@pytest.fixture
def pair(make_images) -> tuple[np.ndarray, np.ndarray]:
    images = make_images(5, 28, 24)
    noise = np.random.default_rng(1).normal(0, 30, images.shape)
    return images, np.clip(images + noise, 0, 255).astype(np.uint8)


def test_mse_of_single_pixels():
    images, others = np.zeros((2, 2, 8, 8), np.uint8)
    others[1, 3, 4] = 255
    np.testing.assert_array_equal(mse_per_image(images, others), [0, 1 / 64])
    np.testing.assert_array_equal(mse_per_image(others, images), [0, 1 / 64])


def test_mse_and_psnr_agree_with_scikit_image(pair):
    theirs = [mean_squared_error(x / 255, y / 255) for x, y in zip(*pair, strict=True)]
    np.testing.assert_allclose(mse_per_image(*pair), theirs, rtol=1e-12)
    theirs = [peak_signal_noise_ratio(x, y, data_range=255) for x, y in zip(*pair, strict=True)]
    assert psnr(*pair) == pytest.approx(np.mean(theirs), rel=1e-12)


def test_psnr_of_equal_images_is_that_of_the_smallest_error(make_images):
    images = make_images(3, 28, 28)
    other = images.copy()
    other[:, 5, 5] ^= 1  # one grey level
    assert psnr(images, images) == pytest.approx(20 * np.log10(255) + 10 * np.log10(784))
    assert psnr(images, images) == psnr(images, other)


@pytest.mark.parametrize("size", [(28, 28), (11, 30)])
def test_ssim_is_that_of_the_paper(make_images, size):
    images, others = make_images(4, *size), make_images(4, *size, seed=1)
    theirs = [
        structural_similarity(x, y, data_range=255, gaussian_weights=True, use_sample_covariance=False)
        for x, y in zip(images, others, strict=True)
    ]
    assert ssim(images, others) == pytest.approx(np.mean(theirs), rel=1e-12)


@pytest.mark.parametrize("size", [(3, 3), (8, 8), (9, 40), (10, 10)])
def test_ssim_shrinks_its_window_for_small_images(make_images, size):
    images = make_images(3, *size)
    assert ssim(images, images) == pytest.approx(1)
    assert -1 <= ssim(images, 255 - images) < 0.5


def test_ssim_of_one_small_window_by_hand(make_images):
    x, y = make_images(2, 3, 3)
    # Radius 1 in place of 5, so a standard deviation of 0.3 in place of 1.5.
    line = np.exp(-0.5 * np.square(np.array([-1, 0, 1]) / 0.3))
    weights = np.outer(line, line) / line.sum() ** 2
    a, b = x.astype(float), y.astype(float)
    mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
    var_a, var_b = (weights * (a - mean_a) ** 2).sum(), (weights * (b - mean_b) ** 2).sum()
    covariance = (weights * (a - mean_a) * (b - mean_b)).sum()
    c1, c2 = 2.55**2, 7.65**2
    expected = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    expected /= (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    assert ssim(x[None], y[None]) == pytest.approx(expected, rel=1e-9)


def test_chunks_do_not_change_the_result(monkeypatch, pair):
    whole = mse_per_image(*pair)
    monkeypatch.setattr(module, "_PIXELS", 2 * 28 * 24)
    np.testing.assert_array_equal(mse_per_image(*pair), whole)
    monkeypatch.setattr(module, "_PIXELS", 1)
    np.testing.assert_array_equal(mse_per_image(*pair), whole)


@pytest.mark.parametrize("function", [mse_per_image, psnr, ssim])
def test_what_are_not_pairs_of_images_is_refused(refused, make_images, function):
    images = make_images(4)
    with refused("uint8", "float64"):
        function(images / 255, images)
    with refused("others", "(13, 11)"):
        function(images, images[0])
    with refused("(0, 13, 11)"):
        function(images[:0], images[:0])
    with refused("(4, 13, 11) and (3, 13, 11)"):
        function(images, images[:3])


def test_ssim_refuses_images_without_a_window(refused, make_images):
    with refused("3x3", "(2, 2, 9)"):
        ssim(make_images(2, 2, 9), make_images(2, 2, 9))
