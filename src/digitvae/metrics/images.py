"""How close reconstructions are to their images, pixel by pixel and in structure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from digitvae.metrics._checks import Floats, Images, as_images
from digitvae.metrics._distances import slices

# About this many pixels are widened at a time.
_PIXELS = 1 << 20

# Wang et al. (2004) weight a window of 11 x 11 pixels by a Gaussian with a standard deviation of 1.5 pixels.
_RADIUS, _SIGMA = 5, 1.5


def mse_per_image(images: npt.ArrayLike, others: npt.ArrayLike) -> Floats:
    """Return each image's mean squared error, pixels in [0, 1].

    Args:
        images: uint8 (n, height, width).
        others: uint8 (n, height, width).

    Returns:
        float64 (n,), per pixel; exact up to its last rounding.

    Raises:
        ValueError: arrays that are not images or not of one shape.
    """
    return _mse(*_pairs(images, others))


def psnr(images: npt.ArrayLike, others: npt.ArrayLike) -> float:
    """Return the peak signal-to-noise ratio, mean over images.

    An image without any error counts as if one pixel were one grey level off, the smallest error there is.
    Its ratio would be infinite otherwise, and the mean with it. For 28 x 28 pixels that is 77.1 dB.

    Args:
        images: uint8 (n, height, width).
        others: uint8 (n, height, width).

    Returns:
        Decibel.

    Raises:
        ValueError: arrays that are not images or not of one shape.
    """
    first, second = _pairs(images, others)
    smallest = 1 / (255**2 * first[0].size)
    # PSNR = 10 log10(peak^2 / MSE), the peak being 1
    return float(np.mean(-10 * np.log10(np.maximum(_mse(first, second), smallest))))


def ssim(images: npt.ArrayLike, others: npt.ArrayLike) -> float:
    """Return the structural similarity of Wang et al. (2004), mean over windows and images.

    It is scikit-image's with the paper's Gaussian window and constants. Where an image has less than 11
    pixels a side, the window shrinks to the largest odd one that fits, and its Gaussian in proportion.

    Args:
        images: uint8 (n, height, width), at least 3 pixels a side.
        others: uint8 (n, height, width).

    Returns:
        At most 1, which means equal.

    Raises:
        ValueError: arrays that are not images, smaller than 3 x 3, or not of one shape.
    """
    first, second = _pairs(images, others)
    side = min(first.shape[1:])
    if side < 3:
        raise ValueError(f"Expected images of at least 3x3 pixels. Received: shape={first.shape}")
    from skimage.metrics import structural_similarity

    # scikit-image makes the window as large as the Gaussian needs.
    sigma = _SIGMA * min((side - 1) // 2, _RADIUS) / _RADIUS
    total = 0.0
    for image, other in zip(first, second, strict=True):
        total += structural_similarity(
            image, other, data_range=255, gaussian_weights=True, sigma=sigma, use_sample_covariance=False
        )
    return total / len(first)


def _pairs(images: npt.ArrayLike, others: npt.ArrayLike) -> tuple[Images, Images]:
    first, second = as_images(images, "images"), as_images(others, "others")
    if first.shape != second.shape:
        raise ValueError(
            f"Expected images and others of one shape. Received: {first.shape} and {second.shape}"
        )
    return first, second


def _mse(first: Images, second: Images) -> Floats:
    errors = np.empty(len(first))
    for rows in slices(len(first), max(1, _PIXELS // first[0].size)):
        # In integers, so that an error is the same whatever the order of the sum.
        difference = first[rows].astype(np.int32) - second[rows]
        errors[rows] = np.square(difference).sum(axis=(1, 2), dtype=np.int64)
    return errors / (255**2 * first[0].size)
