"""Validation and test splits."""

from __future__ import annotations

import numpy as np
import pytest

from digitvae.data import split_validation
from digitvae.data.arrays import Part
from digitvae.data.splits import hold_out_test, mix_labels


def numbered(count):
    """Images and labels that both say which ones they are."""
    labels = np.arange(count)
    return np.broadcast_to(labels.astype(np.uint8)[:, None, None], (count, 8, 8)), labels


def test_mnist_validates_with_its_last_5000(mnist):
    train, validation = split_validation(mnist.train_images, mnist.train_labels)
    assert len(train[0]) == len(train[1]) == 55_000
    assert len(validation[0]) == len(validation[1]) == 5_000
    assert np.array_equal(validation[0], mnist.train_images[-5_000:])
    assert np.array_equal(validation[1], mnist.train_labels[-5_000:])
    assert np.array_equal(train[1], mnist.train_labels[:55_000])


@pytest.mark.parametrize(
    ("count", "size"),
    [(2, 1), (11, 1), (12, 1), (23, 1), (24, 2), (59_999, 4_999), (60_000, 5_000), (90_000, 5_000)],
)
def test_default_size(count, size):
    (_, train), (_, validation) = split_validation(*numbered(count))
    assert (len(train), len(validation)) == (count - size, size)
    assert train[0] == 0
    assert validation[-1] == count - 1


def test_given_size_and_no_labels():
    images, _ = numbered(10)
    (train, train_labels), (validation, validation_labels) = split_validation(images, None, size=9)
    assert train[:, 0, 0].tolist() == [0]
    assert validation[:, 0, 0].tolist() == list(range(1, 10))
    assert train_labels is None
    assert validation_labels is None


@pytest.mark.parametrize("size", [0, -1, 10, 11, 2.5])
def test_impossible_size_is_refused(size, refused):
    with refused(ValueError, "from 1 to 9 of 10 images", f"Received: size={size}"):
        split_validation(*numbered(10), size=size)


def test_one_image_cannot_be_split(refused):
    with refused(ValueError, "of 1 images"):
        split_validation(*numbered(1))


def test_labels_must_be_as_many_as_images(refused):
    images, labels = numbered(10)
    with refused(ValueError, "each of 10 images", "length 9"):
        split_validation(images, labels[:9])


@pytest.mark.parametrize(("count", "held"), [(2, 1), (3, 1), (7, 1), (13, 1), (14, 2), (70_000, 10_000)])
def test_one_seventh_is_held_out(count, held):
    train, test = hold_out_test(Part(*numbered(count)))
    assert len(test.images) == len(test.labels) == held
    assert sorted([*train.labels, *test.labels]) == list(range(count))
    assert (np.diff(train.labels) > 0).all()
    assert (np.diff(test.labels) > 0).all()
    assert np.array_equal(train.images[:, 0, 0], train.labels.astype(np.uint8))
    assert np.array_equal(test.images[:, 0, 0], test.labels.astype(np.uint8))


def test_the_same_ones_are_held_out_every_time():
    assert hold_out_test(Part(*numbered(30)))[1].labels.tolist() == [3, 9, 17, 22]


def test_sorted_labels_are_mixed_so_that_the_last_ones_are_of_every_kind():
    labels = np.repeat(np.arange(3), 20)
    images = np.broadcast_to(labels.astype(np.uint8)[:, None, None], (60, 8, 8))
    mixed = mix_labels(Part(images, labels))
    assert set(mixed.labels[-10:]) == {0, 1, 2}
    assert np.bincount(mixed.labels).tolist() == [20, 20, 20]
    assert np.array_equal(mixed.images[:, 0, 0], mixed.labels)
    assert np.array_equal(mix_labels(Part(images, labels)).labels, mixed.labels)


@pytest.mark.parametrize("labels", [None, np.zeros(4, int), np.array([0, 1, 0, 1])])
def test_images_not_sorted_by_label_keep_their_order(labels):
    part = Part(numbered(4)[0], labels)
    assert mix_labels(part) is part
