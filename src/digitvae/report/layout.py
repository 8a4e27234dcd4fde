"""What a table of a report is made of."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any

from digitvae.report.entry import ReportEntry

Numbered = tuple[int, ReportEntry]
"""A run and its place in the report: two runs may have the same name."""


@dataclass(frozen=True)
class Column:
    """A column of numbers.

    Attributes:
        run: the place of its run in the report, from 0.
        name: of the run.
        part: which numbers of the run, where it has several columns.
    """

    run: int
    name: str
    part: str = ""


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        label: what it is.
        cells: a text for each column, None where there is no number.
        unit: of the numbers.
        hint: how to read them.
    """

    label: str
    cells: tuple[str | None, ...]
    unit: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Table:
    """A table, with a note below it."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str = ""


def grouped(
    entries: Iterable[Numbered], key: Callable[[ReportEntry], Any]
) -> list[tuple[Any, list[Numbered]]]:
    """Collect the entries with the same key, in the order in which keys come first."""
    groups: dict[Hashable, list[Numbered]] = {}
    for i, entry in entries:
        groups.setdefault(key(entry), []).append((i, entry))
    return list(groups.items())


def build(
    title: str, group: list[Numbered], rows: list[tuple[str, str, str, list[str | None]]], note: str = ""
) -> Table:
    """Put a table of one column a run together; rows are (label, unit, hint, cells)."""
    return Table(
        title,
        tuple(Column(i, entry.name) for i, entry in group),
        tuple(
            Row(label, tuple(cells), unit, hint)
            for label, unit, hint, cells in rows
            if any(cell is not None for cell in cells)
        ),
        note,
    )


def each(group: list[Numbered], cell: Callable[[ReportEntry], str | None]) -> list[str | None]:
    """Make a cell of each run."""
    return [cell(entry) for _, entry in group]


def plain(path: str, form: Callable[[Any], str | None]) -> Callable[[ReportEntry], str | None]:
    """Make cells of a part of the evaluation, as a form writes it."""
    return lambda entry: form(entry.get(path))
