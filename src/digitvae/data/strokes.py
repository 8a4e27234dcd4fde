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
_SKETCH_SIDE = 128  # pixels; enough to compare colours and widths
_POLARITY_WINDOWS = (0.02, 0.04, 0.08, 0.16, 0.32)
_SMALLEST_DIGIT = 0.12  # a digit inside the picture is at least that long, or touches the border

_DARKEST_GROUND = 48.0  # grey level; below it a ratio of two levels says nothing about ink
_FAINTEST = 0.08  # of the light that the ground reflects; paper and JPEG alone stay below half of it
_CLEAREST_NOISE = 5.0  # standard deviations of the grain; random pixels differ by less from their neighbours
_UNEVEN = 0.1  # of the contrast: how much the ground of a drawing may differ
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

    The ground is what a morphological closing leaves: it follows slopes and edges of light, and fills what
    is narrow. Ink is the share of the ground's light that is missing, so a shadow does not change it.

    Args:
        pixels: float32 (height, width, channels), 0..255, one or three channels.

    Returns:
        The strokes, or None for a picture without any.
    """
    from scipy.ndimage import distance_transform_edt
    from skimage.morphology import skeletonize

    grey = _dark_on_light(_principal_grey(pixels))
    found = _find(grey)
    if found is None or not found.inside:
        # Cropped as tightly as that, strokes look like the ground; within a frame they do not.
        ground = _even_ground(grey)
        if ground is not None:
            found = _find(np.pad(grey, min(grey.shape) // 2 + 1, constant_values=ground)) or found
    if found is None:
        return None
    ink, core = found.ink, found.core
    length = max(1, skeletonize(core).sum())
    # Soft edges belong to the strokes, but not the lines of the paper that they meet.
    near = distance_transform_edt(~core) <= max(1.5, core.sum() / length / 2)
    ink = np.where(near & (ink > _EDGE), np.minimum(ink, 1), 0).astype(np.float32)
    return Strokes(cropped(ink), float(ink.sum() / length))


def cropped(ink: Floats) -> Floats:
    """Cut off all around what is fainter than an edge."""
    rows, columns = (np.flatnonzero((ink > _LIMIT).any(axis)) for axis in (1, 0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


class _Found(NamedTuple):
    ink: Floats
    """1 where a stroke is full, of the whole picture."""
    core: Mask
    """The digit's strokes up to half of that."""
    inside: bool
    """Whether they stay clear of the border."""


def _find(grey: Floats) -> _Found | None:
    ink, noise = _ink(grey)
    full = _full_level(ink, noise)
    if full < max(_FAINTEST, _CLEAREST_NOISE * noise):
        return None
    return _digit(ink / full)


def _even_ground(grey: Floats) -> float | None:
    """Return the level of a ground that is as even as in a drawing, None for any other."""
    from skimage.filters import threshold_otsu

    if np.ptp(grey) < 255 * _FAINTEST:
        return None
    light = grey > threshold_otsu(grey)
    low, ground, high = np.percentile(grey[light], (25, 50, 75))
    return float(ground) if high - low <= _UNEVEN * (ground - np.median(grey[~light])) else None


def _principal_grey(pixels: Floats) -> Floats:
    """Reduce colours to the axis along which they differ most, so that red ink on green paper is seen too."""
    from scipy.ndimage import gaussian_filter

    if pixels.shape[2] == 1:
        return pixels[..., 0]
    sketch = _sketch(pixels)
    blur = min(sketch.shape[:2]) / 8
    details = sketch - gaussian_filter(sketch, (blur, blur, 0))
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

    sketch = _sketch(grey[..., None])[..., 0]
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
    # Padded, because a filter that extends what it dilated lifts the dark end of a slope.
    closed = grey_closing(np.pad(smooth, window, "edge"), window)[window:-window, window:-window]
    ground = np.maximum(closed, _DARKEST_GROUND)
    ink = (closed - smooth) / ground
    ink -= np.percentile(ink, 25)
    noise = 1.48 * float(np.median(np.abs(grey - median_filter(grey, 3)) / ground))
    return ink, noise


def _full_level(ink: Floats, noise: float) -> float:
    """Return how much ink a stroke's inside has; 0 where there is none."""
    from skimage.filters import threshold_otsu

    marks = ink[ink > max(_FAINTEST / 2, 3 * noise)]
    if not marks.size or np.ptp(marks) < _FAINTEST / 2:
        return float(marks.max(initial=0))
    return float(np.percentile(marks[marks > threshold_otsu(marks)], 75))


def _digit(ink: Floats) -> _Found | None:
    """Keep the digit's parts: no specks, nothing that comes in from the border, nothing far from the rest."""
    from scipy.ndimage import find_objects, label

    parts, count = label(ink > 0.5, np.ones((3, 3)))
    if not count:
        return None
    areas = np.bincount(parts.ravel())[1:]
    boxes = np.array([[(s.start, s.stop) for s in box] for box in find_objects(parts)])  # part, axis, end
    starts, stops = boxes[..., 0], boxes[..., 1]
    sizes = (stops - starts).max(1)
    clear = ((starts > 0) & (stops < ink.shape)).all(1)
    inside = bool((clear & (sizes >= _SMALLEST_DIGIT * min(ink.shape))).any())
    chosen = clear if inside else np.ones(count, np.bool_)
    main = int(np.argmax(np.where(chosen, areas, 0)))
    # Between two boxes, along the axis where it is wider; negative where they overlap.
    gaps = np.maximum(starts - stops[main], starts[main] - stops).max(1)
    kept = chosen & (areas >= _SPECK * areas[main]) & (gaps <= _GAP * sizes[main])
    return _Found(ink, np.isin(parts, 1 + np.flatnonzero(kept)), inside)


def _sketch(pixels: Floats) -> Floats:
    """Return means over square blocks of pixels, few of them; (rows, columns, channels)."""
    step = max(1, min(pixels.shape[:2]) // _SKETCH_SIDE)
    rows, columns = (side // step for side in pixels.shape[:2])
    return pixels[: rows * step, : columns * step].reshape(rows, step, columns, step, -1).mean((1, 3))


def _odd(shares: tuple[float, ...], shape: tuple[int, ...]) -> list[int]:
    """Return shares of the shorter side as widths of windows, which have a middle pixel."""
    return [2 * max(1, round(share * min(shape) / 2)) + 1 for share in shares]
