"""Images composed side by side in one array, and drawn on a figure pixel by pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from digitvae.figures.canvas import GRID, PAD, TITLE_SIZE, snap, wrap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

BORDER = (58, 62, 68)  # the thin line around a tile, just visible on black
ACCENT = (230, 159, 0)  # marks real data; Okabe-Ito orange, safe for colour-blind readers


def as_pixels(images: ArrayLike, layout: str, name: str = "images") -> NDArray[np.uint8]:
    """Check images and convert them to uint8.

    Args:
        images: bool, `uint8` 0..255, or floating-point in [0, 1].
        layout: the expected axes, such as "n, height, width".
        name: of the array in error messages.

    Returns:
        `uint8` array of the same shape.

    Raises:
        ValueError: if shape, type or range is wrong.
    """
    array = np.asarray(images)
    if array.ndim != layout.count(",") + 1 or array.size == 0:
        raise ValueError(
            f"Expected {name} of shape ({layout}), none of them 0. Received: shape={array.shape}"
        )
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"Expected {name} as uint8 or as floats in [0, 1]. Received: dtype={array.dtype}")
    low, high = float(array.min()), float(array.max())
    if not (low >= -1e-3 and high <= 1 + 1e-3):  # this form rejects NaN too
        raise ValueError(f"Expected {name} with values in [0, 1]. Received: min={low:g}, max={high:g}")
    pixels: NDArray[np.uint8] = np.rint(np.clip(array, 0, 1).astype(np.float32) * 255).astype(np.uint8)
    return pixels


def near_square(n: int, height: int, width: int) -> int:
    """Choose the columns of a near-square grid: preferably wide, and with a well-filled last row."""

    def cost(columns: int) -> float:
        rows = math.ceil(n / columns)
        shape = math.log(columns * width / (rows * height))
        empty = (rows * columns - n) / columns
        return max(0.6 * shape, -shape) + 1.1 * empty

    return min(range(1, n + 1), key=cost)


def split_rows(images: NDArray[np.uint8], columns: int) -> list[NDArray[np.uint8]]:
    """Split images into rows."""
    return [images[start : start + columns] for start in range(0, len(images), columns)]


@dataclass(frozen=True)
class Mosaic:
    """Tiles of equal size, composed in one array.

    Attributes:
        pixels: `(height, width, 3)` uint8 RGB.
        dot: side of one of these pixels, in inches.
        left: first column of each tile column, `(columns,)`.
        top: first row of each tile row, `(rows,)`.
        tile: height and width of a tile, in these pixels.
    """

    pixels: NDArray[np.uint8]
    dot: float
    left: NDArray[np.int64]
    top: NDArray[np.int64]
    tile: tuple[int, int]

    @property
    def size(self) -> tuple[float, float]:
        """Height and width in inches."""
        return self.pixels.shape[0] * self.dot, self.pixels.shape[1] * self.dot


def _pixel_side(height: int, width: int, rows: int, columns: int) -> float:
    """Choose the side of an image pixel in inches: as large as fits a screen, and whole dots in files."""
    # Tiles shrink to 0.3 inch before the figure exceeds 7.8 inches; few tiles grow to at most 1.3 inches.
    room = max(7.8, 0.3 * max(rows, columns))
    largest = max(1.3, 2.6 / max(rows, columns)) / max(height, width)
    largest = min(largest, room / max(height * rows, width * columns))
    if largest >= GRID:
        return GRID * int(largest / GRID + 1e-6)
    # Smaller pixels are a whole number of dots at 150 dpi or at 200 dpi.
    return max(1 / (base * math.ceil(1 / largest / base - 1e-6)) for base in (75, 100))


def compose(
    rows: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    *,
    border: bool = True,
    breaks: tuple[Sequence[int], Sequence[int]] = ((), ()),
    marked: Sequence[int] = (),
) -> Mosaic:
    """Compose images side by side.

    Args:
        rows: the images of each row from the left, uint8 grey, `(n, height, width)`, 0 is black; short rows
            are followed by white.
        border: whether a thin line runs around each tile.
        breaks: rows, and columns, that have a white space before them.
        marked: columns whose tiles have a border in the accent colour.

    Returns:
        The mosaic.
    """
    height, width = rows[0].shape[1:]
    columns = max(map(len, rows))
    side = _pixel_side(height, width, len(rows), columns)
    dot = min(side, GRID)
    zoom = round(side / dot)
    line = max(1, round(0.015 / dot)) if border else 0
    space = round(0.12 / dot)
    height, width = height * zoom, width * zoom

    def starts(count: int, length: int, before: Sequence[int]) -> NDArray[np.int64]:
        steps = [length + line + (space + line if index in before else 0) for index in range(1, count)]
        return np.cumsum([line, *steps])

    top, left = starts(len(rows), height, breaks[0]), starts(columns, width, breaks[1])
    pixels = np.full((top[-1] + height + line, left[-1] + width + line, 3), 255, dtype=np.uint8)
    for y, row in zip(top, rows, strict=True):
        for column, x in enumerate(left[: len(row)]):
            colour = ACCENT if column in marked else BORDER
            pixels[y - line : y + height + line, x - line : x + width + line] = colour
    # Tiles come after all borders: neighbours share a border line.
    for y, row in zip(top, rows, strict=True):
        for x, tile in zip(left, row, strict=False):
            enlarged = tile.repeat(zoom, axis=0).repeat(zoom, axis=1)
            pixels[y : y + height, x : x + width] = enlarged[..., None]
    return Mosaic(pixels, dot, left, top, (height, width))


def draw(
    mosaic: Mosaic, title: str, *, left: float = 0.0, bottom: float = 0.0, heading: float = 0.0
) -> tuple[Figure, Axes]:
    """Draw a mosaic and a title on a figure of exactly their size.

    Args:
        mosaic: the mosaic.
        title: wrapped to the width of the figure; may be empty.
        left: space for labels on the left, in inches.
        bottom: space below, in inches.
        heading: space between title and mosaic, in inches.

    Returns:
        The figure, and axes whose data coordinates are the pixels of the mosaic.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height, width = mosaic.size
    left, bottom = snap(PAD + left), snap(PAD + bottom)
    full_width = snap(max(left + width + PAD, 2.6))
    lines = wrap(title, TITLE_SIZE, full_width - 2 * PAD)
    top = PAD + heading + (len(lines) * TITLE_SIZE * 1.25 / 72 + 0.06 if lines else 0.0)
    full_height = snap(bottom + height + top)
    figure = Figure(figsize=(full_width, full_height))
    FigureCanvasAgg(figure)
    axes = figure.add_axes(
        (left / full_width, bottom / full_height, width / full_width, height / full_height), frameon=False
    )
    axes.imshow(mosaic.pixels, interpolation="auto", aspect="equal", zorder=1)
    axes.set(xticks=[], yticks=[], axisbelow=True)  # ticks stay below the image
    if lines:
        figure.text(
            PAD / full_width,
            1 - PAD / full_height,
            "\n".join(lines),
            fontsize=TITLE_SIZE,
            verticalalignment="top",
            parse_math=False,  # a title may contain file names with dollar signs
        )
    return figure, axes
