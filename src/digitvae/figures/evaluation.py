"""Charts of an evaluation: likelihood against draws, use of the latents, maps of the latent space."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from digitvae.figures.canvas import INK, MUTED, TITLE_SIZE, chart, note, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

WIDTH, HEIGHT = 5.8, 3.6  # inches
BLUE, GREY, ORANGE = "#0b62a4", "#8a96a3", "#b35900"
DASHES = (0, (5, 3))
USED = 0.01
"""Nats of KL above which a latent counts as used."""

# Tol's "muted" colours and black: ten that colour-blind readers tell apart. Shapes help if colours repeat.
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
        elbo: in nats per image; -elbo is drawn as a line for comparison. None for no line.
        title: shown above the curve.

    Raises:
        ValueError: if the arrays do not fit together, are empty or not finite.
    """
    draws, values = _curve("k", k, "nll", nll)
    if draws[0] < 1:
        raise ValueError(f"Expected k of 1 or more. Received: k={draws.tolist()}")
    with style():
        figure, [axes] = chart(title, WIDTH, HEIGHT)
        axes.set(xlabel="draws k (logarithmic)", ylabel="NLL, nats per image", xscale="log")
        if elbo is not None and math.isfinite(elbo):
            axes.axhline(-elbo, color=GREY, linewidth=1.2, linestyle=DASHES)
            text, right = f"\N{MINUS SIGN}ELBO {-elbo:,.2f}", axes.get_yaxis_transform()
            note(axes, text, (1.0, -elbo), (-2, 3), "right", "bottom", MUTED, right)
        axes.plot(draws, values, color=BLUE, marker="o", markersize=4, linewidth=1.6)
        note(axes, f"{values[-1]:,.2f}", (draws[-1], values[-1]), (0, -6), "right", "top", BLUE)
        axes.set_xlim(draws[0] / 1.25, draws[-1] * 1.25)
        # Ticks at the values of k, unless their labels would overlap.
        ticks = [draws[-1]]
        for tick in draws[-2::-1]:
            if ticks[-1] / tick > (draws[-1] / draws[0]) ** 0.09:
                ticks.append(tick)
        axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
        axes.minorticks_off()
        axes.margins(y=0.16)
    return figure


def nats_per_latent(
    values: ArrayLike, quantity: str = "KL", title: str = "Information in each latent"
) -> Figure:
    """Draw the KL, or another quantity in nats, of each latent as bars, and mark the last used latent.

    Args:
        values: `(latents,)` nats, the mean over images, in any order; they are drawn sorted.
        quantity: name of the quantity.
        title: shown above the bars.

    Raises:
        ValueError: if there are no values, or some are not finite.
    """
    nats = np.sort(_series("values", values))[::-1]
    used = int((nats > USED).sum())
    with style():
        figure, [axes] = chart(title, WIDTH, HEIGHT)
        axes.set(xlabel="latents, the most used first", ylabel=f"{quantity}, nats")
        places, colours = np.arange(1, nats.size + 1), [BLUE] * used + [GREY] * (nats.size - used)
        axes.bar(places, nats, width=0.8 if nats.size <= 100 else 1.0, color=colours)
        axes.axvline(used + 0.5, color=ORANGE, linewidth=1.2, linestyle=DASHES)
        # On the side of the line that has more room.
        offset, side = ((5, -4), "left") if used < nats.size / 2 else ((-5, -4), "right")
        label, top = f"{used} of {nats.size} above {USED} nats", axes.get_xaxis_transform()
        note(axes, label, (used + 0.5, 1.0), offset, side, "top", ORANGE, top)
        axes.set_xlim(0.25, nats.size + 0.75)
        low, high = min(0.0, float(nats.min())), max(float(nats.max()), 2 * USED)
        axes.set_ylim(low * 1.1, high * 1.16)  # the label is above the bars
        _whole_ticks(axes)
    return figure


def rate_distortion(
    latents: ArrayLike,
    mse: ArrayLike,
    pca_mse: ArrayLike,
    title: str = "Error when only some latents are kept",
) -> Figure:
    """Draw the squared error against the number of latents that are kept.

    Args:
        latents: `(points,)` numbers of latents, each larger than the one before.
        mse: `(points,)` mean squared error per pixel of [0, 1].
        pca_mse: `(points,)`, the same for equally many principal components.
        title: shown above the curve.

    Raises:
        ValueError: if the arrays do not fit together, are empty or not finite.
    """
    kept, errors = _curve("latents", latents, "mse", mse)
    _, others = _curve("latents", latents, "pca_mse", pca_mse)
    with style():
        figure, [axes] = chart(title, WIDTH, HEIGHT)
        axes.set(xlabel="latents kept", ylabel="MSE per pixel")
        [line] = axes.plot(kept, others, label="as many principal components")
        line.set(color=ORANGE, linestyle=DASHES, marker="s", markersize=4, linewidth=1.4)
        axes.plot(kept, errors, color=BLUE, marker="o", markersize=4, linewidth=1.6, label="latents")
        axes.legend()
        axes.set_ylim(bottom=0.0)
        _whole_ticks(axes)
    return figure


def latent_map(
    positions: ArrayLike, labels: ArrayLike | None = None, title: str = "Test images in the latent space"
) -> Figure:
    """Draw latents as points in a plane, coloured by label.

    Args:
        positions: `(n, 2)`, n >= 1.
        labels: `(n,)` integers; None without labels.
        title: shown above the map.

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
        from matplotlib.patheffects import withStroke

        figure, [axes] = chart(title, WIDTH, WIDTH * flatness + 0.7)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        axes.set_aspect("equal", adjustable="datalim")
        if names is None:
            axes.scatter(points[:, 0], points[:, 1], s=size, color=BLUE, alpha=0.55)
            return figure
        kinds, kind = np.unique(names, return_inverse=True)
        colour = np.array([COLOURS[i % len(COLOURS)] for i in range(len(kinds))])
        shape = np.array([SHAPES[i // len(COLOURS) % len(SHAPES)] for i in range(len(kinds))])
        # In the order of the images, so that the last class does not cover the others.
        for marker in dict.fromkeys(shape):
            x, y = points[shape[kind] == marker].T
            axes.scatter(x, y, s=size, c=colour[kind[shape[kind] == marker]], marker=marker, alpha=0.75)
        # A legend of many classes would leave no room for the map.
        handles = [
            axes.plot([], [], shape[i], color=colour[i], markersize=6, label=str(name))[0]
            for i, name in enumerate(kinds[:40])
        ]
        figure.legend(
            handles=handles, loc="outside lower left", ncols=10, handletextpad=0.1, columnspacing=1.1
        )
        # Labels at the medians of the classes save the reader from comparing colours.
        for i, name in enumerate(kinds if len(kinds) <= len(COLOURS) else []):
            x, y = np.median(points[kind == i], axis=0)
            text = axes.text(x, y, str(name), color=INK, fontsize=TITLE_SIZE, ha="center", va="center")
            text.set(fontweight="bold", parse_math=False)
            text.set_path_effects([withStroke(linewidth=3, foreground="white")])
    return figure


def _whole_ticks(axes: Axes) -> None:
    """Use integer ticks on the horizontal axis."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))


def _series(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Return values as a row of finite numbers."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise ValueError(f"Expected a row of finite {name}. Received: {name} of shape={array.shape}")
    return array


def _curve(
    name: str, places: ArrayLike, other: str, values: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the places and values of a curve; places must increase."""
    first, second = _series(name, places), _series(other, values)
    if first.shape != second.shape:
        raise ValueError(
            f"Expected as many {name} as {other}. "
            f"Received: {name}.shape={first.shape}, {other}.shape={second.shape}"
        )
    if np.any(np.diff(first) <= 0):
        raise ValueError(f"Expected increasing {name}. Received: {name}={first.tolist()}")
    return first, second
