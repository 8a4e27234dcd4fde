"""What verbs find, written as the ending of a file says: pictures, animations, arrays, tables, folders.

NumPy and Pillow suffice; pictures are the plain images side by side, without titles.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from digitvae.config import ConfigError
from digitvae.figures.tiles import compose, near_square, split_rows
from digitvae.files import check_writable, folder_written_whole, written_whole
from digitvae.progress import progress_bar

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

FOLDER = "/"
_ANIMATIONS = (".gif", ".webp")
_ENDINGS = (".png", *_ANIMATIONS, ".npz", ".csv")
_ACROSS = 10  # pairs of images side by side
MOST_PIXELS = 2**26
"""Of a picture: images are enlarged less where it would have more."""
_DPI = 150  # pictures are as large as those that `figures` draws at this resolution


@dataclass(frozen=True)
class Pictures:
    """Images, and how they are shown.

    Attributes:
        images: uint8 (n, height, width), for a folder of files.
        names: of these images, n different ones.
        rows: of a picture, each uint8 (m, height, width); by default all images in a near-square grid.
        gaps: rows of the picture that have a white space before them.
        frames: of an animation, uint8 (frames, tiles, height, width); by default the images one by one.
    """

    images: NDArray[np.uint8]
    names: Sequence[str]
    rows: Sequence[NDArray[np.uint8]] | None = None
    gaps: Sequence[int] = ()
    frames: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Result:
    """What a verb found. What takes room of its own is made when it is asked for.

    Attributes:
        arrays: by name, for an `.npz` file.
        pictures: makes them; None where there is nothing to see.
        table: columns of one length by name, for a `.csv` file; empty for no table.
        numbers: further numbers and texts by name, as JSON takes them.
        entries: makes those of them that grow with the images.
    """

    arrays: dict[str, Any]
    pictures: Callable[[], Pictures] | None = None
    table: dict[str, Any] = field(default_factory=dict)
    numbers: dict[str, Any] = field(default_factory=dict)
    entries: Callable[[], dict[str, Any]] = dict


class Target(NamedTuple):
    """A file or folder that can be written, and its kind: an ending, or `FOLDER`."""

    path: Path
    kind: str


def check_target(text: str, kinds: Sequence[str]) -> Target:
    """Say what the user asks for, and make sure before the work that it can be written.

    Args:
        text: a path with one of the endings; without one, or with a slash at its end, a folder.
        kinds: those that can be written: of .png, .gif, .webp, .npz, .csv and `FOLDER`.

    Raises:
        ConfigError: another ending.
        OSError: the folder around it is missing or not writable, or it would replace something else.
    """
    path = Path(text)
    if not text.strip() or path.name in _ENDINGS:
        raise ConfigError(f"Expected an output with a name. Received: {text or 'nothing'}")
    kind = FOLDER if text.endswith("/") or not path.suffix else path.suffix.lower()
    if kind not in kinds:
        raise ConfigError(f"Expected an output that ends in {_listed(kinds)}. Received: {text}")
    if kind == FOLDER and path.is_dir():
        if any(path.iterdir()):
            raise FileExistsError(f"Expected a new or empty folder for the output. Received: {text}")
        parent = path
    elif path.exists() and (kind == FOLDER or not path.is_file()):
        what = "a new or empty folder" if kind == FOLDER else "a regular file"
        raise FileExistsError(f"Expected {what} for the output. Received: {text}, which is something else")
    else:
        parent = path.parent
    check_writable(parent, text)
    return Target(path, kind)


def write(target: Target, result: Result, frames_per_second: float = 10) -> None:
    """Write a result, whole or not at all.

    Args:
        target: as `check_target` returned it; the result has what its kind needs.
        result: what was found.
        frames_per_second: of an animation.

    Raises:
        DiskFull: there is no room for it.
        OSError: it cannot be written.
    """
    path, kind = target
    pictures = result.pictures() if result.pictures and kind not in (".npz", ".csv") else None
    if kind == FOLDER and pictures is not None:
        with (
            folder_written_whole(path) as temporary,
            progress_bar(len(pictures.images), "writing", " images") as bar,
        ):
            for image, name in zip(pictures.images, pictures.names, strict=True):
                _image(image).save(temporary / f"{name}.png")
                bar.update()
        return
    with written_whole(path) as temporary:
        if kind == ".npz":
            np.savez_compressed(temporary, **result.arrays)
        elif kind == ".csv":
            with temporary.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(result.table)
                writer.writerows(zip(*result.table.values(), strict=True))
        elif pictures is not None:
            if kind in _ANIMATIONS:
                _write_animation(temporary, pictures, frames_per_second)
            else:
                _image(grid(pictures)).save(temporary)


def grid(pictures: Pictures) -> NDArray[np.uint8]:
    """Compose the picture, uint8 (height, width, 3)."""
    images = pictures.images
    rows = pictures.rows or split_rows(images, near_square(*images.shape))
    mosaic = compose(rows, breaks=(pictures.gaps, ()))
    return _enlarged(mosaic.pixels, mosaic.dot)


def pairs(above: NDArray[np.uint8], below: NDArray[np.uint8], names: Sequence[str]) -> Pictures:
    """Show each image above what was made of it, both uint8 (n, height, width); the latter are the result."""
    columns = min(len(above), _ACROSS)
    split = (split_rows(images, columns) for images in (above, below))
    rows = [row for pair in zip(*split, strict=True) for row in pair]
    return Pictures(below, names, rows, range(2, len(rows), 2), np.stack([above, below]))


def beside(images: NDArray[np.uint8], made: NDArray[np.uint8], names: Sequence[str]) -> Pictures:
    """Show each image at the head of a row of what was made of it, which is the result.

    Args:
        images: (n, height, width).
        made: (n, m, height, width).
        names: of what was made, n times m of them.
    """
    rows = list(np.concatenate([images[:, None], made], axis=1))
    return Pictures(made.reshape(-1, *made.shape[2:]), names, rows, frames=made.swapaxes(0, 1))


def _write_animation(path: Path, pictures: Pictures, frames_per_second: float) -> None:
    frames = pictures.images[:, None] if pictures.frames is None else pictures.frames
    columns = near_square(*frames.shape[1:])

    def stills() -> Iterator[Image.Image]:
        for tiles in frames:
            # Without the borders all pixels are grey, for which the palette of a GIF suffices.
            mosaic = compose(split_rows(tiles, columns), border=False)
            yield _image(_enlarged(mosaic.pixels[..., 0], mosaic.dot))

    rest = stills()
    first = next(rest)
    # For ever (loop=0); `lossless` is a word for WebP only.
    first.save(
        path,
        save_all=True,
        append_images=rest,
        duration=round(1000 / frames_per_second),
        loop=0,
        lossless=True,
    )


def _enlarged(pixels: NDArray[np.uint8], dot: float) -> NDArray[np.uint8]:
    zoom = math.floor(_DPI * dot + 0.5)
    while zoom > 1 and pixels.shape[0] * pixels.shape[1] * zoom**2 > MOST_PIXELS:
        zoom -= 1
    return pixels.repeat(zoom, axis=0).repeat(zoom, axis=1) if zoom > 1 else pixels


def _image(pixels: NDArray[np.uint8]) -> Image.Image:
    from PIL import Image

    return Image.fromarray(pixels)


def _listed(kinds: Sequence[str]) -> str:
    """List endings as a sentence does."""
    endings = [kind for kind in kinds if kind != FOLDER]
    text = f"{', '.join(endings[:-1])} or {endings[-1]}" if len(endings) > 1 else endings[0]
    return f"{text}, or a folder (with a slash at the end, or no ending)" if FOLDER in kinds else text
