"""Numbers as people read them. Minus signs are ASCII hyphens here; the page replaces them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

Get = Callable[[str], Any]
"""Looks up a number by its path."""
Cell = Callable[[Get], str | None]
"""Writes the text of a cell, None where there is no number."""


def number(value: float | None, digits: int = 2) -> str | None:
    """Format with fixed decimals and thousands separators; None stays None."""
    if value is None:
        return None
    if not math.isfinite(value):
        return "infinite" if math.isinf(value) else "not a number"
    text = f"{value:,.{digits}f}"
    # A small negative number may have been rounded to -0.
    return text.removeprefix("-") if not text.strip("-0.,") else text


def significant(value: float | None) -> str | None:
    """Format with three significant digits, for numbers whose size is not known beforehand."""
    if value is None or not math.isfinite(value):
        return number(value)
    if value == 0:
        return "0"
    decimals = 2 - math.floor(math.log10(abs(value)))
    return f"{value:.2e}" if decimals > 6 else number(value, max(0, decimals))


def count(value: float | None) -> str | None:
    """Format a whole number."""
    return number(value, 0)


def share(value: float | None) -> str | None:
    """Format a share of 1 as a percentage."""
    return None if value is None else f"{number(100 * value, 1)}%"


def duration(seconds: float | None) -> str | None:
    """Format seconds as seconds, minutes or hours."""
    if seconds is None or not math.isfinite(seconds):
        return number(seconds)
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def with_interval(value: float | None, interval: Sequence[float] | None, digits: int = 2) -> str | None:
    """Format a value with its interval: as plus or minus if it is nearly symmetric, else as a range.

    Args:
        value: the estimate.
        interval: its lower and upper end, or None.
        digits: decimals.

    Returns:
        Such as "81.90 ± 0.35" or "81.90 (81.70 to 82.60)"; None without a value.
    """
    shown = number(value, digits)
    if value is None or interval is None or not all(map(math.isfinite, (value, *interval))):
        return shown
    below, above = value - min(interval), max(interval) - value
    step = 10.0**-digits
    if min(below, above) >= 0 and abs(below - above) <= max(1.5 * step, 0.1 * (below + above)):
        return f"{shown} ± {number(max(below, above, step), digits)}"
    return f"{shown} ({number(min(interval), digits)} to {number(max(interval), digits)})"


def negated(value: Any) -> Any:
    """Turn an ELBO, or its interval, into what is printed: its opposite."""
    if value is None:
        return None
    return [-end for end in reversed(value)] if isinstance(value, Sequence) else -value


def value(path: str, form: Callable[..., str | None] = number, *arguments: Any) -> Cell:
    """Write a number by a form and its further arguments."""
    return lambda get: form(get(path), *arguments)


def estimate(path: str, interval: str = "", k: str = "", digits: int = 2, opposite: bool = False) -> Cell:
    """Write an estimate with what belongs to it.

    Args:
        path: of the estimate.
        interval: path of its interval; by default `path` with `_interval` added.
        k: path of the number of draws, for what depends on it.
        digits: decimals.
        opposite: write its opposite, as of an ELBO.
    """

    def cell(get: Get) -> str | None:
        found, ends = get(path), get(interval or f"{path}_interval")
        if opposite:
            found, ends = negated(found), negated(ends)
        text = with_interval(found, ends, digits)
        return f"{text} (k={count(get(k)) or '?'})" if text and k else text

    return cell
