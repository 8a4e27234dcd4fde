"""One contract for images in any container: uint8 0..255, bool or float in [0, 1]; all else is refused."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import keras
import numpy as np

from digitvae.data import as_images

Convert = Callable[[Any], np.ndarray]


def checked_images(images: Any, image_shape: tuple[int, int]) -> np.ndarray:
    """Bring images to uint8.

    Args:
        images: an array, a list or a tensor of any backend, in any form that `digitvae.data.as_images` takes.
        image_shape: (height, width) that they must have.

    Returns:
        uint8 (n, height, width), 0..255.

    Raises:
        ValueError: images of another size, or not images at all.
    """
    images = keras.ops.convert_to_numpy(images) if keras.ops.is_tensor(images) else images
    return as_images(images, image_shape=image_shape)


def checked_source(source: Any, image_shape: tuple[int, int]) -> Any:
    """Bring whatever Keras' `fit` and `evaluate` read images from to the contract.

    Args:
        source: images as `checked_images` takes them; or a `tf.data.Dataset`, a `keras.utils.PyDataset`, a
            `torch.utils.data.DataLoader` or a Python generator of batches of them, alone or first in a tuple.
        image_shape: (height, width) that they must have.

    Returns:
        uint8 images, or a source of the same kind whose batches are uint8, or bool where they were.

    Raises:
        ValueError: as `checked_images`, for a source of batches when it reaches the batch.
    """
    convert = partial(_checked_batch, image_shape=image_shape)
    if isinstance(source, keras.utils.PyDataset):
        return _CheckedPyDataset(source, convert)
    if hasattr(source, "element_spec"):
        return _checked_tf_dataset(source, image_shape)
    if hasattr(source, "collate_fn"):
        # A copy, so that the caller's loader stays as it is.
        loader = copy.copy(source)
        loader.collate_fn = _CheckedCollate(source.collate_fn, convert)
        return loader
    if isinstance(source, Iterator):
        return (_with_images(batch, convert) for batch in source)
    return checked_images(source, image_shape)


def checked_arguments(
    method: Callable[..., Any], image_shape: tuple[int, int], x: Any, *args: Any, **kwargs: Any
) -> dict[str, Any]:
    """Bind the arguments of a method of `keras.Model` that reads images, and check the images.

    Args:
        method: `keras.Model.fit`, `evaluate`, `train_on_batch` or `test_on_batch`.
        image_shape: (height, width) that the images must have.
        x: images or a source of them.
        *args: as the method takes them; `validation_data` is checked too.
        **kwargs: as the method takes them.

    Returns:
        The arguments by name, without `self`.

    Raises:
        ValueError: images of another size, or not images at all; `class_weight` without labels.
    """
    given = inspect.signature(method).bind(None, x, *args, **kwargs).arguments
    given = {name: value for name, value in given.items() if name not in ("self", "kwargs")}
    given |= {**kwargs, "x": checked_source(x, image_shape)}
    validation = given.get("validation_data")
    if isinstance(validation, tuple | list):
        given["validation_data"] = (checked_source(validation[0], image_shape), *validation[1:])
    elif validation is not None:
        given["validation_data"] = checked_source(validation, image_shape)
    if given.get("y") is None:
        if given.get("class_weight") is not None:
            raise ValueError("Expected labels, y, with class_weight. Received: no y")
        if given.get("sample_weight") is not None:
            # Without labels Keras drops the weights and says nothing.
            given["y"] = np.full(len(given["x"]), -1, "int32")
    return given


def label_weights(labels: Any, count: int, rows: int) -> np.ndarray:
    """Bring labels to weights of the labels.

    Args:
        labels: whole numbers (rows,) from 0 to count - 1; or weights, float (rows, count), not negative and
            with sums of 1.
        count: number of labels.
        rows: how many there must be.

    Returns:
        float32 (rows, count): for a label, a one in its column and zeros elsewhere.

    Raises:
        ValueError: labels of another shape or kind, or outside of the range.
    """
    labels = np.asarray(labels)
    if labels.shape == (rows,) and np.issubdtype(labels.dtype, np.integer):
        outside = labels[(labels < 0) | (labels >= count)]
        if outside.size:
            raise ValueError(f"Expected labels from 0 to {count - 1}. Received: {outside[0]}")
        return np.eye(count, dtype="float32")[labels]
    if labels.shape != (rows, count) or not np.issubdtype(labels.dtype, np.floating):
        raise ValueError(
            f"Expected labels, whole numbers of shape ({rows},), or weights of shape ({rows}, {count}). "
            f"Received: {labels.dtype}, shape={labels.shape}"
        )
    if not (labels >= 0).all() or not np.allclose(labels.sum(axis=1), 1, atol=1e-4):
        raise ValueError("Expected weights of labels from 0 with sums of 1. Received: others")
    return labels.astype("float32")


def padded_batches(values: np.ndarray, size: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Cut into batches of one shape, the last one padded, so that functions compile once.

    Args:
        values: (n, ...).
        size: rows of a batch; fewer where there are few values.

    Yields:
        Which rows a batch holds, and the batch.

    Raises:
        ValueError: a size below 1.
    """
    if size < 1:
        raise ValueError(f"Expected batch_size to be at least 1. Received: batch_size={size}")
    # Few shapes, so that few functions are compiled, yet one image does not cost as much as a full batch.
    size = min(size, next((small for small in (1, 16) if len(values) <= small), size))
    for start in range(0, len(values), size):
        batch = values[start : start + size]
        padding = [(0, size - len(batch))] + [(0, 0)] * (values.ndim - 1)
        yield slice(start, start + len(batch)), np.pad(batch, padding) if len(batch) < size else batch


def _checked_batch(images: Any, image_shape: tuple[int, int]) -> np.ndarray:
    # Bits stay bits: as 0 and 255 they would be drawn once more in every step.
    if isinstance(images, np.ndarray) and images.dtype == bool and images.shape[1:] == image_shape:
        return images
    return checked_images(images, image_shape)


def _with_images(batch: Any, convert: Convert) -> tuple[Any, ...]:
    images, *rest = batch if isinstance(batch, tuple | list) else (batch,)
    return convert(images), *rest


class _CheckedPyDataset(keras.utils.PyDataset):
    def __init__(self, source: keras.utils.PyDataset, convert: Convert):
        super().__init__(source.workers, source.use_multiprocessing, source.max_queue_size)
        self.source, self.convert = source, convert

    @property
    def num_batches(self) -> int | None:
        return self.source.num_batches

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return _with_images(self.source[index], self.convert)

    def on_epoch_begin(self) -> None:
        self.source.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self.source.on_epoch_end()


class _CheckedCollate:
    """A class, because worker processes of a loader must be able to pickle it."""

    def __init__(self, collate: Callable[[Any], Any], convert: Convert):
        self.collate, self.convert = collate, convert

    def __call__(self, samples: Any) -> tuple[Any, ...]:
        import torch

        images, *rest = _with_images(self.collate(samples), self.convert)
        return torch.from_numpy(images), *rest


def _checked_tf_dataset(source: Any, image_shape: tuple[int, int]) -> Any:
    import tensorflow as tf

    spec = source.element_spec
    spec = spec[0] if isinstance(spec, tuple | list) and spec else spec
    if not isinstance(spec, tf.TensorSpec):
        raise ValueError(
            "Expected batches of images, alone or first in a tuple. "
            f"Received: a tf.data.Dataset of {type(spec).__name__}"
        )
    if spec.dtype in (tf.uint8, tf.bool) and spec.shape.rank == 3 and tuple(spec.shape[1:]) == image_shape:
        return source

    def check(images: Any, *rest: Any) -> tuple[Any, ...]:
        checked = tf.numpy_function(partial(checked_images, image_shape=image_shape), [images], tf.uint8)
        checked.set_shape((None, *image_shape))
        return checked, *rest

    return source.map(check)
