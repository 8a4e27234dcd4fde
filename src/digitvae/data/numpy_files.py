"""Images from NumPy files: `.npy` and `.npz`. Pickled objects are never loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from digitvae.data.arrays import Part, Source, make_part

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
        try:
            array = np.lib.format.read_array(file, allow_pickle=False)
        except Exception as error:  # the type depends on where the damage is
            raise _unreadable(path) from error
    return make_part(array, None, str(path))


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
    arrays = _load_archive(path)
    if len(arrays) == 1:
        (only,) = arrays.values()
        return Source(make_part(only, None, str(path)), None)
    for train_images, train_labels, test_images, test_labels in _LAYOUTS:
        if train_images not in arrays:
            continue
        train = make_part(arrays[train_images], arrays.get(train_labels), f"{train_images} of {path}")
        if test_images not in arrays:
            return Source(train, None)
        return Source(
            train, make_part(arrays[test_images], arrays.get(test_labels), f"{test_images} of {path}")
        )
    layouts = "; ".join(f"{first} (optional: {', '.join(rest)})" for first, *rest in _LAYOUTS)
    raise ValueError(
        f"Expected an .npz file with the keys {layouts}; or one array of any name. "
        f"Received: {path} with keys={sorted(arrays)}"
    )


def _load_archive(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Load the arrays whose names mean something here, or a single one; others are named but not read."""
    wanted = set().union(*_LAYOUTS)
    # Opened here, since NumPy leaves a damaged file open.
    with path.open("rb") as file:
        try:
            with np.load(file, allow_pickle=False) as archive:
                single = len(archive.files) == 1
                return {
                    key: archive[key] if single or key in wanted else np.empty(0) for key in archive.files
                }
        except Exception as error:  # the type depends on where the damage is
            raise _unreadable(path) from error


def _unreadable(path: Path) -> ValueError:
    return ValueError(
        f"Expected a complete {path.suffix} file of plain numbers (pickled objects are not loaded). "
        f"Received: {path}"
    )
