"""Readers of a single image file and of folders of image files. Pillow is imported on first use."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from digitvae.data.arrays import Images, Part, Source, check_size, make_part

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"})

# Image files by the name of their sub-folder; "" for those directly in the folder, which are unlabelled.
_Groups = dict[str, list[Path]]


def is_image_file(path: Path) -> bool:
    """Return whether a file is an image, by its name; hidden files such as `._3.png` are not."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def read_image_file(path: Path) -> Part:
    """Read one image file as a set of one unlabelled image.

    Args:
        path: a png, jpg, bmp, gif, tif or webp file; colours are turned to grey (ITU-R 601 luma).

    Raises:
        ValueError: if it cannot be read, has more than 8 bits per channel, transparent parts, or a size
            outside 8x8 to 128x128.
    """
    return make_part(_read_grey(path), None, str(path))


def read_image_folder(folder: Path) -> Source:
    """Read a folder of images, all of one size, in the order of their names.

    The images are either directly in the folder (unlabelled) or in one sub-folder per label. If the names of
    all sub-folders are numbers, these are the labels; otherwise the labels are 0, 1, ... in sorted order of
    the names. Sub-folders `train` and (optionally) `test`, each arranged in this way, separate the two parts;
    labels are then numbered over both.

    Args:
        folder: the folder.

    Returns:
        The images, and the test images if there is a folder `test` beside `train`.

    Raises:
        ValueError: if there are no images, an image cannot be read or differs in size from the first, or
            images are both in the folder and in its sub-folders.
    """
    subfolders = {entry.name.lower(): entry for entry in _subfolders(folder)}
    if "train" not in subfolders:
        groups = _group(folder)
        return Source(_read_groups(groups, _label_numbers(groups), folder), None)
    others = [entry.name for name, entry in subfolders.items() if name not in ("train", "test")]
    others += [entry.name for entry in sorted(folder.iterdir()) if is_image_file(entry)]
    if others:
        raise ValueError(
            f"Expected only train and test. Received: {folder}, which also contains {', '.join(others[:5])}"
        )
    train_groups = _group(subfolders["train"])
    test_groups = _group(subfolders["test"]) if "test" in subfolders else {}
    labels = _label_numbers(train_groups | test_groups)
    train = _read_groups(train_groups, labels, subfolders["train"])
    return Source(train, _read_groups(test_groups, labels, subfolders["test"]) if test_groups else None)


def list_image_files(folder: Path) -> list[Path]:
    """Return the files that `read_image_folder` reads, in its order; of `train` and `test` those of `test`.

    Raises:
        ValueError: if there are none, or they are both in the folder and in its sub-folders.
    """
    parts = {entry.name.lower(): entry for entry in _subfolders(folder)}
    groups = _group(parts.get("test", parts["train"]) if "train" in parts else folder)
    return [file for group in groups.values() for file in group]


@contextmanager
def decoding(name: object) -> Iterator[None]:
    """Turn whatever Pillow raises into one line, and silence it otherwise.

    Raises:
        ValueError: from the block, for an image that is damaged, no image, or huge.
    """
    from PIL import Image

    with warnings.catch_warnings():
        # Pillow may warn about a damaged file before it fails; the one line of the error is enough.
        warnings.simplefilter("ignore")
        try:
            yield
        except Image.DecompressionBombError as error:
            raise ValueError(
                f"Expected an image that needs less memory. Received: {name} ({error})"
            ) from error
        except Exception as error:  # the type depends on the format and the damage
            raise ValueError(
                f"Expected a readable image file. Received: {name}, which cannot be decoded"
            ) from error


def _subfolders(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _group(folder: Path) -> _Groups:
    """List the image files of a folder and of its sub-folders; sub-folders without any are left out."""
    listed = {"": folder} | {entry.name: entry for entry in _subfolders(folder)}
    groups = {
        name: files
        for name, place in listed.items()
        if (files := sorted(entry for entry in place.iterdir() if is_image_file(entry)))
    }
    if not groups:
        raise ValueError(
            f"Expected a folder with image files ({', '.join(sorted(IMAGE_SUFFIXES))}), with sub-folders of "
            f"them, or with the four IDX files of a data set. Received: {folder}, which has none"
        )
    if "" in groups and len(groups) > 1:
        raise ValueError(
            "Expected images either in the folder or in its sub-folders, not in both. "
            f"Received: {groups[''][0]} beside the sub-folder {sorted(groups)[1]}"
        )
    return groups


def _label_numbers(groups: _Groups) -> dict[str, int]:
    names = sorted(name for name in groups if name)
    if all(name.isascii() and name.isdecimal() for name in names):
        return {name: int(name) for name in names}
    return {name: number for number, name in enumerate(names)}


def _read_groups(groups: _Groups, labels: dict[str, int], folder: Path) -> Part:
    """Read all files of one part; every image must have the size of the first."""
    files = [(file, name) for name, group in groups.items() for file in group]
    images = [_read_grey(files[0][0])]
    for file, _ in files[1:]:
        image = _read_grey(file)
        if image.shape != images[0].shape:
            raise ValueError(
                f"Expected images of one size, {_size(images[0])} as in {files[0][0]}. "
                f"Received: {file} with {_size(image)}"
            )
        images.append(image)
    numbers = None if "" in groups else [labels[name] for _, name in files]
    return make_part(np.stack(images), numbers, str(folder))


def _size(image: Images) -> str:
    return f"{image.shape[0]}x{image.shape[1]} (height x width)"


def _read_grey(path: Path) -> Images:
    """Decode one image file to uint8 `(height, width)`."""
    from PIL import Image

    with path.open("rb") as file:
        with decoding(path):
            image = Image.open(file)
        # The header states the size: a huge image is rejected before it is decoded.
        height, width = image.height, image.width
        check_size(height, width, f"{path} with {height}x{width} (height x width)")
        if image.mode.startswith(("I", "F")):
            # Pillow clips these to 255 instead of scaling them.
            raise ValueError(
                f"Expected an image of 8 bits per channel. Received: {path} with mode={image.mode}"
            )
        with decoding(path):
            transparency = image.has_transparency_data
            # Through RGBA if there is transparency, which may be in a palette.
            pixels = image.convert("RGBA") if transparency else image
            grey = np.array(pixels.convert("L"), np.uint8)
    if transparency and np.asarray(pixels)[..., 3].min() < 255:
        # The grey level of a transparent pixel is arbitrary: black strokes on transparent black would vanish.
        raise ValueError(f"Expected an image without transparent parts. Received: {path}, which has some")
    return grey
