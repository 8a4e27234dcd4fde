"""Whole numbers on a stack of bits: each from a mixture on its levels, found digit by digit.

A level 0 .. 255 is coded as up to five digits, each with a small table of frequencies that follows from the
mixture's distribution function at a few edges; 256 frequencies for each pixel would take twenty times longer.
First, where it is likely, comes "0 or not"; then two bits at a time, from the highest. With two levels the
first digit is all there is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from digitvae.codec.tables import MASS_BITS, REACH, STEPS, Floats

LEVELS = 256
# Frequencies of a digit add up to it: the precision of the entropy coder.
_TOTAL = 2.0**24
_SHIFTS = (6, 4, 2, 0)
# Numbers that a step of arithmetic takes at a time: as many as stay in a core's own cache.
_IN_CACHE = 1 << 14


class Distribution(Protocol):
    """Distributions of n independent whole numbers."""

    def below(self, edges: Floats) -> Floats:
        """Return the masses below edges (m, n) between levels, whole numbers (m, n) in units of `total`."""

    @property
    def total(self) -> Floats:
        """The whole masses, (n,)."""

    def taken(self, rows: npt.NDArray[np.int64]) -> Distribution:
        """Return the distributions of some of the numbers."""


class Mixture(NamedTuple):
    """Mixtures of K components for each of n numbers; the numbers lie beside one another in memory.

    Attributes:
        weights: whole numbers (K, n), or (1, 1) for one component.
        means: in levels, (K, n).
        inverse_scales: (K, n), or broadcastable.
        table: the components' standard distribution function.
    """

    weights: Floats
    means: Floats
    inverse_scales: Floats
    table: Floats

    @property
    def total(self) -> Floats:
        """The whole masses: sums of whole numbers, exact in any order."""
        return np.broadcast_to(self.weights.sum(axis=0) * 2.0**MASS_BITS, (self.means.shape[1],))

    def below(self, edges: Floats) -> Floats:
        """Return the masses below edges (m, n)."""
        components, count = self.means.shape
        mass = np.empty(edges.shape)
        step = max(1, _IN_CACHE // (components * len(edges)))
        for start in range(0, count, step):
            rows = slice(start, start + step)
            weights, means, inverse = (
                part[:, None, rows if part.shape[1] > 1 else slice(None)] for part in self[:3]
            )
            t = (edges[:, rows] - means) * inverse
            np.maximum(t, -REACH, out=t)
            np.minimum(t, REACH, out=t)
            t += REACH
            t *= STEPS
            np.rint(t, out=t)
            values = self.table.take(t.astype("intp"))
            values *= weights
            values.sum(axis=0, out=mass[:, rows])
        return mass

    def taken(self, rows: npt.NDArray[np.int64]) -> Mixture:
        """Return the mixtures of some of the numbers."""
        weights, means, inverse = (part[:, rows] if part.shape[1] > 1 else part for part in self[:3])
        # One number's means are (K, 1), as broadcastable arrays are.
        return Mixture(weights, np.broadcast_to(means, (len(means), len(rows))), inverse, self.table)


def import_coder() -> Any:
    """Return the module `constriction.stream`.

    Raises:
        ModuleNotFoundError: it is not installed; says how to do that.
    """
    try:
        from constriction import stream
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Expected constriction to be installed (pip install 'digitvae[codec]'). "
            f"Received: no module {error.name}",
            name=error.name,
        ) from None
    return stream


class Stack:
    """A stack of bits with numbers on it, by asymmetric numeral systems (Duda 2009).

    Args:
        words: what lies on the stack, uint32, the top last; the last one is not 0.

    Raises:
        ModuleNotFoundError: `constriction` is not installed.
    """

    def __init__(self, words: npt.NDArray[np.uint32]) -> None:
        stream = import_coder()
        self._coder = stream.stack.AnsCoder(np.ascontiguousarray(words, "uint32"))
        # Its frequencies are those asked for, one by one: they add up to its own total.
        self._family = stream.model.Categorical(perfect=False)

    def words(self) -> npt.NDArray[np.uint32]:
        """Return what lies on the stack."""
        return np.asarray(self._coder.get_compressed(), "uint32")

    def bits(self) -> int:
        """Return how much lies on the stack."""
        return int(self._coder.num_valid_bits())

    def push(self, numbers: npt.NDArray[np.int64], given: Distribution, levels: int, flag: bool) -> None:
        """Put numbers on the stack; `pop` with the same arguments takes them off again.

        Args:
            numbers: (n,), from 0 to levels - 1.
            given: their distributions.
            levels: 2 or 256.
            flag: whether "0 or not" comes first; always, with two levels.
        """
        digits = []

        def known(rows: np.ndarray, symbol: Callable[[np.ndarray], np.ndarray], frequencies: Floats):
            found = symbol(numbers[rows]).astype("int32")
            digits.append((found, frequencies))
            return found

        _walk(len(numbers), given, levels, flag, known)
        for symbols, frequencies in reversed(digits):
            self._coder.encode_reverse(symbols, self._family, frequencies)

    def pop(self, count: int, given: Distribution, levels: int, flag: bool) -> npt.NDArray[np.int64]:
        """Take numbers off the stack, int64 (count,)."""

        def read(rows: np.ndarray, symbol: Callable[[np.ndarray], np.ndarray], frequencies: Floats):
            return self._coder.decode(self._family, frequencies)

        return _walk(count, given, levels, flag, read)


def _walk(count: int, given: Distribution, levels: int, flag: bool, digit: Callable) -> npt.NDArray[np.int64]:
    """Go down the digits of all numbers together and return the numbers.

    Args:
        count: of numbers.
        given: their distributions.
        levels: 2 or 256.
        flag: whether "0 or not" comes first.
        digit: returns a digit of some rows, given how it follows from the numbers and its frequencies.
    """
    numbers = np.zeros(count, "int64")
    rows = np.arange(count)
    if not count:
        return numbers
    low, high = np.zeros(count), np.array(given.total)
    first = 0
    if flag or levels == 2:
        edge = given.below(np.full((1, count), 0.5))
        found = digit(rows, lambda n: n > 0, _frequencies(low, edge, high))
        if levels == 2:
            return found.astype("int64")
        rows = np.flatnonzero(found)
        given, low, high, first = given.taken(rows), edge[0, rows], high[rows], 1
    for shift in _SHIFTS:
        if not len(rows):
            break
        starts = numbers[rows] + (np.arange(1, 4) << shift)[:, None]
        edges = given.below(np.maximum(starts, first) - 0.5)
        frequencies = _frequencies(low, edges, high)
        found = digit(rows, lambda n, shift=shift: n >> shift & 3, frequencies)
        bounds = np.concatenate([low[None], edges, high[None]])
        every = np.arange(len(rows))
        low, high = bounds[found, every], bounds[found + 1, every]
        numbers[rows] += found.astype("int64") << shift
    return numbers


def _frequencies(low: Floats, edges: Floats, high: Floats) -> Floats:
    """Return the frequencies of a digit's values less one each, which the coder adds: none is impossible.

    Args:
        low: mass below the first value, (n,).
        edges: masses below the others, (m, n).
        high: mass below the end, (n,).

    Returns:
        Whole numbers (n, m + 1) that add up to 2^24 - (m + 1).
    """
    count = len(edges) + 1
    free = _TOTAL - count
    frequencies = np.empty((len(low), count))
    for start in range(0, len(low), _IN_CACHE):
        rows = slice(start, start + _IN_CACHE)
        width = high[rows] - low[rows]
        shares = (edges[:, rows] - low[rows]) / np.maximum(width, 1)
        # Where no mass is left at all, the values are alike.
        empty = width == 0
        if empty.any():
            shares[:, empty] = (np.arange(1, count) / count)[:, None]
        shares *= free
        np.floor(shares, out=shares)
        frequencies[rows, 0] = shares[0]
        frequencies[rows, 1:-1] = (shares[1:] - shares[:-1]).T
        frequencies[rows, -1] = free - shares[-1]
    return frequencies
