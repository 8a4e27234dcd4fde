"""The parts of a report's tables, and the texts of their cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from digitvae.report.entry import ReportEntry
from digitvae.report.formats import count, negated, number, with_interval

Numbered = tuple[int, ReportEntry]
"""A run and its place in the report: two runs may have the same name."""
Get = Callable[[str], Any]
"""Looks up a number of one column by its path."""
Cell = Callable[[Get], str | None]
"""Writes the text of a cell, None where the column has no such number."""
Line = tuple[str, str, str, Cell]
"""A row before its columns are known: what it is, its unit, how to read it, its cells."""


class Column(NamedTuple):
    """A column of numbers: the place of its run in the report, the run's name, which part of its numbers."""

    run: int
    name: str
    part: str = ""


class Row(NamedTuple):
    """A row of a table: what it is, a text per column or None, the unit of its numbers, how to read it."""

    label: str
    cells: tuple[str | None, ...]
    unit: str = ""
    hint: str = ""


class Table(NamedTuple):
    """A table, with a note below it."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str = ""


def build(title: str, columns: Sequence[tuple[Column, Get]], lines: Iterable[Line], note: str = "") -> Table:
    """Make a table from its columns and lines; rows without any number are left out."""
    rows = [
        Row(label, tuple(cell(get) for _, get in columns), unit, hint) for label, unit, hint, cell in lines
    ]
    return Table(
        title,
        tuple(column for column, _ in columns),
        tuple(row for row in rows if any(text is not None for text in row.cells)),
        note,
    )


def value(path: str, form: Callable[[Any], str | None] = number) -> Cell:
    """Write a number as a form does."""
    return lambda get: form(get(path))


def fixed(path: str, digits: int) -> Cell:
    """Write a number with so many decimals."""
    return lambda get: number(get(path), digits)


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


def grouped(
    entries: Iterable[Numbered], key: Callable[[ReportEntry], Any]
) -> list[tuple[Any, list[Numbered]]]:
    """Collect the entries with the same key, in the order in which keys come first."""
    groups: dict[Any, list[Numbered]] = {}
    for i, entry in entries:
        groups.setdefault(key(entry), []).append((i, entry))
    return list(groups.items())
