"""Numbers rounded for the download: whole numbers of 8 or 16 bits, and a scale for each row.

In as many bits these are nearer to weights than float16, which spends five on an exponent that hardly differs
within a row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def rounded(array: np.ndarray, kind: str) -> bytes:
    """Return the scale of each row (float32), then the array as multiples of these.

    Args:
        array: float32; rows are along its first axis, an array of one axis is one row.
        kind: of the whole numbers, `i1` or `i2`; little-endian.

    Raises:
        ValueError: a number that is not finite.
    """
    rows = array.reshape(_rows(array.shape), -1)
    if not np.isfinite(rows).all():
        raise ValueError("Expected finite weights. Received: some that are not")
    most = np.iinfo(kind).max
    scales = (np.abs(rows).max(axis=1, keepdims=True) / most).astype("<f4")
    whole = np.round(rows / np.where(scales > 0, scales, 1))
    return scales.tobytes() + np.clip(whole, -most, most).astype(f"<{kind}").tobytes()


def widened(content: bytes, kind: str, shape: Sequence[int], offset: int = 0) -> np.ndarray:
    """Return the array, float32, of what `rounded` wrote at an offset."""
    rows = _rows(shape)
    scales = np.frombuffer(content, "<f4", rows, offset)
    whole = np.frombuffer(content, f"<{kind}", math.prod(shape), offset + 4 * rows)
    return (scales[:, None] * whole.reshape(rows, -1).astype("float32")).reshape(shape)


def _rows(shape: Sequence[int]) -> int:
    return shape[0] if len(shape) > 1 else 1
