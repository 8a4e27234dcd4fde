"""Images and labels as arrays: the one place that decides what counts as valid data."""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

MIN_SIZE = 8  # smaller images would leave no grid to convolve after halving it twice
MAX_SIZE = 128
MAX_UNZIPPED = 2**32

Images: TypeAlias = npt.NDArray[np.uint8]
Labels: TypeAlias = npt.NDArray[np.int64]

# Pixels converted at a time: temporary floats stay small whatever the size of the data.
_CHUNK_PIXELS = 1 << 20


class Part(NamedTuple):
    """Images with their labels.

    Attributes:
        images: uint8 `(n, height, width)`, 0..255.
        labels: int64 `(n,)`, or None where the images are unlabelled.
    """

    images: Images
    labels: Labels | None

    def take(self, rows: slice | npt.NDArray[np.generic]) -> Part:
        """Return some of the images with their labels."""
        return Part(self.images[rows], None if self.labels is None else self.labels[rows])


class Source(NamedTuple):
    """The contents of a file or folder: its images, and its test images if it separates them."""

    train: Part
    test: Part | None


def make_part(images: npt.ArrayLike, labels: npt.ArrayLike | None, name: str) -> Part:
    """Validate images together with their labels; `name` is their source in error messages."""
    checked = as_images(images, name=name)
    return Part(
        checked, None if labels is None else as_labels(labels, len(checked), name=f"labels of {name}")
    )


def as_images(
    array: npt.ArrayLike, name: str = "images", image_shape: tuple[int, int] | None = None
) -> Images:
    """Validate images and convert them to the form that the package works with.

    Integers are grey levels: a mask of 0 and 1 must be bool or float to mean black and white.

    Args:
        array: `(n, height, width)`, `(n, height, width, 1)`, or `(height, width)` for one image, with height
            and width from 8 to 128; uint8, bool (False is 0, True is 255), float in [0, 1] (rounded to the
            nearest of 0..255) or integers in 0..255.
        name: of the array in error messages.
        image_shape: (height, width) that the images must have, in place of 8 to 128: that of a model, which
            may be of rows that are no images.

    Returns:
        uint8 `(n, height, width)`, 0..255, C-contiguous; the same array if it already has this form.

    Raises:
        ValueError: if the array is empty or its dtype, shape or values are none of the above.
    """
    try:
        # Tensors of PyTorch that carry a gradient give no array by themselves.
        images = np.asarray(array.detach().cpu() if hasattr(array, "detach") else array)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            "Expected an array of images that all have one size. "
            f"Received: {name} of type {type(array).__name__}, which cannot be converted to an array"
        ) from error
    form = check_form(images.shape, images.dtype, name, image_shape)
    return np.ascontiguousarray(
        _as_grey_levels(images if images.shape == form else images.reshape(form), name)
    )


def check_form(
    shape: tuple[int, ...], dtype: np.dtype, name: str, image_shape: tuple[int, int] | None = None
) -> tuple[int, int, int]:
    """Refuse what cannot be images by its shape or dtype, and return its shape as `(n, height, width)`."""
    if dtype.kind not in "buif":
        raise ValueError(
            "Expected uint8, bool, integer (0..255) or float (0..1) images. "
            f"Received: {name} with dtype={dtype}"
        )
    if 0 in shape:
        raise ValueError(f"Expected at least one image. Received: {name} with shape={shape}")
    form = (1, *shape) if len(shape) == 2 else shape[:3] if len(shape) == 4 and shape[-1] == 1 else shape
    if len(form) != 3:
        raise ValueError(
            "Expected grey images of shape (n, height, width), (n, height, width, 1) or (height, width). "
            f"Received: {name} with shape={shape}"
        )
    count, height, width = form
    if image_shape is None:
        check_size(height, width, f"{name} with shape={shape}")
    elif image_shape != (height, width):
        raise ValueError(
            f"Expected images of {image_shape[0]}x{image_shape[1]} pixels. Received: {height}x{width}"
        )
    return count, height, width


def check_unzipped(count: int, name: str) -> None:
    """Refuse a compressed array of more than 4 GiB: a small file may unzip to anything."""
    if count > MAX_UNZIPPED:
        raise ValueError(f"Expected at most {MAX_UNZIPPED:,} unzipped bytes. Received: {name} with {count:,}")


def check_size(height: int, width: int, received: str) -> None:
    """Reject an image size outside 8x8 to 128x128; `received` is the end of the error message."""
    if not (MIN_SIZE <= height <= MAX_SIZE and MIN_SIZE <= width <= MAX_SIZE):
        raise ValueError(
            f"Expected images of {MIN_SIZE}x{MIN_SIZE} to {MAX_SIZE}x{MAX_SIZE} pixels. Received: {received}"
        )


def as_labels(array: npt.ArrayLike, count: int, name: str = "labels") -> Labels:
    """Validate the labels of `count` images.

    Args:
        array: `(count,)` or `(count, 1)` integers from 0, or -1 for an image without a label.
        count: the number of images.
        name: of the array in error messages.

    Returns:
        int64 `(count,)`.

    Raises:
        ValueError: if they are not integers, are below -1, or are not one per image.
    """
    labels = np.asarray(array)
    if labels.dtype.kind not in "ui":
        raise ValueError(f"Expected integer labels. Received: {name} with dtype={labels.dtype}")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (count,):
        raise ValueError(
            f"Expected one label for each of {count} images. Received: {name} with shape={np.shape(array)}"
        )
    labels = labels.astype(np.int64)
    if labels.min() < -1:
        raise ValueError(
            f"Expected labels from 0 upwards, or -1 for none. Received: {name} with minimum={labels.min()}"
        )
    return labels


def images_per_chunk(shape: tuple[int, ...]) -> int:
    """Return how many images `(n, height, width)` to convert at a time."""
    return max(1, _CHUNK_PIXELS // math.prod(shape[1:]))


def _as_grey_levels(images: npt.NDArray[np.generic], name: str) -> Images:
    """Convert any accepted dtype to uint8 grey levels; values outside its range are an error."""
    kind = images.dtype.kind
    if images.dtype == np.uint8:
        return images.astype(np.uint8, copy=False)
    if kind == "b":
        return images.astype(np.uint8) * np.uint8(255)
    low, high = images.min().item(), images.max().item()
    if kind in "ui":
        if low < 0 or high > 255:
            raise ValueError(f"Expected integer images in 0..255. Received: {name} from {low} to {high}")
        return images.astype(np.uint8)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"Expected finite images. Received: {name} with NaN or infinity")
    if low < 0 or high > 1:
        raise ValueError(
            "Expected float images in [0, 1] (grey levels 0..255 must be integers). "
            f"Received: {name} from {low:g} to {high:g}"
        )
    grey = np.empty(images.shape, np.uint8)
    step = images_per_chunk(images.shape)
    for start in range(0, len(images), step):
        chunk = images[start : start + step].astype(np.float64)
        grey[start : start + step] = np.rint(chunk * 255)
    return grey
