"""Shards in `.npz`: the arrays `images`, and perhaps `labels` and `ids`."""

from __future__ import annotations

import io
import zipfile
from typing import IO

import numpy as np

from digitvae.data.arrays import check_unzipped
from digitvae.shards.rows import Summary


def columns(file: IO[bytes]) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Return images as one array, labels and ids, as they are.

    Raises:
        ValueError: there are no images.
    """
    images, labels, numbers = _arrays(file, "images", "labels", "ids")
    if images is None or images.ndim < 3:
        raise ValueError("it has no array `images` of shape (n, height, width)")
    return images, labels, numbers


def ids(file: IO[bytes]) -> np.ndarray | None:
    """Return the ids alone."""
    (found,) = _arrays(file, "ids")
    return None if found is None else found.astype("int64")


def summary(file: IO[bytes]) -> Summary:
    """Return what the head of the images and the ids say."""
    with zipfile.ZipFile(file) as archive, archive.open("images.npy") as images:
        version = np.lib.format.read_magic(images)
        head = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        (rows, *_), _, _ = head(images)
    file.seek(0)
    found = ids(file)
    return Summary(rows, None if found is None or not len(found) else (int(found.min()), int(found.max())))


def write(file: IO[bytes], arrays: dict[str, np.ndarray]) -> None:
    """Write arrays by name; the same arrays give the same bytes."""
    # Not `np.savez_compressed`: the time that it notes in the file would make every file another one.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy")
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, member.getvalue())


def _arrays(file: IO[bytes], *names: str) -> list[np.ndarray | None]:
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            check_unzipped(entry.file_size, entry.filename)
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        return [arrays.get(name) for name in names]
