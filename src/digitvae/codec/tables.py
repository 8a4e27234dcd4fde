"""Tables of functions, in whole numbers that are the same on every machine.

Files can be read only if every number is the same wherever they are read. Libraries' exponential functions
differ in the last bit between processors and versions; IEEE 754 fixes +, -, x and / to the last bit. So the
exponential function is made of these, element by element, and all else of it.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

MASS_BITS = 24
"""Distribution functions count in units of 2^-24."""
STEPS = 1024
"""Entries of a distribution function for each unit of its argument."""
REACH = 16
"""Beyond +-16 a standard distribution function is 0 or 1."""

WEIGHT_BITS = 16
"""The largest component of a mixture weighs 2^16."""
LOGIT_STEPS = 256
"""Steps of a logit, or of a raw scale, for each unit."""


def exponential(x: npt.ArrayLike) -> Floats:
    """Return exp(x) for |x| <= 600, to 12 digits and alike on every machine."""
    # exp(x) = exp(x / 2^16)^(2^16); for so small an argument seven terms of the series are exact.
    small = np.asarray(x, "float64") / 65536
    result = np.ones_like(small)
    for term in range(7, 0, -1):
        result = 1 + small * result / term
    for _ in range(16):
        result = result * result
    return result


def tanh(x: npt.ArrayLike) -> Floats:
    """Return tanh(x) for |x| <= 300, alike on every machine."""
    squared = exponential(2 * np.asarray(x, "float64"))
    return (squared - 1) / (squared + 1)


def _arguments() -> Floats:
    return np.arange(-REACH * STEPS, REACH * STEPS + 1) / STEPS


@cache
def logistic() -> Floats:
    """Return 2^24 / (1 + exp(-t)), rounded, for t = -16 .. 16 in steps of 1/1024; whole numbers."""
    return np.rint(2.0**MASS_BITS / (1 + exponential(-_arguments())))


@cache
def normal() -> Floats:
    """Return 2^24 Phi(t), rounded, for t = -16 .. 16 in steps of 1/1024; whole numbers."""
    t = _arguments()
    # The integral of exp(-t^2 / 2) by Simpson's rule, in whole numbers, whose sums are exact.
    middle = t[:-1] + 0.5 / STEPS
    ends, middles = (exponential(-x * x / 2) for x in (t, middle))
    parts = np.rint(2.0**40 * (ends[:-1] + 4 * middles + ends[1:]) / 6).astype("int64")
    sums = np.concatenate([[0], np.cumsum(parts)])
    return np.rint(2.0**MASS_BITS * (sums / sums[-1]))


@cache
def weights() -> Floats:
    """Return 2^16 exp(-i / 256), rounded, for i = 0, 1, ...; the last entry is 0."""
    return np.rint(2.0**WEIGHT_BITS * exponential(-np.arange(13 * LOGIT_STEPS) / LOGIT_STEPS))


@cache
def inverse_scales(shift: float, bound: float) -> Floats:
    """Return exp(-(shift + bound tanh(r / bound))) for the raw scale r = -32 .. 32 in steps of 1/256.

    Args:
        shift: log-scale at r = 0.
        bound: how far the log-scale can move from there.
    """
    raw = np.arange(-32 * LOGIT_STEPS, 32 * LOGIT_STEPS + 1) / LOGIT_STEPS
    return exponential(-(shift + bound * tanh(raw / bound)))


@cache
def inverse_plain_scales() -> Floats:
    """Return exp(-r) for the log-scale r = -32 .. 32 in steps of 1/256."""
    return exponential(-np.arange(-32 * LOGIT_STEPS, 32 * LOGIT_STEPS + 1) / LOGIT_STEPS)


def looked_up(table: Floats, number: np.ndarray) -> Floats:
    """Return the entries of a table whose middle is for 0, for whole numbers; its ends reach outward."""
    middle = len(table) // 2
    return table.take(np.clip(number + middle, 0, 2 * middle).astype("intp"))
