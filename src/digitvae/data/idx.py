"""IDX files, the format of MNIST: the format itself, and the names that tie four files into one data set.

Format: two zero bytes, a byte for the type (0x08 is unsigned byte), a byte for the number of dimensions, each
dimension as a big-endian 32-bit number, then the values, the last dimension running fastest.

EMNIST stores its images transposed. Files whose name begins with `emnist-` are turned upright here.
"""

from __future__ import annotations

import gzip
import io
import math
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from digitvae.data.arrays import Images, Part, Source, as_labels, check_form, check_unzipped, make_part

_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 2**20
_IMAGES, _LABELS = 3, 1  # dimensions, which the names carry too: images-idx3, labels-idx1
_NAME = re.compile(
    r"(?P<prefix>.*?)(?P<part>train|t10k|test)-(?P<kind>images|labels)(?P<dash>[-.])idx[13]-ubyte(\.gz)?"
)


@contextmanager
def gunzipped(file: IO[bytes], name: str) -> Iterator[gzip.GzipFile]:
    """Unzip a gzip file as it is read.

    Args:
        file: the gzip file.
        name: what error messages call it.

    Raises:
        ValueError: from the block, if what it reads is truncated or damaged.
    """
    try:
        with gzip.GzipFile(fileobj=file) as unzipped:
            yield unzipped
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(
            f"Expected a complete gzip file. Received: {name}, truncated or damaged ({error})"
        ) from error


def decode_idx(file: io.BufferedIOBase, dimensions: int, name: str, count: int | None = None) -> Images:
    """Read an (unzipped) IDX file of unsigned bytes: its header, then what that announces and one byte more.

    Args:
        file: header and values.
        dimensions: 3 for images, 1 for labels.
        name: what error messages call the file.
        count: how many labels there must be.

    Returns:
        uint8 array, of the shape in the header.

    Raises:
        ValueError: if the type or the number of dimensions is another, the header announces what cannot be
            images or labels, or the number of values is not that of the header.
    """
    magic = 0x0800 + dimensions
    size = 4 + 4 * dimensions
    header = file.read(size)
    if header[:4] != magic.to_bytes(4, "big"):
        kind = "images" if dimensions == _IMAGES else "labels"
        raise ValueError(
            f"Expected an IDX file of {kind} (unsigned bytes, dimensions={dimensions}), magic=0x{magic:08x}. "
            f"Received: {name} with magic=0x{header[:4].hex()}"
        )
    if len(header) < size:
        raise ValueError(f"Expected an IDX header of {size} bytes. Received: {name} with {len(header)} bytes")
    shape = struct.unpack(f">{dimensions}I", header[4:])
    expected = math.prod(shape)
    if dimensions == _IMAGES:
        check_form(shape, np.dtype(np.uint8), name)
    elif count is not None:
        as_labels(np.broadcast_to(np.uint8(0), shape), count, name)
    if isinstance(file, gzip.GzipFile):
        check_unzipped(expected, name)
    content = bytearray()
    while chunk := file.read(min(_CHUNK, expected + 1 - len(content))):
        content += chunk
    if len(content) != expected:
        actual = f"{len(content)} bytes" if len(content) < expected else "more"
        raise ValueError(
            f"Expected {expected} bytes after the IDX header, as its shape={shape} says. "
            f"Received: {name} with {actual}"
        )
    return np.frombuffer(content, np.uint8).reshape(shape)


def is_idx_file(path: Path) -> bool:
    """Tell whether a file may be IDX, by its name or its first bytes."""
    if "idx" in path.name or path.suffix == ".gz":
        return True
    with path.open("rb") as file:
        return file.read(2) in (b"\0\0", _GZIP_MAGIC)


def is_idx_folder(folder: Path) -> bool:
    """Tell whether a folder holds a file named like one of the four of a data set."""
    return any(_NAME.fullmatch(entry.name) and entry.is_file() for entry in folder.iterdir())


def read_idx_file(path: Path) -> Part:
    """Read an IDX file of images, plain or gzipped, with the labels file that stands beside it, if any.

    The labels of `...images-idx3...` are looked for in `...labels-idx1...`.

    Args:
        path: the images file.

    Returns:
        The images and their labels, or None for labels.

    Raises:
        ValueError: if a file is damaged or not IDX, or the labels do not fit the images.
    """
    images = _read(path, _IMAGES)
    if path.name.startswith("emnist-"):
        images = images.swapaxes(1, 2)
    labels_name = _labels_name(path.name)
    labels_path = _existing(path.parent, labels_name) if labels_name != path.name else None
    labels = None if labels_path is None else _read(labels_path, _LABELS, len(images))
    return make_part(images, labels, str(path))


def read_idx_test_file(path: Path) -> Part | None:
    """Read the test set that lies beside a `train-images-idx3-ubyte[.gz]` file; None where there is none."""
    match = _NAME.fullmatch(path.name)
    if match is None or match["part"] != "train" or match["kind"] != "images" or not path.is_file():
        return None
    test_path = _existing(path.parent, _test_name(path.parent, match))
    return None if test_path is None else read_idx_file(test_path)


def read_idx_folder(folder: Path) -> Source:
    """Read a folder with the four IDX files of a data set, named as MNIST or EMNIST name them.

    Args:
        folder: holds `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
            `t10k-labels-idx1-ubyte`, each plain or `.gz`; or `emnist-digits-train-images-idx3-ubyte` and so
            on.

    Returns:
        Training and test part.

    Raises:
        FileNotFoundError: if one of the four is missing.
        ValueError: if there is more than one data set, or a file cannot be read.
    """
    entries = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    matches = [match for entry in entries if (match := _NAME.fullmatch(entry))]
    found = {
        match.string.removesuffix(".gz"): match
        for match in matches
        if match["part"] == "train" and match["kind"] == "images"
    }
    if len(found) > 1:
        raise ValueError(
            "Expected one data set in the folder (or the path of its training images file). "
            f"Received: {folder} with {', '.join(found)}"
        )
    if not found:
        raise FileNotFoundError(
            f"Expected train-images-idx3-ubyte[.gz] beside the other IDX files. Received: {folder} without it"
        )
    (train_name, match), *_ = found.items()
    test_name = _test_name(folder, match)
    names = [name for images in (train_name, test_name) for name in (images, _labels_name(images))]
    missing = [name for name in names if _existing(folder, name) is None]
    if missing:
        raise FileNotFoundError(
            f"Expected the four IDX files {', '.join(names)} (each may end in .gz). "
            f"Received: {folder} without {', '.join(missing)}"
        )
    train, test = (
        read_idx_file(path) for name in (train_name, test_name) if (path := _existing(folder, name))
    )
    return Source(train, test)


def _read(path: Path, dimensions: int, count: int | None = None) -> Images:
    with path.open("rb") as file:
        if path.suffix != ".gz" and not file.peek(2).startswith(_GZIP_MAGIC):
            return decode_idx(file, dimensions, str(path), count)
        with gunzipped(file, str(path)) as unzipped:
            return decode_idx(unzipped, dimensions, str(path), count)


def _existing(folder: Path, name: str) -> Path | None:
    """Return the file of that name, with or without `.gz`."""
    plain = name.removesuffix(".gz")
    return next((path for path in (folder / plain, folder / f"{plain}.gz") if path.is_file()), None)


def _labels_name(images_name: str) -> str:
    return re.sub(r"images([-.])idx3", r"labels\1idx1", images_name)


def _test_name(folder: Path, train: re.Match[str]) -> str:
    """Return the name of the test images for a training images file: MNIST says t10k, EMNIST says test."""
    names = [f"{train['prefix']}{part}-images{train['dash']}idx3-ubyte" for part in ("t10k", "test")]
    if train["prefix"]:
        names.reverse()
    return next((name for name in names if _existing(folder, name)), names[0])
