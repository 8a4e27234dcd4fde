"""Checks of the arguments of the metrics: every error names the argument and says what was received."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Images = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.int64]


def as_floats(array: npt.ArrayLike, name: str, ndim: int = 2, at_least: int = 1) -> Floats:
    """Check points, one per row, or with `ndim` 1 one number per image.

    Args:
        array: real, (n, d) or (n,).
        name: the argument's name in error messages.
        ndim: 2 or 1.
        at_least: the smallest n.

    Returns:
        A float64 copy, all of it finite.

    Raises:
        ValueError: another shape, too few rows, or values that are not finite real numbers.
    """
    values = np.asarray(array)
    if values.dtype.kind not in "buif":
        raise ValueError(f"Expected {name} as real numbers. Received: dtype={values.dtype}")
    if values.ndim != ndim or 0 in values.shape[1:]:
        shape = "(n, d)" if ndim == 2 else "(n,)"
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


def as_two_sets(
    a: npt.ArrayLike, b: npt.ArrayLike, names: tuple[str, str], at_least: int = 1
) -> tuple[Floats, Floats]:
    """Check two sets of points of one space, (n, d) and (m, d), as `as_floats` does."""
    first, second = as_floats(a, names[0], 2, at_least), as_floats(b, names[1], 2, at_least)
    check_equal(first.shape[1], second.shape[1], f"{' and '.join(names)} with the same number of columns")
    return first, second


def as_labels(array: npt.ArrayLike, count: int, name: str) -> Indices:
    """Return integer labels, (count,), as int64; raise a ValueError for anything else."""
    labels = np.asarray(array)
    if labels.dtype.kind not in "ui" or labels.shape != (count,):
        raise ValueError(
            f"Expected {name} as {count} integers. Received: shape={labels.shape}, dtype={labels.dtype}"
        )
    return labels.astype(np.int64)


def as_images(array: npt.ArrayLike, name: str) -> Images:
    """Return uint8 images, (n, height, width) with n at least 1; raise a ValueError for anything else."""
    images = np.asarray(array)
    if images.dtype != np.uint8 or images.ndim != 3 or images.size == 0:
        raise ValueError(
            f"Expected {name} as uint8 (n, height, width), n at least 1. "
            f"Received: shape={images.shape}, dtype={images.dtype}"
        )
    return images


def check_equal(first: object, second: object, expected: str) -> None:
    """Raise a ValueError where two shapes or counts differ; `expected` says what was compared."""
    if first != second:
        raise ValueError(f"Expected {expected}. Received: {first} and {second}")


def check_count(value: int, low: int, high: int | None, name: str) -> None:
    """Raise a ValueError for an integer below `low` or, unless that is None, above `high`."""
    if value < low or (high is not None and value > high):
        wanted = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"Expected {name} {wanted}. Received: {name}={value}")
