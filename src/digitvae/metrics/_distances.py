"""Squared Euclidean distances between many points, in blocks that take little memory."""

from __future__ import annotations

from collections.abc import Iterator

from digitvae.metrics._checks import Floats

_ENTRIES = 1 << 22  # distances per block, 32 MB: large enough for full speed


def distance_blocks(a: Floats, b: Floats) -> Iterator[tuple[slice, Floats]]:
    """Yield slices of the rows of `a`, (n, d), with their squared distances to all rows of `b`, (m, d).

    They are computed as |a|^2 + |b|^2 - 2 a.b, which loses digits for points far from the origin: centre
    these first.
    """
    from sklearn.metrics.pairwise import euclidean_distances
    from sklearn.utils import gen_batches

    for rows in gen_batches(len(a), max(1, _ENTRIES // len(b))):
        yield rows, euclidean_distances(a[rows], b, squared=True)
