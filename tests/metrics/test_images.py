from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

from digitvae.metrics import images as module
from digitvae.metrics import mse_per_image, pca_errors, psnr, ssim


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


@pytest.fixture
def blurred(make_images) -> tuple[np.ndarray, np.ndarray]:
    """Images of which few directions explain most, as of digits: 60 to fit and 40 to measure, (13, 11)."""
    smooth = gaussian_filter(make_images(100).astype(float), (0, 2, 2))
    spread = 127 + 4 * (smooth - smooth.mean())
    return tuple(np.split(np.clip(spread, 0, 255).astype(np.uint8), [60]))


def test_pca_errors_are_those_of_the_singular_vectors(blurred):
    train, test = (images.reshape(len(images), -1) / 255 for images in blurred)
    mean = train.mean(axis=0)
    directions = np.linalg.svd(train - mean, full_matrices=False)[2]
    expected = [
        np.mean((test - mean - (test - mean) @ directions[:k].T @ directions[:k]) ** 2) for k in range(1, 60)
    ]
    found = pca_errors(*blurred, 59)
    assert found[39] < found[0] / 10
    # The tolerance is a thousand times finer than float32.
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize("components", [1, 30, 59])
def test_pca_of_large_images_is_the_same_without_a_matrix(monkeypatch, blurred, components):
    expected = pca_errors(*blurred, components)
    monkeypatch.setattr(module, "_LARGEST_MATRIX", 0)
    np.testing.assert_allclose(pca_errors(*blurred, components), expected, rtol=1e-10)


@pytest.mark.parametrize("largest", [0, 4096])
def test_components_that_the_training_images_lack_change_nothing(monkeypatch, make_images, largest):
    monkeypatch.setattr(module, "_LARGEST_MATRIX", largest)
    train, test = make_images(3), make_images(5, seed=1)
    errors = pca_errors(train, test, 40)
    assert (np.diff(errors[:2]) < 0).all()
    np.testing.assert_array_equal(errors[2:], errors[1])
    assert pca_errors(train, train, 2)[-1] == pytest.approx(0, abs=1e-15)
    # Without any variation only the mean is left.
    constant = pca_errors(np.repeat(train[:1], 4, axis=0), test, 3)
    np.testing.assert_allclose(constant, mse_per_image(test, np.repeat(train[:1], 5, axis=0)).mean())


def test_pca_refuses_other_sizes_and_no_component(refused, make_images):
    with refused("(13, 11) and (9, 11)"):
        pca_errors(make_images(4), make_images(4, height=9), 2)
    with refused("components=0"):
        pca_errors(make_images(4), make_images(4), 0)


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
