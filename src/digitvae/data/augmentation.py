"""Augmentation: images as they might have been drawn a little differently."""

from __future__ import annotations

from typing import Any

import numpy as np

from digitvae.data.arrays import Images

# Standard deviations at strength 1: radians, shears, logarithms of scales, and shares of the side (half a
# pixel of MNIST's 28). They keep the digit and its style.
_ANGLE, _SHEAR, _LOG_SCALE, _SHIFT = 0.08, 0.08, 0.05, 0.018


def distorted(
    images: Images, strength: float, generator: np.random.Generator, rows: Any = slice(None)
) -> Images:
    """Rotate, shear, scale and shift half of the images at random; leave the others as they are.

    A distorted image has the grey levels of its original, in other places: the darkest pixel has the darkest
    level, and so on. Interpolation alone would make more grey pixels, whose bits are random: 8 to 9 nats of
    entropy more per image of MNIST, which no model could learn.

    Args:
        images: uint8 `(n, height, width)`, dark outside of the image.
        strength: factor of the standard deviations of all four; 0 changes nothing.
        generator: source of the random numbers; its state advances.
        rows: index of the images to distort; the others stay as they are, and change no random number.

    Returns:
        uint8 `(n, height, width)`.
    """
    from PIL import Image

    count, height, width = images.shape
    values = strength * generator.standard_normal((count, 6))
    wanted = np.zeros(count, bool)
    wanted[rows] = True
    chosen = (generator.random(count) < 0.5) & wanted
    out = images.copy()
    for i in np.flatnonzero(chosen):
        angle, shear = _ANGLE * values[i, 0], _SHEAR * values[i, 1]
        scales = np.exp(_LOG_SCALE * values[i, 2:4])
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        # From a pixel of the result to the place of the original that it shows, both from the centre.
        matrix = rotation @ np.array([[1.0, shear], [0.0, 1.0]]) @ np.diag(scales)
        centre = np.array([width / 2, height / 2])
        offset = centre - matrix @ centre + _SHIFT * np.array([width, height]) * values[i, 4:6]
        coefficients = (*matrix[0], offset[0], *matrix[1], offset[1])
        picture = Image.fromarray(images[i])
        size, method = (width, height), Image.Transform.AFFINE
        moved = picture.transform(size, method, coefficients, Image.Resampling.BICUBIC)
        out[i].flat[np.argsort(np.asarray(moved), axis=None, kind="stable")] = np.sort(images[i], axis=None)
    return out
