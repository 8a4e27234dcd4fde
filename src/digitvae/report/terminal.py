"""The numbers of one run or several as plain text."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import accumulate, groupby

from digitvae.report.entry import PROTOCOLS, ReportEntry
from digitvae.report.tables import Table, tables

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
    panels = []
    for _, members in groupby(range(len(found.columns)), lambda i: found.columns[i].run):
        panels.append(_panel(found, list(members)))
    while panels:
        # As many runs side by side as fit the width, one at least.
        widths = list(accumulate(((_GAP + len(panel[0])) for panel in panels), initial=first))
        fitting = max(1, sum(width <= WIDTH for width in widths[1:]))
        for texts in zip(["", "", *labels], *panels[:fitting], strict=True):
            if any(map(str.strip, texts)):  # most tables have no parts
                yield texts[0].ljust(first) + "".join(" " * _GAP + text for text in texts[1:])
        del panels[:fitting]
        if panels:
            yield ""
    yield from textwrap.wrap(found.note, WIDTH, initial_indent="  ", subsequent_indent="  ")


def _panel(found: Table, members: list[int]) -> list[str]:
    """Lay out the columns of one run: its name, their parts and their cells, in lines of equal length."""
    columns = [[found.columns[i].part, *(row.cells[i] or "-" for row in found.rows)] for i in members]
    widths = [max(map(len, column)) for column in columns]
    gap = " " * _GAP
    lines = [gap.join(map(str.rjust, texts, widths)) for texts in zip(*columns, strict=True)]
    name = _short(_plain(found.columns[members[0]].name))
    return [line.rjust(max(len(name), len(lines[0]))) for line in (name, *lines)]


def _plain(text: str) -> str:
    """Replace control characters, which could move a terminal's cursor or change its colours."""
    return "".join("?" if unicodedata.category(letter)[0] == "C" else letter for letter in text)


def _short(name: str) -> str:
    """Cut a long name in its middle: beginnings and ends tell runs apart."""
    if len(name) <= _LONGEST_NAME:
        return name
    half = (_LONGEST_NAME - 3) // 2
    return f"{name[: _LONGEST_NAME - 3 - half]}...{name[-half:]}"
