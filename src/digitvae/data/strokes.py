"""The strokes in a photo: how much ink each pixel carries, whatever the paper, the pen and the light.

SciPy and scikit-image are imported on first use.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float32]
Mask: TypeAlias = npt.NDArray[np.bool_]

# Shares of the picture's shorter side.
_WIDEST_STROKE = 0.45  # what is narrower in both directions than this can be a stroke
_SKETCH_SIDE = 128  # pixels; enough to compare how wide dark and light details are
_POLARITY_WINDOWS = (0.02, 0.04, 0.08, 0.16, 0.32)
_SMALLEST_DIGIT = 0.12  # a digit inside the picture is at least that long; else what touches the border counts

_DARKEST_GROUND = 48.0  # grey level; below it a ratio of two levels says nothing about ink
_FAINTEST = 0.08  # of the light that the ground reflects; paper and JPEG alone stay below half of it
_CLEAREST_NOISE = 5.0  # standard deviations of the grain; random pixels differ by less from their neighbours
_EDGE = 0.04  # of the ink's full level: where a soft edge ends
_LIMIT = 0.2  # where the digit's box ends
_SPECK = 0.02  # of the largest stroke's area
_GAP = 0.25  # of the largest stroke's length: how far from it another may be


class Strokes(NamedTuple):
    """The strokes of a digit.

    Attributes:
        ink: float32 (height, width), 0 (none) to 1 (as dark as the pen gets); the digit's bounding box.
        width: mean width of a stroke, in pixels.
    """

    ink: Floats
    width: float


def find_strokes(pixels: Floats) -> Strokes | None:
    """Find the strokes of the one digit that a picture shows.

    The ground is what a morphological closing leaves: it follows slopes and edges of light, and fills whatever is
    narrow. Ink is the share of the ground's light that is missing, so a shadow does not change it.

    Args:
        pixels: float32 (height, width, channels), 0..255, one or three channels.

    Returns:
        The strokes, or None for a picture without any.
    """
    from scipy.ndimage import distance_transform_edt
    from skimage.morphology import skeletonize

    ink, noise = _ink(_dark_on_light(_principal_grey(pixels)))
    full = _full_level(ink, noise)
    if full < max(_FAINTEST, _CLEAREST_NOISE * noise):
        return None
    core = _digit(ink > full / 2)
    if core is None:
        return None
    width = core.sum() / max(1, skeletonize(core).sum())
    # Soft edges belong to the strokes; equally faint lines of the paper elsewhere do not.
    near = distance_transform_edt(~core) <= max(1.5, width)
    ink = np.where(near & (ink > max(_EDGE * full, 3 * noise)), np.clip(ink / full, 0, 1), 0)
    rows, columns = (np.flatnonzero((ink > _LIMIT).any(axis)) for axis in (1, 0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Strokes(ink[box].astype(np.float32), float(width))


def _principal_grey(pixels: Floats) -> Floats:
    """Reduce colours to the axis along which they differ most, so that red ink on green paper is seen too."""
    from scipy.ndimage import gaussian_filter

    if pixels.shape[2] == 1:
        return pixels[..., 0]
    side = max(pixels.shape[:2])
    details = pixels - gaussian_filter(pixels, (side / 8, side / 8, 0))
    axis = np.linalg.eigh(np.cov(details.reshape(-1, 3), rowvar=False))[1][:, -1]
    axis *= (np.sign(axis.sum()) or 1) / np.abs(axis).sum()
    # Negative weights make negative levels; shifted, they are levels again.
    return (pixels @ axis - 255 * np.minimum(axis, 0).sum()).astype(np.float32)


def _dark_on_light(grey: Floats) -> Floats:
    """Invert light strokes on a dark ground. Strokes are narrow and the ground is wide, whatever its light.

    Dark details of less than a width are what a closing by it adds, light ones what an opening takes. Small
    widths count most, because the inside of a loop is narrow too, but wider than the stroke around it.
    """
    from scipy.ndimage import grey_closing, grey_opening

    step = max(1, min(grey.shape) // _SKETCH_SIDE)
    rows, columns = (side // step for side in grey.shape)
    blocks = grey[: rows * step, : columns * step].reshape(rows, step, columns, step)
    sketch = blocks.mean((1, 3))
    balance = 0.0
    for window in _odd(_POLARITY_WINDOWS, sketch.shape):
        dark = np.mean(grey_closing(sketch, window, mode="nearest") - sketch)
        light = np.mean(sketch - grey_opening(sketch, window, mode="nearest"))
        balance += (dark - light) / window**2
    return grey if balance >= 0 else 255 - grey


def _ink(grey: Floats) -> tuple[Floats, float]:
    """Return the share of the ground's light that is missing at each pixel, and its grain's deviation."""
    from scipy.ndimage import gaussian_filter, grey_closing, median_filter

    smooth = gaussian_filter(grey, min(grey.shape) / 500)
    (window,) = _odd((_WIDEST_STROKE,), grey.shape)
    ground = grey_closing(smooth, window, mode="nearest")
    ink = (ground - smooth) / np.maximum(ground, _DARKEST_GROUND)
    ink -= np.median(ink)
    noise = 1.48 * float(np.median(np.abs(ink - median_filter(ink, 3))))
    return ink, noise


def _full_level(ink: Floats, noise: float) -> float:
    """Return how much ink a stroke's inside has; 0 where there is none."""
    from skimage.filters import threshold_otsu

    marks = ink[ink > max(_FAINTEST / 2, 3 * noise)]
    if not marks.size or marks.min() == marks.max():
        return float(marks.max(initial=0))
    return float(np.percentile(marks[marks > threshold_otsu(marks)], 75))


def _digit(dark: Mask) -> Mask | None:
    """Keep the digit's parts: no specks, nothing that reaches in from the border, nothing far from the rest."""
    from scipy.ndimage import find_objects, label

    parts, count = label(dark, np.ones((3, 3)))
    if not count:
        return None
    areas = np.bincount(parts.ravel())[1:]
    corners = np.array([[(s.start, s.stop) for s in box] for box in find_objects(parts)])  # part, axis, end
    sizes = (corners[..., 1] - corners[..., 0]).max(1)
    inside = ((corners[..., 0] > 0) & (corners[..., 1] < dark.shape)).all(1)
    if not (inside & (sizes >= _SMALLEST_DIGIT * min(dark.shape))).any():
        inside[:] = True
    main = int(np.argmax(np.where(inside, areas, 0)))
    # Between two boxes, along the axis where it is wider; negative where they overlap.
    gaps = np.maximum(corners[..., 0] - corners[main, :, 1], corners[main, :, 0] - corners[..., 1]).max(1)
    kept = inside & (areas >= _SPECK * areas[main]) & (gaps <= _GAP * sizes[main])
    return np.isin(parts, 1 + np.flatnonzero(kept))


def _odd(shares: tuple[float, ...], shape: tuple[int, ...]) -> list[int]:
    """Return shares of the shorter side as widths of windows, which have a middle pixel."""
    return [2 * max(1, round(share * min(shape) / 2)) + 1 for share in shares]
