"""Augmentation: images as they might have been drawn a little differently."""

from __future__ import annotations

from typing import Any

import numpy as np

from digitvae.data.arrays import Images

# Share of the images that are distorted.
_SHARE = 0.75
# Standard deviations at strength 1: radians, shears, and shifts of the 3 x 3 points that bend an image, as
# shares of its side (half a pixel of MNIST's 28).
_ANGLE, _SHEAR, _BEND = 0.12, 0.15, 0.018
# Levels, as shares of the lightest pixel's: of a stroke's edge, and of the faintest pixel that is drawing.
_EDGE, _FAINT = 0.4, 0.04
# Times that the size is corrected before a distortion is given up.
_TRIALS = 3


def distorted(
    images: Images, strength: float, generator: np.random.Generator, rows: Any = slice(None)
) -> Images:
    """Rotate, shear and bend three quarters of the images at random; leave the others as they are.

    What data sets of digits fix is kept, so that a distorted image is as likely under a model of the
    originals as can be: the longer side of the drawing has as many pixels as before, the box of its strokes
    moves by whole pixels, and the centre of mass stays within about half a pixel. A drawing that will not
    have that side is left as it is. The grey levels are those of the original, in other places: the darkest
    pixel has the darkest level, and so on. Interpolation alone would make more grey pixels, whose bits are
    random: 8 to 9 nats of entropy more per image of MNIST, which no model could learn.

    Args:
        images: uint8 `(n, height, width)`, dark outside of the drawing.
        strength: factor of the standard deviations of all three; 0 changes nothing.
        generator: source of the random numbers; its state advances.
        rows: index of the images to distort; the others stay as they are, and change no random number.

    Returns:
        uint8 `(n, height, width)`.
    """
    values = strength * generator.standard_normal((len(images), 2 + 18))
    wanted = np.zeros(len(images), bool)
    wanted[rows] = True
    out = images.copy()
    chosen = (generator.random(len(images)) < _SHARE) & wanted & images.any(axis=(1, 2))
    if min(images.shape[1:]) == 1:
        return out  # a line has no shape
    for i in np.flatnonzero(chosen):
        angle, shear = _ANGLE * values[i, 0], _SHEAR * values[i, 1]
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = rotation @ np.array([[1.0, shear], [0.0, 1.0]])
        bend = _BEND * max(images.shape[1:]) * values[i, 2:].reshape(3, 3, 2)
        out[i] = _redrawn(images[i], matrix, bend)
    return out


def _redrawn(image: np.ndarray, matrix: np.ndarray, bend: np.ndarray) -> np.ndarray:
    """Return a distorted drawing of the same size and place, or the image itself.

    Args:
        image: uint8 (height, width).
        matrix: (2, 2), from an offset in the result to the offset in the original that it shows.
        bend: (3, 3, 2), added to it in pixels at the corners, the middles of the sides and the centre.
    """
    lightest = float(image.max())
    y, x = np.nonzero(image > _EDGE * lightest)
    edge = np.stack([x, y], axis=1) + 0.5
    weights = image[y, x] / image[y, x].sum(dtype=float)
    centre = weights @ edge
    before = edge - centre
    after = (before - _between(bend, edge, image.shape)) @ np.linalg.inv(matrix).T
    levels, longer = np.sort(image, axis=None), _longer(image, lightest)
    scale = (np.ptp(after, axis=0).max() + 1) / (np.ptp(before, axis=0).max() + 1)
    for _ in range(_TRIALS):
        drawn = after / scale
        # Whole pixels from the old place, by the box of the strokes; of these the nearest to the old centre
        # of mass.
        move = (drawn.min(axis=0) + drawn.max(axis=0) - before.min(axis=0) - before.max(axis=0)) / 2
        move -= np.round(move - weights @ drawn)
        moved = _resampled(image, scale * matrix, centre, move, bend)
        found = np.empty_like(image)
        found.flat[np.argsort(moved, axis=None, kind="stable")] = levels
        side = _longer(found, lightest)
        if side == longer:
            return found
        scale *= 1 + (side - longer) / 2 / max(longer, 1)
    return image


def _between(bend: np.ndarray, points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the bend at points (n, 2) in pixels, linear between its own."""
    places = np.clip(points / np.array([shape[1], shape[0]]) * 2, 0, 2 - 1e-9)
    cell = places.astype(int)
    right, down = (places - cell).T[:, :, None]
    column, row = cell.T
    upper = (1 - right) * bend[row, column] + right * bend[row, column + 1]
    lower = (1 - right) * bend[row + 1, column] + right * bend[row + 1, column + 1]
    return (1 - down) * upper + down * lower


def _resampled(
    image: np.ndarray, matrix: np.ndarray, centre: np.ndarray, move: np.ndarray, bend: np.ndarray
) -> np.ndarray:
    """Return uint8 (height, width): the distorted image, its grey levels interpolated."""
    from PIL import Image

    height, width = image.shape
    columns, rows = (0, width // 2, width), (0, height // 2, height)
    corners = np.stack(np.meshgrid(columns, rows), axis=-1)
    sources = (corners - centre + move) @ matrix.T + centre + bend
    cells = [
        (
            (columns[c], rows[r], columns[c + 1], rows[r + 1]),
            (*sources[r, c], *sources[r + 1, c], *sources[r + 1, c + 1], *sources[r, c + 1]),
        )
        for r in range(2)
        for c in range(2)
    ]
    size, method = (width, height), Image.Transform.MESH
    return np.asarray(Image.fromarray(image).transform(size, method, cells, Image.Resampling.BICUBIC))


def _longer(image: np.ndarray, lightest: float) -> int:
    """Return the longer side of the drawing in pixels, with its faint ones."""
    drawn = image > _FAINT * lightest
    return max(int(np.ptp(np.flatnonzero(drawn.any(axis=axis)))) for axis in (0, 1))
