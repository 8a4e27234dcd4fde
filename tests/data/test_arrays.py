"""The boundary check of images and labels."""

from __future__ import annotations

import numpy as np
import pytest

from digitvae.data import as_images
from digitvae.data.arrays import as_labels, images_per_chunk


def test_uint8_is_returned_without_a_copy(make_images):
    images = make_images(3)
    assert as_images(images) is images


def test_trailing_channel_is_dropped_without_a_copy(make_images):
    images = make_images(3)
    result = as_images(images[..., np.newaxis])
    assert result.shape == images.shape
    assert np.shares_memory(result, images)


def test_a_single_image_becomes_a_set_of_one(make_images):
    images = make_images(1)
    assert np.array_equal(as_images(images[0]), images)


def test_result_is_contiguous(make_images):
    images = make_images(4)[::2, :, ::-1]
    result = as_images(images)
    assert result.flags.c_contiguous
    assert np.array_equal(result, images)


def test_bool_is_black_and_white():
    mask = np.eye(8, dtype=bool)[np.newaxis]
    assert np.array_equal(as_images(mask), np.eye(8, dtype=np.uint8)[np.newaxis] * 255)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
def test_floats_round_to_the_nearest_grey_level(dtype):
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    assert np.array_equal(as_images((levels / 255).astype(dtype)), levels)
    nearly = np.full((1, 8, 8), 0.6 / 255, dtype)
    assert (as_images(nearly) == 1).all()


def test_floats_of_several_chunks(make_images):
    images = make_images(9, 128, 127)
    assert images_per_chunk(images.shape) == 64
    many = np.tile(images, (20, 1, 1))
    assert np.array_equal(as_images(many / np.float32(255)), many)


@pytest.mark.parametrize("dtype", ["int8", "int16", ">i4", "int64", "uint16", "uint64"])
def test_integers_are_grey_levels(dtype, make_images):
    images = make_images(2) // 2
    assert np.array_equal(as_images(images.astype(dtype)), images)


def test_nested_lists_are_taken(make_images):
    images = make_images(2)
    assert np.array_equal(as_images(images.tolist()), images)


def test_smallest_and_largest_size():
    for size in ((8, 128), (128, 8), (8, 8), (128, 128), (9, 13)):
        assert as_images(np.zeros((1, *size), np.uint8)).shape == (1, *size)


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.zeros((1, 8, 8), object), "object"),
        (np.zeros((1, 8, 8), complex), "complex128"),
        (np.zeros((1, 8, 8), "U1"), "<U1"),
        (np.zeros((1, 8, 8), "S1"), "|S1"),
        (np.zeros((1, 8, 8), "datetime64[s]"), "datetime64[s]"),
        (np.zeros((1, 8, 8), [("x", "u1")]), "[('x', 'u1')]"),
        ("mnist", "<U5"),
        (None, "object"),
    ],
)
def test_wrong_dtype_is_refused(array, dtype, refused):
    with refused(
        ValueError, "uint8, bool, integer (0..255) or float (0..1)", f"Received: digits with dtype={dtype}"
    ):
        as_images(array, name="digits")


@pytest.mark.parametrize("shape", [(), (64,), (2, 8, 8, 3), (2, 1, 8, 8), (1, 1, 8, 8, 1)])
def test_wrong_rank_is_refused(shape, refused):
    with refused(ValueError, "(n, height, width)", f"Received: digits with shape={shape}"):
        as_images(np.zeros(shape, np.uint8), name="digits")


@pytest.mark.parametrize("shape", [(0,), (0, 28, 28), (0, 28, 28, 1), (3, 0, 28)])
def test_empty_set_is_refused(shape, refused):
    with refused(ValueError, "at least one image", f"Received: images with shape={shape}"):
        as_images(np.zeros(shape))


@pytest.mark.parametrize("shape", [(1, 7, 8), (1, 8, 7), (1, 129, 8), (1, 8, 129), (5, 784), (28, 28, 1)])
def test_size_outside_8_to_128_is_refused(shape, refused):
    with refused(ValueError, "8x8 to 128x128", f"Received: images with shape={shape}"):
        as_images(np.zeros(shape, np.uint8))


def test_images_of_a_size_asked_for_may_be_of_any(refused):
    assert as_images(np.zeros((2, 1, 5)), image_shape=(1, 5)).shape == (2, 1, 5)
    with refused(ValueError, "images of 1x5 pixels", "Received: 5x1"):
        as_images(np.zeros((2, 5, 1)), image_shape=(1, 5))


def test_ragged_lists_are_refused(refused):
    with refused(ValueError, "one size", "Received: images of type list"):
        as_images([[[0] * 8] * 8, [[0] * 9] * 8])


@pytest.mark.parametrize(("low", "high"), [(-0.001, 1), (0, 1.001), (0, 255)])
def test_floats_outside_0_to_1_are_refused(low, high, refused):
    images = np.zeros((2, 8, 8))
    images[1, 3, 4], images[0, 2, 1] = low, high
    with refused(ValueError, "float images in [0, 1]", f"Received: images from {low:g} to {high:g}"):
        as_images(images)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite_is_refused(value, refused):
    images = np.zeros((2, 8, 8), np.float32)
    images[1, 3, 4] = value
    with refused(ValueError, "finite", "Received: images with NaN or infinity"):
        as_images(images)


@pytest.mark.parametrize(("low", "high"), [(-1, 255), (0, 256)])
def test_integers_outside_0_to_255_are_refused(low, high, refused):
    images = np.zeros((2, 8, 8), np.int32)
    images[1, 3, 4], images[0, 2, 1] = low, high
    with refused(ValueError, "integer images in 0..255", f"Received: images from {low} to {high}"):
        as_images(images)


def test_labels_become_int64():
    for array in (np.array([3, 1, 2], np.uint8), [3, 1, 2], np.array([[3], [1], [2]])):
        labels = as_labels(array, 3)
        assert labels.dtype == np.int64
        assert labels.tolist() == [3, 1, 2]


@pytest.mark.parametrize("shape", [(2,), (4,), (3, 2), (1, 3), ()])
def test_number_of_labels_must_be_that_of_the_images(shape, refused):
    with refused(ValueError, "one label for each of 3 images", f"Received: labels with shape={shape}"):
        as_labels(np.zeros(shape, int), 3)


def test_labels_must_be_integers(refused):
    with refused(ValueError, "integer labels", "Received: labels with dtype=float64"):
        as_labels(np.zeros(3), 3)


def test_negative_labels_are_refused(refused):
    with refused(ValueError, "from 0 upwards", "minimum=-2"):
        as_labels([0, -2, 2], 3)
