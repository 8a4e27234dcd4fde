"""The embedded MNIST."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from digitvae.data import load_dataset, read_images
from digitvae.data import mnist as module
from digitvae.data.checksums import ARCHIVES


def test_shapes_and_types(mnist):
    assert mnist.name == "mnist"
    assert mnist.image_shape == (28, 28)
    assert mnist.train_images.shape == (60_000, 28, 28)
    assert mnist.test_images.shape == (10_000, 28, 28)
    assert mnist.train_labels.shape == (60_000,)
    assert mnist.test_labels.shape == (10_000,)
    assert mnist.train_images.dtype == mnist.test_images.dtype == np.uint8
    assert mnist.train_labels.dtype == mnist.test_labels.dtype == np.int64
    assert mnist.train_images.flags.c_contiguous


def test_arrays_are_writable(mnist):
    assert mnist.train_images.flags.writeable
    assert mnist.test_labels.flags.writeable


def test_class_counts(mnist):
    train = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    test = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(mnist.train_labels).tolist() == train
    assert np.bincount(mnist.test_labels).tolist() == test


def test_first_labels_and_mean_are_those_everyone_knows(mnist):
    assert mnist.train_labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert mnist.test_labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert mnist.train_images.mean() / 255 == pytest.approx(0.1307, abs=5e-5)


def test_digest_is_fixed(mnist):
    assert mnist.sha256 == "25538e81b3812ffd0ca7e1404010b829f8f9df588ac65315b66ca78e5af3b057"


def test_read_images_gives_the_test_set(mnist):
    images, labels = read_images("mnist")
    assert np.array_equal(images, mnist.test_images)
    assert np.array_equal(labels, mnist.test_labels)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The folder the package reads from, moved to a temporary place."""
    monkeypatch.setattr(module, "files", lambda package: tmp_path)
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


def test_changed_content_is_refused(installed, refused):
    name = "train-images-idx3-ubyte.gz"
    (installed / name).write_bytes(gzip.compress(b"something else"))
    with refused(ValueError, name, ARCHIVES[name].md5, "Received: 14 bytes"):
        load_dataset()


def test_truncated_archive_is_refused(installed, refused):
    name = "train-images-idx3-ubyte.gz"
    (installed / name).write_bytes(gzip.compress(b"something else")[:-5])
    with refused(ValueError, name, "truncated or damaged"):
        load_dataset()
