"""The numbers of one run or several as plain text."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterator, Sequence

from digitvae.report.entry import PROTOCOLS, ReportEntry
from digitvae.report.layout import Table
from digitvae.report.tables import tables

WIDTH = 100
_GAP = 2
_LONGEST_NAME = 28


def table(entries: Sequence[ReportEntry]) -> str:
    """Lay the numbers of runs out side by side, in lines of at most 100 columns where the names allow it.

    Args:
        entries: the runs, each a column; those of other protocols or data get tables in nats of their own.

    Returns:
        Lines without a final line break, sections parted by a blank line.

    Raises:
        ValueError: there are no runs.
    """
    if not entries:
        raise ValueError("Expected at least one run. Received: none")
    head = [
        f"{_plain(e.name)}: protocol {e.protocol} ({PROTOCOLS[e.protocol]}), {_plain(e.data_name)}"
        for e in entries
    ]
    sections = ["\n".join(head), *("\n".join(_lines(found)) for found in tables(entries))]
    return "\n\n".join(sections)


def _lines(found: Table) -> Iterator[str]:
    yield _plain(found.title.replace(" \N{EM DASH} ", ", "))
    labels = [f"  {row.label}" + (f" [{row.unit}]" if row.unit else "") for row in found.rows]
    first = max(map(len, labels))
    names = [_short(_plain(column.name)) for column in found.columns]
    widths = [
        max(len(part), *(len(row.cells[i] or "-") for row in found.rows))
        for i, part in enumerate(column.part for column in found.columns)
    ]
    # A run's columns stay together, and its name fits above them.
    runs: dict[int, list[int]] = {}
    for i, column in enumerate(found.columns):
        runs.setdefault(column.run, []).append(i)
    for members in runs.values():
        missing = len(names[members[0]]) - sum(widths[i] for i in members) - _GAP * (len(members) - 1)
        widths[members[0]] += max(0, missing)
    for number, block in enumerate(_blocks(list(runs.values()), widths, first)):
        if number:
            yield ""
        columns = [i for members in block for i in members]
        head = " " * first
        for members in block:
            room = sum(widths[i] for i in members) + _GAP * (len(members) - 1)
            head += " " * _GAP + names[members[0]].rjust(room)
        yield head
        if any(found.columns[i].part for i in columns):
            yield " " * first + "".join(" " * _GAP + found.columns[i].part.rjust(widths[i]) for i in columns)
        for label, row in zip(labels, found.rows, strict=True):
            cells = "".join(" " * _GAP + (row.cells[i] or "-").rjust(widths[i]) for i in columns)
            yield label.ljust(first) + cells
    yield from textwrap.wrap(found.note, WIDTH, initial_indent="  ", subsequent_indent="  ")


def _blocks(runs: list[list[int]], widths: list[int], first: int) -> list[list[list[int]]]:
    """Break the runs into blocks that fit the width, one run at least in each."""
    blocks: list[list[list[int]]] = [[]]
    used = first
    for members in runs:
        need = sum(widths[i] + _GAP for i in members)
        if blocks[-1] and used + need > WIDTH:
            blocks.append([])
            used = first
        blocks[-1].append(members)
        used += need
    return blocks


def _plain(text: str) -> str:
    """Replace control characters, which could move a terminal's cursor or change its colours."""
    return "".join("?" if unicodedata.category(letter)[0] == "C" else letter for letter in text)


def _short(name: str) -> str:
    """Cut a long name in its middle: beginnings and ends tell runs apart."""
    if len(name) <= _LONGEST_NAME:
        return name
    half = (_LONGEST_NAME - 3) // 2
    return f"{name[: _LONGEST_NAME - 3 - half]}...{name[-half:]}"
