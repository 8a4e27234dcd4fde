"""The training curves of a run: -ELBO, reconstruction and KL, in nats per image, over the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from digitvae.figures.canvas import chart, note, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

WIDTH, HEIGHT = 10.0, 3.1  # inches
PANELS = (("elbo", "\N{MINUS SIGN}ELBO"), ("reconstruction", "Reconstruction"), ("kl", "KL"))
SERIES = (("", "training", "#8a96a3"), ("val_", "validation", "#0b62a4"))
LABEL_HEIGHT = 0.075  # height of a label, relative to that of a panel


def training_curves(history: Mapping[str, Sequence[float]], title: str = "Training") -> Figure:
    """Draw -ELBO, reconstruction and KL of training and validation, with their final values.

    Args:
        history: columns of equal length: `epoch`, `elbo`, `reconstruction`, `kl` and, if there was a
            validation set, `val_elbo`, `val_reconstruction`, `val_kl`, in nats per image. The negative ELBO
            is drawn. Values that are not finite are left out. Further columns are ignored.
        title: shown above the panels.

    Raises:
        ValueError: if a column is missing or has a different length, or there is no epoch.
    """
    missing = [key for key in ("epoch", *(key for key, _ in PANELS)) if key not in history]
    if missing:
        raise ValueError(f"Expected a history with the columns {missing}. Received: columns={list(history)}")
    epochs = np.asarray(history["epoch"], dtype=np.float64)
    if epochs.ndim != 1 or not epochs.size:
        raise ValueError(f"Expected a history of at least one epoch. Received: epoch={history['epoch']}")

    columns = {
        prefix + key: np.asarray(history[prefix + key], dtype=np.float64) * (-1 if key == "elbo" else 1)
        for key, _ in PANELS
        for prefix, *_ in SERIES
        if prefix + key in history
    }
    for name, values in columns.items():
        if values.shape != epochs.shape:
            raise ValueError(
                f"Expected {epochs.size} values in each column of the history. "
                f"Received: {name} of shape={values.shape}"
            )

    with style():
        from matplotlib.lines import Line2D

        # The legend is on the right of the title.
        figure, panels = chart(title, WIDTH, HEIGHT, len(PANELS), room=2.8)
        for axes, (key, name) in zip(panels, PANELS, strict=True):
            present = [
                (columns[prefix + key], colour) for prefix, _, colour in SERIES if prefix + key in columns
            ]
            _panel(axes, epochs, present)
            axes.set(title=name, xlabel="epoch")
        panels[0].set_ylabel("nats per image")
        handles = [
            Line2D([], [], color=colour, linewidth=2.0, label=name)
            for prefix, name, colour in SERIES
            if any(prefix + key in columns for key, _ in PANELS)
        ]
        legend = figure.legend(handles=handles, loc="upper right", ncols=2, borderaxespad=0.8)
        legend.set_in_layout(False)
    return figure


def _panel(axes: Axes, epochs: NDArray[np.float64], curves: list[tuple[NDArray[np.float64], str]]) -> None:
    """Draw one quantity: its curves and their final values."""
    from matplotlib.ticker import MaxNLocator

    ends: list[tuple[float, float, str]] = []
    for values, colour in curves:
        # The line skips missing values, so validation every few epochs still gives a curve.
        finite = np.isfinite(values)
        marker = "o" if epochs.size <= 20 else ""
        axes.plot(epochs[finite], values[finite], color=colour, marker=marker, markersize=3, linewidth=1.6)
        ends += [(*found, colour) for found in list(zip(epochs[finite], values[finite], strict=True))[-1:]]
    if not ends:
        axes.text(0.5, 0.5, "no finite value", transform=axes.transAxes, ha="center", va="center")
        axes.set_yticks([])
    first, last = epochs.min(), epochs.max()
    room = max(0.04 * (last - first), 0.5 if first == last else 0.0)
    axes.set_xlim(first - room, last + room)
    ticks = MaxNLocator(nbins=6, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1).tick_values(first, last)
    axes.set_xticks([tick for tick in ticks if first <= tick <= last])
    axes.margins(y=0.09)

    # The labels of two values that end close together are moved apart.
    bottom, top = axes.get_ylim()
    shift = [0.0] * len(ends)
    if len(ends) == 2 and ends[0][0] == ends[1][0]:
        gap = (ends[1][1] - ends[0][1]) / (top - bottom)
        push = max(0.0, LABEL_HEIGHT - abs(gap)) / 2
        shift = [-push, push] if gap > 0 else [push, -push]
    points_high = 72 * HEIGHT * 0.66  # approximate height of a panel
    for (epoch, value, colour), move in zip(ends, shift, strict=True):
        axes.plot([epoch], [value], color=colour, marker="o", markersize=4, clip_on=False)
        text = f"{value:,.2f}" if abs(value) < 1000 else f"{value:,.0f}"
        # To the right of a curve, or above a curve that ends early.
        place, side = ((7, move * points_high), "left") if epoch == last else ((0, 7), "center")
        note(axes, text, (epoch, value), place, side, "center_baseline", colour)
