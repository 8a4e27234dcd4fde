"""Images from NumPy files: `.npy` and `.npz`. Pickled objects are never loaded."""

from __future__ import annotations

import io
import math
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from digitvae.data.arrays import Part, Source, as_labels, check_form, check_unzipped, make_part

_Check: TypeAlias = Callable[[tuple[int, ...], np.dtype], Any]
"""Refuses a shape and a dtype."""
_LONGEST_HEADER = 2**14

# Train images and labels, test images and labels: the names in Keras' mnist.npz, in MedMNIST, and short ones.
_LAYOUTS = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("images", "labels", "test_images", "test_labels"),
)


def read_npy(path: Path) -> Part:
    """Read unlabelled images from a `.npy` file.

    Args:
        path: a file that holds one array, in any form that `as_images` takes.

    Raises:
        ValueError: if the file is damaged or holds Python objects or anything but images.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        return make_part(_read(file, size, path, partial(check_form, name=str(path))), None, str(path))


def read_npz(path: Path) -> Source:
    """Read images, and labels and a test part where there are any, from a `.npz` file.

    Args:
        path: a file with the keys `x_train` (`y_train`, `x_test`, `y_test`), or `train_images`
            (`train_labels`, `test_images`, `test_labels`), or `images` (`labels`, `test_images`,
            `test_labels`), those in parentheses being optional; or with one array of any name.

    Raises:
        ValueError: if the file is damaged, has none of these keys, or holds Python objects or anything but
            images.
    """
    with path.open("rb") as file:
        with _readable(path):
            archive = zipfile.ZipFile(file)
        keys = [name.removesuffix(".npy") for name in archive.namelist()]
        if len(keys) == 1:
            return Source(_part(archive, path, str(path), keys[0]), None)
        for images, labels, *test in _LAYOUTS:
            if images in keys:
                parts = [
                    _part(archive, path, f"{part[0]} of {path}", *(key for key in part if key in keys))
                    for part in ((images, labels), test)
                    if part[0] in keys
                ]
                return Source(parts[0], parts[1] if len(parts) > 1 else None)
    layouts = "; ".join(f"{first} (optional: {', '.join(rest)})" for first, *rest in _LAYOUTS)
    raise ValueError(
        f"Expected an .npz file with the keys {layouts}; or one array of any name. "
        f"Received: {path} with keys={sorted(keys)}"
    )


def _part(archive: zipfile.ZipFile, path: Path, name: str, images: str, labels: str | None = None) -> Part:
    """Read the images of one key, and the labels of another."""
    part = make_part(_member(archive, path, images, partial(check_form, name=name)), None, name)
    if labels is None:
        return part
    labels_name = f"labels of {name}"

    def check(shape: tuple[int, ...], dtype: np.dtype) -> None:
        as_labels(np.broadcast_to(np.zeros((), dtype), shape), len(part.images), labels_name)

    values = _member(archive, path, labels, check)
    return part._replace(labels=as_labels(values, len(part.images), labels_name))


def _member(archive: zipfile.ZipFile, path: Path, key: str, check: _Check) -> npt.NDArray[Any]:
    with _readable(path):
        name = key if key in archive.namelist() else f"{key}.npy"
        file, size = archive.open(name), archive.getinfo(name).file_size
    check_unzipped(size, f"{key} of {path}")
    with file:
        return _read(file, size, path, check)


def _read(file: IO[bytes], size: int, path: Path, check: _Check) -> npt.NDArray[Any]:
    """Read an array of a file of a known size, after its shape and dtype were checked."""
    with _readable(path):
        # No more than that, since a header announces its own length too.
        head = io.BytesIO(file.read(_LONGEST_HEADER))
        version = np.lib.format.read_magic(head)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, _, dtype = read_header(head)
        if dtype.hasobject or head.tell() + math.prod(shape) * dtype.itemsize > size:
            raise ValueError("it holds Python objects, or less than its header announces")
    check(shape, dtype)
    with _readable(path):
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the type depends on where the damage is
        raise ValueError(
            f"Expected a complete {path.suffix} file of plain numbers (pickled objects are not loaded). "
            f"Received: {path}"
        ) from error
