"""Images for a trained model to work on: files, folders and embedded digits, as a user names them.

`dataset` reads what a model is trained on, which is right already; here each image also gets a name, and
photos are turned into images like those of MNIST.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from digitvae.data.arrays import Images
from digitvae.data.dataset import existing_path, read_images
from digitvae.data.idx import is_idx_folder
from digitvae.data.image_files import IMAGE_SUFFIXES, list_image_files, read_image_file
from digitvae.data.mnist import read_mnist
from digitvae.data.photos import read_photo
from digitvae.progress import progress_bar

_EMBEDDED = re.compile(r"mnist(?::(?P<first>\d+)(?:-(?P<last>\d+))?)?")


def read_inputs(
    texts: Iterable[str | Path], image_shape: tuple[int, int] = (28, 28), raw: bool = False
) -> tuple[Images, list[str]]:
    """Read the images that a command line names, in its order.

    Args:
        texts: each a path as for `read_pictures`; or `mnist`, `mnist:17` or `mnist:20-29` for all, one or a
            range (its end included) of the embedded test images, counted from 0.
        image_shape: (height, width) that the model takes.
        raw: whether image files are right already, see `read_pictures`.

    Returns:
        uint8 `(n, height, width)`, 0..255, and a name for each image: `mnist-17`, or as `read_pictures` says.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: no texts, no such test images, or anything that `read_pictures` refuses.
    """
    parts = []
    for text in texts:
        match = _EMBEDDED.fullmatch(text) if isinstance(text, str) else None
        part = _embedded(match) if match else _read(existing_path(text), image_shape, raw)
        _check_shape(part[0], image_shape, text)
        parts.append(part)
    if not parts:
        raise ValueError("Expected at least one picture. Received: none")
    names = _distinct([name for _, part in parts for name in part])
    # Joining copies, and most often there is one part.
    return parts[0][0] if len(parts) == 1 else np.concatenate([images for images, _ in parts]), names


def read_pictures(
    paths: str | Path | Iterable[str | Path], image_shape: tuple[int, int] = (28, 28), raw: bool = False
) -> tuple[Images, list[str]]:
    """Read pictures from files and folders.

    Args:
        paths: one or several of these: an image file; a folder of image files, or of sub-folders of them; an
            IDX, `.npy` or `.npz` file or a folder of IDX files, whose images are taken as they are.
        image_shape: (height, width) that the model takes.
        raw: False for photos and drawings, which `read_photo` turns into images like those of MNIST; True for
            image files that are right already, which are read as `read_images` reads them.

    Returns:
        uint8 `(n, height, width)`, 0..255, and a name for each image, all different: the file's without its
        ending, after that of a sub-folder; for arrays that and the number, `digits-00017`.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: a file is damaged or no picture, a photo shows no strokes, a folder has no pictures, or
            images taken as they are have another size.
    """
    listed = [paths] if isinstance(paths, str | Path) else paths
    # As a path `mnist` is a file.
    return read_inputs([existing_path(path) for path in listed], image_shape, raw)


def _embedded(match: re.Match[str]) -> tuple[Images, list[str]]:
    """Return the test images of MNIST that `mnist`, `mnist:17` or `mnist:20-29` means."""
    images = read_mnist("t10k").images
    first = int(match["first"] or 0)
    last = int(match["last"] or match["first"] or len(images) - 1)
    if not first <= last < len(images):
        raise ValueError(
            f"Expected mnist, mnist:INDEX or mnist:FIRST-LAST, from 0 to {len(images) - 1}. "
            f"Received: {match.string}"
        )
    return images[first : last + 1], [f"mnist-{index}" for index in range(first, last + 1)]


def _read(path: Path, image_shape: tuple[int, int], raw: bool) -> tuple[Images, list[str]]:
    """Read one file or folder; images read as they are may have any size."""
    if path.is_dir() and not is_idx_folder(path):
        files = list_image_files(path)
        names = [file.stem if file.parent == path else f"{file.parent.name}-{file.stem}" for file in files]
        if raw:
            return read_images(path)[0], names
        images = np.empty((len(files), *image_shape), np.uint8)
        with progress_bar(len(files), "reading", " pictures") as bar:
            for image, file in zip(images, files, strict=True):
                image[...] = read_photo(file, image_shape)
                bar.update()
        return images, names
    if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES:
        if raw:
            return read_image_file(path).images, [path.stem]
        return read_photo(path, image_shape)[np.newaxis], [path.stem]
    images, _ = read_images(path)
    stem = path.name.split(".")[0]
    return images, [f"{stem}-{index:05}" for index in range(len(images))]


def _check_shape(images: Images, image_shape: tuple[int, int], source: str | Path) -> None:
    if images.shape[1:] != image_shape:
        height, width = images.shape[1:]
        raise ValueError(
            f"Expected images of the model's size, {image_shape[0]}x{image_shape[1]} (height x width). "
            f"Received: {source} with {height}x{width}"
        )


def _distinct(names: list[str]) -> list[str]:
    """Number names that occur again, so that each can be the name of a file."""
    distinct: dict[str, None] = {}
    for name in names:
        candidate, number = name, 2
        while candidate in distinct:
            candidate, number = f"{name}-{number}", number + 1
        distinct[candidate] = None
    return list(distinct)
