"""Shared by all figures: loading Matplotlib, the style, empty charts, and the size of text."""

from __future__ import annotations

import math
import os
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

INK = "#1f2933"  # titles
MUTED = "#66727f"  # labels, ticks
TITLE_SIZE, LABEL_SIZE = 13.0, 9.0  # points
PAD = 0.14  # inches of white around everything

# At 100, 150 and 200 dpi a fiftieth of an inch is 2, 3 and 4 dots: image pixels stay squares of equal size.
GRID = 1 / 50
FONT = "DejaVu Sans"  # comes with Matplotlib, so the pictures look alike everywhere

_STYLE: dict[str, Any] = {
    "font.family": [FONT],
    "font.size": LABEL_SIZE,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.labelsize": LABEL_SIZE,
    "axes.edgecolor": "#b4bcc6",
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "scatter.edgecolors": "none",
    "legend.frameon": False,
    "grid.color": "#e6e9ed",
    "grid.linewidth": 0.7,
    "axes.titlecolor": INK,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "xtick.color": "#b4bcc6",
    "ytick.color": "#b4bcc6",
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": LABEL_SIZE,
    "ytick.labelsize": LABEL_SIZE,
    "figure.facecolor": "white",
    "figure.dpi": 100.0,
}


def load_matplotlib() -> None:
    """Import Matplotlib, even if the variable MPLBACKEND names an unknown backend.

    Matplotlib checks MPLBACKEND during its import and fails on an unknown name. A PNG needs no backend, so
    such a name is replaced by "agg". Keras imports Matplotlib too and fails in the same way, unless this
    function was called before.
    """
    if "matplotlib" in sys.modules:
        return
    wanted = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if wanted is not None:
            os.environ["MPLBACKEND"] = wanted
    if wanted:
        try:
            matplotlib.rcParams["backend"] = wanted
        except ValueError:
            matplotlib.rcParams["backend"] = "agg"


@contextmanager
def style() -> Iterator[None]:
    """Apply the style of these figures instead of the user's settings, and restore these afterwards."""
    load_matplotlib()
    import matplotlib.style

    with matplotlib.style.context(["default", _STYLE]):
        yield


def chart(
    title: str, width: float, height: float, panels: int = 1, room: float = 0.4
) -> tuple[Figure, list[Axes]]:
    """Make a figure of charts side by side, below a title.

    Args:
        title: wrapped if it is too long; the figure grows by the lines after the first.
        width: of the figure, in inches.
        height: of the figure with a one-line title, in inches.
        panels: number of charts.
        room: inches that the title leaves free on its right.

    Returns:
        The figure and the axes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    lines = wrap(title, TITLE_SIZE, width - room)
    figure = Figure(
        figsize=(width, height + max(0, len(lines) - 1) * TITLE_SIZE * 1.25 / 72),
        layout=ConstrainedLayoutEngine(w_pad=PAD, h_pad=0.1),
    )
    FigureCanvasAgg(figure)
    figure.suptitle("\n".join(lines) or " ", x=PAD / width, ha="left", fontsize=TITLE_SIZE, parse_math=False)
    return figure, list(figure.subplots(1, panels, squeeze=False)[0])


def note(
    axes: Axes,
    text: str,
    at: tuple[float, float],
    offset: tuple[float, float],
    ha: str,
    va: str,
    colour: str,
    transform: Any = "data",
) -> Annotation:
    """Write text at a position, moved by an offset in points; it may extend beyond the axes."""
    written = axes.annotate(text, at, offset, textcoords="offset points", xycoords=transform, color=colour)
    written.set(horizontalalignment=ha, verticalalignment=va, annotation_clip=False)
    return written


def text_width(text: str, size: float) -> float:
    """Measure a line of text.

    Args:
        text: one line.
        size: font size in points.

    Returns:
        Its width in inches, slightly overestimated.
    """
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=FONT, size=size)
    points = text_to_path.get_text_width_height_descent(text, font, ismath=False)[0] if text else 0.0
    return 1.03 * float(points) / 72  # at few dots per inch, the widths of letters are rounded up


def wrap(text: str, size: float, width: float) -> list[str]:
    """Wrap text into lines that fit a width.

    Args:
        text: any text; its line breaks are kept.
        size: font size in points.
        width: available width in inches.

    Returns:
        The lines; none for a blank text.
    """
    lines: list[str] = []
    for paragraph in text.strip().splitlines():
        letters = max(1, len(paragraph))
        pieces = [paragraph]
        while letters > 1 and any(text_width(piece, size) > width for piece in pieces):
            letters -= 1
            pieces = textwrap.wrap(paragraph, letters)
        lines += pieces
    return lines


def snap(inches: float) -> float:
    """Round a length in inches up to whole dots, so that whatever follows it starts on a dot."""
    return math.ceil(inches / GRID - 1e-6) * GRID
