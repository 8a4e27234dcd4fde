"""Small tables for notebooks, in HTML that loads nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def html_table(title: str, rows: Iterable[Sequence[object]], head: Sequence[object] = ()) -> str:
    """Lay rows out as an HTML table.

    Args:
        title: its caption.
        rows: the cells of each row; the first one says what the row is.
        head: names of the columns, if they need any.

    Returns:
        A `<table>` of text alone: all that could be markup in it is escaped.
    """
    lines = [f"<caption>{escape(title)}</caption>"]
    if head:
        lines.append(f"<tr>{''.join(f'<th>{escape(str(name))}</th>' for name in head)}</tr>")
    for first, *others in rows:
        cells = "".join(f"<td>{escape(str(cell))}</td>" for cell in others)
        lines.append(f"<tr><th>{escape(str(first))}</th>{cells}</tr>")
    return f"<table>{''.join(lines)}</table>"
