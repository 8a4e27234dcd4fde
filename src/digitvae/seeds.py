"""Independent random streams: every use of a seed draws from a named child of it."""

from __future__ import annotations

import zlib

import numpy as np


def sequence(seed: int, *path: str | int) -> np.random.SeedSequence:
    """Return the child of a seed that a path names.

    Children with different paths, or of different seeds, are independent (NumPy's SeedSequence hashes all of
    it); the same path always gives the same child.

    Args:
        seed: from 0.
        path: names of uses ("pixels") and numbers of parts (an epoch, a coupling), both from 0.
    """
    key = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in path]
    return np.random.SeedSequence(seed, spawn_key=key)


def stream(seed: int, *path: str | int) -> np.random.Generator:
    """Return the generator of a child of a seed; arguments as in `sequence`."""
    return np.random.default_rng(sequence(seed, *path))


def integer(seed: int, *path: str | int) -> int:
    """Return a seed below 2**31 for a library that takes only a number; arguments as in `sequence`."""
    return int(sequence(seed, *path).generate_state(1)[0] >> 1)


def image_streams(seed: int, indices: np.ndarray, purpose: int = 0) -> list[np.random.Generator]:
    """Return the random streams of images.

    Args:
        seed: seed of all noise.
        indices: positions of the images in their data set.
        purpose: streams of different purposes do not overlap.
    """
    # The highest word of the counter: 2 ** 192 blocks of random numbers lie between two purposes.
    counter = [0, 0, 0, purpose]
    return [np.random.Generator(np.random.Philox(counter=counter, key=[seed, int(i)])) for i in indices]
