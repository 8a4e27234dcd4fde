"""Metrics of reconstructions: squared errors, structural similarity, and PCA for comparison."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from digitvae.metrics._checks import Floats, Images, as_images, check_count, check_equal

# Wang et al. (2004) weight a window of 11 x 11 pixels by a Gaussian with a standard deviation of 1.5 pixels.
_RADIUS, _SIGMA = 5, 1.5

_LARGEST_MATRIX = 4096  # pixels up to which PCA forms the covariance matrix, at most 134 MB


def mse_per_image(images: npt.ArrayLike, others: npt.ArrayLike) -> Floats:
    """Return each image's mean squared error, pixels in [0, 1].

    Args:
        images: uint8 (n, height, width).
        others: uint8 (n, height, width).

    Returns:
        float64 (n,), per pixel; the sums are exact.

    Raises:
        ValueError: arrays that are not images or not of one shape.
    """
    return _mse(*_pairs(images, others))


def psnr(images: npt.ArrayLike, others: npt.ArrayLike) -> float:
    """Return the peak signal-to-noise ratio, mean over images.

    An image without any error counts as if one pixel were one grey level off, the smallest possible error:
    77.1 dB for 28 x 28 pixels. Otherwise its ratio would be infinite, and so would the mean.

    Args:
        images: uint8 (n, height, width).
        others: uint8 (n, height, width).

    Returns:
        The ratio in dB.

    Raises:
        ValueError: arrays that are not images or not of one shape.
    """
    first, second = _pairs(images, others)
    smallest = 1 / (255**2 * first[0].size)
    # PSNR = 10 log10(peak^2 / MSE) with a peak of 1
    return float(np.mean(-10 * np.log10(np.maximum(_mse(first, second), smallest))))


def ssim(images: npt.ArrayLike, others: npt.ArrayLike) -> float:
    """Return the structural similarity of Wang et al. (2004), mean over windows and images.

    This is scikit-image's function with the Gaussian window and the constants of the paper. For images with
    fewer than 11 pixels per side, the window is the largest odd one that fits, with a proportional Gaussian.

    Args:
        images: uint8 (n, height, width), at least 3 pixels per side.
        others: uint8 (n, height, width).

    Returns:
        At most 1, the value for equal images.

    Raises:
        ValueError: arrays that are not images, smaller than 3 x 3, or not of one shape.
    """
    first, second = _pairs(images, others)
    side = min(first.shape[1:])
    if side < 3:
        raise ValueError(f"Expected images of at least 3x3 pixels. Received: shape={first.shape}")
    from skimage.metrics import structural_similarity

    # scikit-image derives the size of the window from the Gaussian.
    sigma = _SIGMA * min((side - 1) // 2, _RADIUS) / _RADIUS
    total = 0.0
    for image, other in zip(first, second, strict=True):
        total += structural_similarity(
            image, other, data_range=255, gaussian_weights=True, sigma=sigma, use_sample_covariance=False
        )
    return total / len(first)


def pca_errors(train: npt.ArrayLike, test: npt.ArrayLike, components: int) -> Floats:
    """Return the test reconstruction errors of 1 to `components` principal components of the training images.

    Args:
        train: uint8 (n, height, width), on which the components are fitted.
        test: uint8 (m, height, width).
        components: the largest number of them; those beyond the rank of the training images change nothing.

    Returns:
        Mean squared errors, float64 (components,), per pixel of [0, 1].

    Raises:
        ValueError: arrays that are not images of one size, or no component.
    """
    fitted, measured = as_images(train, "train"), as_images(test, "test")
    check_equal(fitted.shape[1:], measured.shape[1:], "train and test images of one size")
    check_count(components, 1, None, "components")
    pixels, mean = fitted.reshape(len(fitted), -1), fitted.mean(axis=0).ravel()
    directions = _principal_directions(pixels, components)
    left, explained = 0.0, np.zeros(components)
    for rows in _chunks(measured.reshape(len(measured), -1), 1000):
        centred = rows - mean
        left += np.square(centred).sum()
        explained[: directions.shape[1]] += np.square(centred @ directions).sum(axis=0)
    # Each component reduces the squared distance to the mean by its squared score.
    return np.maximum(left - np.cumsum(explained), 0) / (255**2 * measured.size)


def _principal_directions(images: npt.NDArray[np.uint8], components: int) -> Floats:
    """Return the directions of largest variance of images, (n, d), as orthonormal columns in that order."""
    count, size = images.shape
    total = images.sum(axis=0, dtype=np.float64)
    # n^2 times the covariance is n sum x x' - (sum x)(sum x)'. For up to 370,000 images all of these numbers
    # are integers below 2^53: they are exact, and the same on every processor.
    if size <= _LARGEST_MATRIX:
        products = sum(rows.T @ rows for rows in _chunks(images, 1000))
        variances, directions = np.linalg.eigh(count * products - np.outer(total, total))
    else:
        from scipy.sparse.linalg import LinearOperator, eigsh

        def scatter(vector: Floats) -> Floats:
            # A few images at a time fit the processor's cache. The vector itself is added because ARPACK
            # fails on a matrix of zeros.
            products = sum((rows @ vector) @ rows for rows in _chunks(images, 4))
            return count * products - total * (total @ vector) + vector

        matrix = LinearOperator((size, size), scatter, dtype=np.float64)
        variances, directions = eigsh(matrix, min(components, size - 1), v0=np.ones(size))
        variances -= 1
    rounding = np.finfo(np.float64).eps * size * (variances[-1] + total @ total)
    return directions[:, variances > rounding][:, ::-1][:, :components]


def _chunks(images: npt.NDArray[np.uint8], rows: int) -> Iterator[Floats]:
    return (images[start : start + rows].astype(np.float64) for start in range(0, len(images), rows))


def _pairs(images: npt.ArrayLike, others: npt.ArrayLike) -> tuple[Images, Images]:
    first, second = as_images(images, "images"), as_images(others, "others")
    check_equal(first.shape, second.shape, "images and others of one shape")
    return first, second


def _mse(first: Images, second: Images) -> Floats:
    # Sums of integers do not depend on their order.
    sums = [np.square(np.subtract(x, y, dtype=np.int64)).sum() for x, y in zip(first, second, strict=True)]
    return np.array(sums) / (255**2 * first[0].size)
