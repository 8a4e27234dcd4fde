"""Figures of digits, white on black: samples, a latent plane, reconstructions, interpolations."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from digitvae.figures.canvas import LABEL_SIZE, MUTED, note, style, text_width
from digitvae.figures.tiles import as_pixels, compose, draw, near_square, split_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray


TICK_ROOM = 0.42  # inches between the ticks of a latent plane, enough for a label


def samples(
    images: ArrayLike, title: str = "New images sampled from the prior", columns: int | None = None
) -> Figure:
    """Draw images in a grid, row by row.

    Args:
        images: `(n, height, width)`, n >= 1; uint8, or float in [0, 1].
        title: shown above the grid.
        columns: images per row; by default the grid is nearly square.

    Raises:
        ValueError: if `images` has the wrong shape, type or range.
    """
    pixels = as_pixels(images, "n, height, width")
    with style():
        return draw(compose(split_rows(pixels, columns or near_square(*pixels.shape))), title)[0]


def latent_grid(
    images: ArrayLike,
    quantiles: ArrayLike,
    axes: tuple[int, int] = (0, 1),
    title: str = "Images over a plane of the latent space",
) -> Figure:
    """Draw images decoded over two coordinates of the prior's base noise u as one seamless plane.

    The noise is standard normal, so Gaussian quantiles of equally spaced probabilities cover the prior evenly
    (Kingma and Welling 2014, "Auto-Encoding Variational Bayes", figure 4). As in any plot, u increases
    upwards and to the right: `images[i, j]` is in row i from below and column j from the left.

    Args:
        images: `(rows, columns, height, width)`, rows = columns; uint8, or float in [0, 1]. `images[i, j]`
            was decoded where `u[axes[0]]` is the Gaussian quantile of `quantiles[i]` and `u[axes[1]]` that of
            `quantiles[j]`.
        quantiles: `(rows,)` increasing probabilities inside (0, 1), the same for both axes.
        axes: the coordinates of u that change with the row (upwards) and with the column (to the right). Two
            equal ones mean that u has one coordinate: only the vertical axis is labelled.
        title: shown above the plane.

    Raises:
        ValueError: if an argument has the wrong shape, type or range.
    """
    pixels = as_pixels(images, "rows, columns, height, width")
    steps = pixels.shape[0]
    levels = np.asarray(quantiles, dtype=np.float64)
    if pixels.shape[1] != steps or levels.shape != (steps,):
        raise ValueError(
            "Expected as many rows as columns and one quantile for each. "
            f"Received: images.shape={pixels.shape}, quantiles.shape={levels.shape}"
        )
    noise = _noise(levels)

    mosaic = compose(pixels[::-1], border=False)
    height, width = mosaic.tile
    across, across_names = _noise_ticks(noise, width * mosaic.dot)
    upward, upward_names = _noise_ticks(noise, height * mosaic.dot)
    with style():
        label_room = max(text_width(name, LABEL_SIZE) for name in upward_names)
        figure, plot = draw(mosaic, title, left=label_room + 0.3, bottom=0.42 if axes[1] != axes[0] else 0.0)
        plot.tick_params(length=3, pad=3)
        # Beside a flat plane there is room only for the symbol.
        noun = "prior noise " if mosaic.size[0] > 1.2 else ""
        plot.set_yticks((steps - upward - 0.5) * height - 0.5, upward_names)
        plot.set_ylabel(f"{noun}$u_{{{axes[0]}}}$", fontsize=LABEL_SIZE + 1, labelpad=3)
        if axes[1] != axes[0]:
            plot.set_xticks((across + 0.5) * width - 0.5, across_names)
            plot.set_xlabel(f"prior noise $u_{{{axes[1]}}}$", fontsize=LABEL_SIZE + 1, labelpad=3)
    return figure


def label_grid(
    images: ArrayLike,
    names: Sequence[str],
    quantiles: ArrayLike,
    axis: int = 0,
    title: str = "From label to label, over one coordinate of the latent space",
) -> Figure:
    """Draw images with the labels along the rows and one coordinate of the prior's base noise u across.

    Args:
        images: `(rows, columns, height, width)`; uint8, or float in [0, 1]. `images[i, j]` is in row i from
            above and column j from the left.
        names: `(rows,)`, what stands beside each row; empty for a row between two labels.
        quantiles: `(columns,)` increasing probabilities inside (0, 1): `images[i, j]` was decoded where
            `u[axis]` is the Gaussian quantile of `quantiles[j]`.
        axis: the coordinate of u that changes with the column.
        title: shown above the grid.

    Raises:
        ValueError: if an argument has the wrong shape, type or range.
    """
    pixels = as_pixels(images, "rows, columns, height, width")
    noise = _noise(quantiles)
    if pixels.shape[:2] != (len(names), len(noise)):
        raise ValueError(
            "Expected a name for each row and a quantile for each column. "
            f"Received: images.shape={pixels.shape}, {len(names)} names, {len(noise)} quantiles"
        )
    mosaic = compose(pixels, border=False)
    height, width = mosaic.tile
    across, across_names = _noise_ticks(noise, width * mosaic.dot)
    named = [row for row, name in enumerate(names) if name]
    with style():
        label_room = max((text_width(name, LABEL_SIZE) for name in names), default=0.0)
        figure, plot = draw(mosaic, title, left=label_room + 0.1, bottom=0.42)
        plot.set_yticks((np.array(named) + 0.5) * height - 0.5, [names[row] for row in named])
        plot.yaxis.set_tick_params(length=0, pad=5)
        plot.xaxis.set_tick_params(length=3, pad=3)
        plot.set_xticks((across + 0.5) * width - 0.5, across_names)
        plot.set_xlabel(f"prior noise $u_{{{axis}}}$", fontsize=LABEL_SIZE + 1, labelpad=3)
    return figure


def _noise(quantiles: ArrayLike) -> NDArray[np.float64]:
    """Return the noise at increasing probabilities (n,)."""
    levels = np.asarray(quantiles, dtype=np.float64)
    if levels.ndim != 1 or not (np.all(levels > 0) and np.all(levels < 1) and np.all(np.diff(levels) > 0)):
        raise ValueError(
            f"Expected increasing quantiles inside (0, 1). Received: quantiles={levels.tolist()}"
        )
    return np.array([NormalDist().inv_cdf(level) for level in levels])


def _noise_ticks(noise: NDArray[np.float64], tile: float) -> tuple[NDArray[np.float64], list[str]]:
    """Choose ticks along one axis of a latent plane.

    Args:
        noise: `(n,)` increasing values of u, in the middle of each tile.
        tile: size of a tile in inches.

    Returns:
        Positions, in tiles from the middle of the first, and their labels.
    """
    for step in (0.5, 1.0, 2.0):
        values = np.arange(math.ceil(noise[0] / step), math.floor(noise[-1] / step) + 1) * step
        # Tiles are equidistant in the figure but not in u: interpolate the positions of round values.
        places = np.interp(values, noise, np.arange(len(noise)))
        if len(values) >= 3 and np.diff(places).min() * tile >= TICK_ROOM:
            return places, [_minus(f"{value:g}") for value in values]
    count = min(5, len(noise), 1 + int((len(noise) - 1) * tile / TICK_ROOM))
    chosen = np.linspace(0, len(noise) - 1, count).round().astype(int)
    return chosen.astype(np.float64), [_minus(f"{round(noise[place], 2) + 0.0:g}") for place in chosen]


def _minus(number: str) -> str:
    return number.replace("-", "\N{MINUS SIGN}")


def reconstructions(
    originals: ArrayLike,
    reconstructions: ArrayLike,
    title: str = "Test images and their reconstructions",
) -> Figure:
    """Draw each original above its reconstruction, in several double rows if there are more than ten.

    Args:
        originals: `(n, height, width)`, n >= 1; uint8, or float in [0, 1].
        reconstructions: the same shape; uint8, or float in [0, 1].
        title: shown above the pairs.

    Raises:
        ValueError: if an array has the wrong shape, type or range.
    """
    pairs = {"originals": originals, "reconstructions": reconstructions}
    return _pairs(pairs, ("original", "reconstruction"), title)


def neighbours(
    samples: ArrayLike, nearest: ArrayLike, title: str = "Samples and the training images nearest to them"
) -> Figure:
    """Draw each sample above its nearest training image.

    Args:
        samples: `(n, height, width)`, n >= 1; uint8, or float in [0, 1].
        nearest: the training image nearest to each sample, the same shape.
        title: shown above the pairs.

    Raises:
        ValueError: if the images have the wrong shape, type or range.
    """
    return _pairs({"samples": samples, "nearest": nearest}, ("sample", "nearest"), title)


def interpolations(images: ArrayLike, title: str = "From one test image to another") -> Figure:
    """Draw paths through the latent space, one per row; frames mark the real digits at both ends.

    Args:
        images: `(rows, steps, height, width)`, steps >= 2; uint8, or float in [0, 1]. `images[:, 0]` and
            `images[:, -1]` are the real ones.
        title: shown above the rows.

    Raises:
        ValueError: if `images` has the wrong shape, type or range.
    """
    pixels = as_pixels(images, "rows, steps, height, width")
    steps = pixels.shape[1]
    if steps < 2:
        raise ValueError(
            f"Expected at least two steps, the start and the end. Received: shape={pixels.shape}"
        )
    mosaic = compose(pixels, breaks=((), (1, steps - 1)), marked=(0, steps - 1))
    with style():
        figure, plot = draw(mosaic, title, heading=0.2)
        tile_width = mosaic.tile[1]
        # A few narrow tiles may not leave enough room for both names.
        size = LABEL_SIZE * min(1.0, 0.45 * mosaic.size[1] / text_width("start", LABEL_SIZE))
        for column, name, side, share in ((0, "start", "left", 0.0), (steps - 1, "end", "right", 1.0)):
            # A name wider than its tile extends inwards, where the edge of the figure cannot cut it.
            fits = text_width(name, size) <= tile_width * mosaic.dot
            place = (mosaic.left[column] + tile_width * (0.5 if fits else share) - 0.5, -0.5)
            note(plot, name, place, (0, 4), "center" if fits else side, "baseline", MUTED).set_fontsize(size)
    return figure


def _pairs(arguments: dict[str, ArrayLike], names: tuple[str, str], title: str) -> Figure:
    """Draw each image of the first argument above its partner, in several double rows beyond ten."""
    above, below = (as_pixels(value, "n, height, width", name) for name, value in arguments.items())
    if above.shape != below.shape:
        first, second = arguments
        raise ValueError(
            f"Expected {first} and {second} of one shape. "
            f"Received: {first}.shape={above.shape}, {second}.shape={below.shape}"
        )
    n, height, width = above.shape
    # Up to 50 pairs have ten columns, more of them form about a square.
    across = max(10, math.ceil(math.sqrt(2 * n * height / width) if n > 50 else 0))
    across = math.ceil(n / math.ceil(n / across))
    rows = [
        row for pair in zip(split_rows(above, across), split_rows(below, across), strict=True) for row in pair
    ]
    mosaic = compose(rows, breaks=(range(2, len(rows), 2), ()))
    with style():
        figure, plot = draw(mosaic, title, left=max(text_width(name, LABEL_SIZE) for name in names) + 0.1)
        plot.set_yticks(mosaic.top + mosaic.tile[0] / 2 - 0.5, names * (len(rows) // 2))
        # Very flat images leave less than the height of a text line for each row.
        plot.yaxis.set_tick_params(
            length=0, pad=5, labelsize=min(LABEL_SIZE, 60 * mosaic.tile[0] * mosaic.dot)
        )
    return figure
