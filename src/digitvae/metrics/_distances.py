"""Euclidean distances between many points, a block at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from digitvae.metrics._checks import Floats

# A block of distances has about this many entries, 32 MB: large enough for full speed, small beside the data.
_ENTRIES = 1 << 22


def slices(count: int, step: int) -> Iterator[slice]:
    """Yield slices of at most `step` that cover 0 to `count`."""
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def row_blocks(rows: int, columns: int) -> Iterator[slice]:
    """Yield slices of the rows, such that a block of them with all columns takes little memory."""
    return slices(rows, max(1, _ENTRIES // columns))


def squared_distances(a: Floats, b: Floats) -> Floats:
    """Return |a_i - b_j|^2 through one matrix product, (n, m) for a (n, d) and b (m, d).

    The product cancels digits where the points lie far from the origin: centre them first. For integers it is
    exact.
    """
    # |a - b|^2 = |a|^2 + |b|^2 - 2 a.b
    squares: Floats = a @ b.T
    squares *= -2
    squares += np.einsum("nd,nd->n", a, a)[:, None]
    squares += np.einsum("nd,nd->n", b, b)
    return np.maximum(squares, 0, out=squares)
