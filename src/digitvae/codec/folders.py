"""Folders of files to archives and back: images by their pixels, all else byte by byte."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.uint8]


def files_of(folder: Path) -> list[Path]:
    """Return the regular files under a folder, in the order of their paths in it; links are not followed.

    Raises:
        ValueError: there are none.
    """
    found = sorted(
        Path(root) / name
        for root, _, names in os.walk(folder)
        for name in names
        if (Path(root) / name).is_file() and not (Path(root) / name).is_symlink()
    )
    if not found:
        raise ValueError(f"Expected a folder with files. Received: {folder} (it has none)")
    return found


def split(folder: Path, image_shape: tuple[int, int]) -> tuple[list[Path], list[Path]]:
    """Return the files that are PNG images of 256 grey levels and a size, and the others."""
    images: list[Path] = []
    others: list[Path] = []
    for file in files_of(folder):
        (images if _pixels(file, image_shape) is not None else others).append(file)
    return images, others


def images_of(files: Sequence[Path], image_shape: tuple[int, int]) -> Iterator[Images]:
    """Yield the images of files, uint8 (n, h, w), some at a time."""
    for start in range(0, len(files), 1000):
        found = [_pixels(file, image_shape) for file in files[start : start + 1000]]
        if any(pixels is None for pixels in found):
            raise ValueError("Expected the files of the folder to stay as they are. Received: a change")
        yield np.stack([pixels for pixels in found if pixels is not None])


def _pixels(file: Path, image_shape: tuple[int, int]) -> Images | None:
    """Return the pixels of a grey PNG file that says nothing else, None for anything else."""
    if file.suffix.lower() != ".png":
        return None
    from PIL import Image

    try:
        with Image.open(file) as image:
            # What a palette, transparency or a text says would be lost.
            plain = image.format == "PNG" and image.mode == "L" and not image.info
            if not plain or image.size != image_shape[::-1]:
                return None
            return np.asarray(image, "uint8")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def png(pixels: Images) -> bytes:
    """Return a PNG file of an image, uint8 (h, w)."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def place(folder: Path, name: str) -> Path:
    """Return where a file of an archive goes, and make the folders around it.

    Raises:
        ValueError: a name that leads out of the folder.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\0" in name or "\\" in name:
        raise ValueError(f"Expected names of files below the folder. Received: {name!r}")
    target = folder.joinpath(*path.parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    return target
