"""What the measures accept: every message names the argument and says what came."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Images = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.int64]


def as_values(array: npt.ArrayLike, name: str, at_least: int = 2) -> Floats:
    """Check one number an image.

    Args:
        array: real, (n,).
        name: what error messages call it.
        at_least: the smallest n.

    Returns:
        float64 (n,), finite.

    Raises:
        ValueError: another shape, too few, or values that are not finite real numbers.
    """
    return _as_floats(array, name, 1, "(n,)", at_least)


def as_points(array: npt.ArrayLike, name: str, at_least: int = 1) -> Floats:
    """Check points, one a row.

    Args:
        array: real, (n, d).
        name: what error messages call it.
        at_least: the smallest n.

    Returns:
        float64 (n, d), finite.

    Raises:
        ValueError: another shape, too few, or values that are not finite real numbers.
    """
    return _as_floats(array, name, 2, "(n, d)", at_least)


def as_labels(array: npt.ArrayLike, count: int, name: str) -> Indices:
    """Check the labels of `count` points.

    Args:
        array: integers, (count,).
        count: how many points there are.
        name: what error messages call it.

    Returns:
        int64 (count,).

    Raises:
        ValueError: another shape or no integers.
    """
    labels = np.asarray(array)
    if labels.dtype.kind not in "ui" or labels.shape != (count,):
        raise ValueError(
            f"Expected {name} as {count} integers. Received: shape={labels.shape}, dtype={labels.dtype}"
        )
    return labels.astype(np.int64)


def as_images(array: npt.ArrayLike, name: str) -> Images:
    """Check images.

    Args:
        array: uint8 (n, height, width), at least one.
        name: what error messages call it.

    Returns:
        The same as an array.

    Raises:
        ValueError: another shape or dtype, or no pixel.
    """
    images = np.asarray(array)
    if images.dtype != np.uint8 or images.ndim != 3 or images.size == 0:
        raise ValueError(
            f"Expected {name} as uint8 (n, height, width), n at least 1. "
            f"Received: shape={images.shape}, dtype={images.dtype}"
        )
    return images


def check_same_width(first: Floats, second: Floats, names: str) -> None:
    """Refuse points of two spaces; `names` is what error messages call the pair."""
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"Expected {names} with as many columns each. Received: {first.shape[1]} and {second.shape[1]}"
        )


def check_same_size(first: Images, second: Images, names: str) -> None:
    """Refuse images of two sizes; `names` is what error messages call the pair."""
    if first.shape[1:] != second.shape[1:]:
        raise ValueError(
            f"Expected {names} of one size in pixels. Received: {first.shape[1:]} and {second.shape[1:]}"
        )


def check_count(value: int, low: int, high: int | None, name: str) -> None:
    """Refuse an integer below `low` or, where there is a bound, above `high`."""
    if value < low or (high is not None and value > high):
        wanted = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"Expected {name} {wanted}. Received: {name}={value}")


def _as_floats(array: npt.ArrayLike, name: str, ndim: int, shape: str, at_least: int) -> Floats:
    values = np.asarray(array)
    if values.dtype.kind not in "buif":
        raise ValueError(f"Expected {name} as real numbers. Received: dtype={values.dtype}")
    if values.ndim != ndim or 0 in values.shape[1:]:
        raise ValueError(f"Expected {name} of shape {shape}. Received: shape={values.shape}")
    if len(values) < at_least:
        raise ValueError(f"Expected at least {at_least} rows of {name}. Received: {len(values)}")
    numbers: Floats = values.astype(np.float64)
    finite = np.isfinite(numbers)
    if not finite.all():
        raise ValueError(
            f"Expected finite {name}. Received: {finite.size - finite.sum()} of {finite.size} NaN or infinite"
        )
    return numbers
