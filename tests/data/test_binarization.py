"""Draws of black and white pixels."""

from __future__ import annotations

import hashlib
import tracemalloc

import numpy as np
import pytest

from digitvae.data import draw_bits, fixed_bits
from digitvae.data.arrays import images_per_chunk


def test_bits_of_the_test_set_are_those_of_the_protocol(mnist):
    images = mnist.test_images
    expected = np.random.default_rng(777).random(images.shape) < images / 255
    bits = fixed_bits(images)
    assert bits.dtype == np.uint8
    assert np.array_equal(bits, expected * np.uint8(255))
    digest = "88c26007036b492d7809fc323507b0437f5c7263b70d321227dd36521f70c98b"
    assert hashlib.sha256(bits.tobytes()).hexdigest() == digest


@pytest.mark.parametrize("at_once", [1, 4, 10, 99])
def test_chunks_draw_the_same_stream_as_one_call(make_images, monkeypatch, at_once):
    monkeypatch.setattr("digitvae.data.binarization.images_per_chunk", lambda shape: at_once)
    images = make_images(10)
    expected = np.random.default_rng(777).random(images.shape) < images / 255
    assert np.array_equal(fixed_bits(images), expected * np.uint8(255))


def test_a_set_that_ends_within_a_chunk(make_images):
    images = make_images(150, 128, 127)
    assert 1 < len(images) / images_per_chunk(images.shape) < 3
    expected = np.random.default_rng(3).random(images.shape) < images / 255
    assert np.array_equal(fixed_bits(images, seed=3), expected * np.uint8(255))


def test_memory_stays_far_below_a_float_for_each_pixel(mnist):
    images = mnist.test_images
    tracemalloc.start()
    try:
        fixed_bits(images)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5 * images.nbytes  # the result is one of them; float64 of all would be eight more


def test_bits_pass_through_unchanged(make_images):
    bits = fixed_bits(make_images(20))
    assert set(np.unique(bits)) == {0, 255}
    assert np.array_equal(fixed_bits(bits), bits)
    assert np.array_equal(fixed_bits(bits, seed=1), bits)


def test_images_are_left_alone_and_other_forms_taken(make_images):
    images = make_images(5)
    before = images.copy()
    bits = fixed_bits(images)
    assert np.array_equal(images, before)
    assert np.array_equal(fixed_bits((images / 255)[..., np.newaxis]), bits)


def test_seed_matters(make_images):
    images = make_images(5)
    assert not np.array_equal(fixed_bits(images), fixed_bits(images, seed=778))


def test_invalid_images_are_refused(refused):
    with refused(ValueError, "float images in [0, 1]"):
        fixed_bits(np.full((1, 8, 8), 2.0))


@pytest.mark.parametrize("level", [0, 255])
def test_pure_black_and_white_are_certain(level):
    assert (fixed_bits(np.full((3, 8, 8), level, np.uint8)) == level).all()


def test_bits_for_training_have_the_grey_level_as_probability():
    levels = np.array([0, 1, 26, 128, 254, 255], "uint8")
    images = np.broadcast_to(levels[:, None, None], (6, 128, 128))
    generator = np.random.default_rng(0)
    draws = [draw_bits(images, generator) for _ in range(10)]
    assert draws[0].dtype == bool
    p, count = levels / 255, 10 * 128**2
    mean = np.sum(draws, axis=(0, 2, 3)) / count
    assert (np.abs(mean - p) <= 5 * np.sqrt(p * (1 - p) / count)).all()
    assert (draws[0] != draws[1]).any()
