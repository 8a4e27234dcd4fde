"""Charts of an evaluation: likelihood against draws, use of the latents, maps of codes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from digitvae.figures.canvas import INK, MUTED, TITLE_SIZE, style, wrap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

WIDTH, HEIGHT = 5.8, 3.6  # inches
BLUE, GREY, ORANGE = "#0b62a4", "#8a96a3", "#b35900"
USED = 0.01
"""Nats of KL above which a latent counts as used."""

# Tol's "muted" colours and black: ten that colour-blind readers tell apart. Shapes help where colours repeat.
COLOURS = (
    "#332288", "#88ccee", "#44aa99", "#117733", "#999933",
    "#ddcc77", "#cc6677", "#882255", "#aa4499", "#000000",
)  # fmt: skip
SHAPES = "o^sDvP"


def nll_curve(
    k: ArrayLike, nll: ArrayLike, elbo: float | None = None, title: str = "The bound tightens with more draws"
) -> Figure:
    """Draw the importance-weighted bound against its number of draws.

    Args:
        k: `(points,)` numbers of draws, each at least 1 and larger than the one before.
        nll: `(points,)` in nats per image.
        elbo: in nats per image; its opposite is drawn as a line to compare with. None for no line.
        title: stands above the curve.

    Returns:
        The figure.

    Raises:
        ValueError: if the arrays do not fit together, are empty or not finite.
    """
    draws, values = _series(k, "k"), _series(nll, "nll")
    _check_same(draws, values, "k", "nll")
    if draws[0] < 1 or np.any(np.diff(draws) <= 0):
        raise ValueError(f"Expected increasing k, 1 or more. Received: k={draws.tolist()}")
    with style():
        figure, axes = _chart(title, "draws k (logarithmic)", "NLL, nats per image")
        axes.set_xscale("log")
        if elbo is not None and math.isfinite(elbo):
            axes.axhline(-elbo, color=GREY, linewidth=1.2, linestyle=(0, (5, 3)))
            _note(axes, f"\N{MINUS SIGN}ELBO {-elbo:,.2f}", (1.0, -elbo), axes.get_yaxis_transform(), MUTED)
        axes.plot(draws, values, color=BLUE, marker="o", markersize=4, linewidth=1.6)
        axes.annotate(
            f"{values[-1]:,.2f}",
            (draws[-1], values[-1]),
            (0, -6),
            textcoords="offset points",
            horizontalalignment="right",
            verticalalignment="top",
            color=BLUE,
        )
        axes.set_xlim(draws[0] / 1.25, draws[-1] * 1.25)
        # Ticks at the draws themselves, as far as their labels do not meet.
        ticks = [draws[-1]]
        for tick in draws[-2::-1]:
            if ticks[-1] / tick > (draws[-1] / draws[0]) ** 0.09:
                ticks.append(tick)
        axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
        axes.minorticks_off()
        axes.margins(y=0.16)
    return figure


def nats_per_latent(
    values: ArrayLike, quantity: str = "KL", title: str = "What each latent carries"
) -> Figure:
    """Draw the KL, or another quantity in nats, of each latent as bars, and mark where those in use end.

    Args:
        values: `(latents,)` nats, the mean over images, in any order; they are drawn sorted.
        quantity: what they are.
        title: stands above the bars.

    Returns:
        The figure.

    Raises:
        ValueError: if there are no values, or some are not finite.
    """
    nats = np.sort(_series(values, "values"))[::-1]
    used = int((nats > USED).sum())
    with style():
        figure, axes = _chart(title, "latents, the most used first", f"{quantity}, nats")
        axes.bar(
            np.arange(1, nats.size + 1),
            nats,
            width=0.8 if nats.size <= 100 else 1.0,
            color=[BLUE] * used + [GREY] * (nats.size - used),
        )
        axes.axvline(used + 0.5, color=ORANGE, linewidth=1.2, linestyle=(0, (5, 3)))
        label = f"{used} of {nats.size} above {USED} nats"
        # Beside the line, on the side where there is room.
        right = used < nats.size / 2
        axes.annotate(
            label,
            (used + 0.5, 1.0),
            (5 if right else -5, -4),
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
            horizontalalignment="left" if right else "right",
            verticalalignment="top",
            color=ORANGE,
            annotation_clip=False,
        )
        axes.set_xlim(0.25, nats.size + 0.75)
        low, high = min(0.0, float(nats.min())), max(float(nats.max()), 2 * USED)
        axes.set_ylim(low * 1.1, high * 1.16)  # the label stands above the bars
        _whole_ticks(axes)
    return figure


def rate_distortion(
    latents: ArrayLike,
    mse: ArrayLike,
    pca_mse: ArrayLike | None = None,
    title: str = "Error when only some latents are kept",
) -> Figure:
    """Draw the squared error against the number of latents that are kept.

    Args:
        latents: `(points,)` numbers of latents, each larger than the one before.
        mse: `(points,)` mean squared error per pixel of [0, 1].
        pca_mse: the same for as many principal components: `(points,)`, or one number for as many components
            as the last of `latents`. None for no comparison.
        title: stands above the curve.

    Returns:
        The figure.

    Raises:
        ValueError: if the arrays do not fit together, are empty or not finite.
    """
    kept, errors = _series(latents, "latents"), _series(mse, "mse")
    _check_same(kept, errors, "latents", "mse")
    if np.any(np.diff(kept) <= 0):
        raise ValueError(f"Expected increasing latents. Received: latents={kept.tolist()}")
    with style():
        figure, axes = _chart(title, "latents kept", "MSE per pixel")
        if pca_mse is not None:
            others = _series(np.atleast_1d(np.asarray(pca_mse, dtype=np.float64)), "pca_mse")
            if others.shape not in ((1,), kept.shape):
                raise ValueError(
                    f"Expected one pca_mse or {kept.size} of them. Received: pca_mse.shape={others.shape}"
                )
            axes.plot(
                kept[-others.size :],
                others,
                color=ORANGE,
                linestyle=(0, (5, 3)),
                marker="s",
                markersize=4,
                linewidth=1.4,
                label="as many principal components",
            )
        axes.plot(kept, errors, color=BLUE, marker="o", markersize=4, linewidth=1.6, label="latents")
        if pca_mse is not None:
            axes.legend(frameon=False)
        axes.set_ylim(bottom=0.0)
        _whole_ticks(axes)
    return figure


def latent_map(
    positions: ArrayLike, labels: ArrayLike | None = None, title: str = "Test images in the latent space"
) -> Figure:
    """Draw codes as points in a plane, coloured by label.

    Args:
        positions: `(n, 2)`, n >= 1.
        labels: `(n,)` integers; None without labels.
        title: stands above the plane.

    Returns:
        The figure.

    Raises:
        ValueError: if the arrays do not fit together, or positions are not finite.
    """
    points = np.asarray(positions, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points) or not np.isfinite(points).all():
        raise ValueError(f"Expected finite positions of shape (n, 2). Received: shape={points.shape}")
    names = None if labels is None else np.asarray(labels)
    if names is not None and names.shape != (len(points),):
        raise ValueError(f"Expected labels of shape ({len(points)},). Received: shape={names.shape}")
    size = float(np.clip(6000 / len(points), 4, 36))
    across, upward = np.ptp(points, axis=0)
    flatness = float(np.clip(upward / across, 0.5, 1.1)) if across > 0 else 1.0
    with style():
        from matplotlib.lines import Line2D

        figure, axes = _chart(title, "", "", height=WIDTH * flatness + 0.7)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.set(xticks=[], yticks=[])
        axes.set_aspect("equal", adjustable="datalim")
        if names is None:
            axes.scatter(points[:, 0], points[:, 1], s=size, color=BLUE, alpha=0.55, linewidths=0)
            return figure
        kinds = np.unique(names)
        colour = np.array([COLOURS[i % len(COLOURS)] for i in range(len(kinds))])
        shape = [SHAPES[i // len(COLOURS) % len(SHAPES)] for i in range(len(kinds))]
        kind = np.searchsorted(kinds, names)
        # In the order of the images, so that the last class does not cover the others.
        for marker in dict.fromkeys(shape):
            chosen = np.flatnonzero([shape[i] == marker for i in kind])
            axes.scatter(
                points[chosen, 0],
                points[chosen, 1],
                s=size,
                c=colour[kind[chosen]],
                marker=marker,
                alpha=0.75,
                linewidths=0,
            )
        handles = [
            Line2D([], [], linestyle="", marker=shape[i], color=colour[i], markersize=6, label=str(name))
            for i, name in enumerate(kinds)
        ]
        # Many classes would leave no room for the map; the first ones show how the others look.
        figure.legend(
            handles=handles[:40],
            loc="outside lower left",
            ncols=10,
            frameon=False,
            handletextpad=0.1,
            columnspacing=1.1,
        )
        # A name where most of its points are: the reader need not match colours.
        if len(kinds) <= len(COLOURS):
            for i, name in enumerate(kinds):
                x, y = np.median(points[kind == i], axis=0)
                axes.text(
                    x,
                    y,
                    str(name),
                    fontsize=TITLE_SIZE,
                    fontweight="bold",
                    color=INK,
                    horizontalalignment="center",
                    verticalalignment="center",
                    parse_math=False,
                    path_effects=_halo(),
                )
    return figure


def _chart(title: str, across: str, upward: str, height: float = HEIGHT) -> tuple[Figure, Axes]:
    """Make a figure with one pair of axes in the common style."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    lines = wrap(title, TITLE_SIZE, WIDTH - 0.4)
    figure = Figure(
        figsize=(WIDTH, height + max(0, len(lines) - 1) * TITLE_SIZE * 1.25 / 72),
        layout=ConstrainedLayoutEngine(w_pad=0.14, h_pad=0.12),
    )
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_xlabel(across)
    axes.set_ylabel(upward)
    axes.grid(axis="y", color="#e6e9ed", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    figure.suptitle("\n".join(lines) or " ", x=0.14 / WIDTH, ha="left", fontsize=TITLE_SIZE, parse_math=False)
    return figure, axes


def _whole_ticks(axes: Axes) -> None:
    """Count along the horizontal axis."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))


def _note(axes: Axes, text: str, at: tuple[float, float], transform: object, colour: str) -> None:
    """Write above a line, at its right end."""
    axes.annotate(
        text,
        at,
        (-2, 3),
        xycoords=transform,  # type: ignore[arg-type]
        textcoords="offset points",
        horizontalalignment="right",
        verticalalignment="bottom",
        color=colour,
    )


def _halo() -> list:
    """Surround letters with white, so that they can be read on points."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=3, foreground="white")]


def _series(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """Check a row of numbers."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise ValueError(f"Expected a row of finite {name}. Received: {name} of shape={array.shape}")
    return array


def _check_same(first: NDArray[np.float64], second: NDArray[np.float64], name_a: str, name_b: str) -> None:
    if first.shape != second.shape:
        raise ValueError(
            f"Expected as many {name_a} as {name_b}. "
            f"Received: {name_a}.shape={first.shape}, {name_b}.shape={second.shape}"
        )
