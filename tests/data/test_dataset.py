"""Names, paths and the data set type."""

from __future__ import annotations

import dataclasses
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from digitvae.data import Dataset, load_dataset, read_images

FOUR = ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz"]


@pytest.mark.parametrize("read", [load_dataset, read_images])
@pytest.mark.parametrize(
    ("name", "project"),
    [
        ("fashion_mnist", "zalandoresearch/fashion-mnist"),
        ("fashion-mnist", "zalandoresearch/fashion-mnist"),
        ("fashion", "zalandoresearch/fashion-mnist"),
        ("Fashion-MNIST", "zalandoresearch/fashion-mnist"),
        ("kmnist", "rois-codh/kmnist"),
    ],
)
def test_known_sets_that_are_not_shipped_say_where_they_are(
    tmp_path, monkeypatch, read, name, project, refused
):
    monkeypatch.chdir(tmp_path)
    with refused(FileNotFoundError, project, *FOUR, "t10k-labels-idx1-ubyte.gz", "path", f"source={name!r}"):
        read(name)


def test_emnist_says_where_it_is(tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    names = [f"emnist-digits-{part}-ubyte.gz" for part in ("train-images-idx3", "test-labels-idx1")]
    with refused(FileNotFoundError, "EMNIST", "NIST", *names, "source='emnist'"):
        load_dataset("emnist")


def test_folder_of_a_known_name_is_read(tmp_path, monkeypatch, write_idx, make_images):
    monkeypatch.chdir(tmp_path)
    for name in (*FOUR, "t10k-labels-idx1-ubyte.gz"):
        write_idx(tmp_path / "kmnist" / name, make_images(4) if "images" in name else np.arange(4))
    assert load_dataset("kmnist").name == "kmnist"


@pytest.mark.parametrize("read", [load_dataset, read_images])
@pytest.mark.parametrize("source", ["cifar10", "", "no/such/file.npy", Path("nowhere"), Path("mnist")])
def test_unknown_name_or_missing_file_is_refused(tmp_path, monkeypatch, read, source, refused):
    monkeypatch.chdir(tmp_path)
    with refused(FileNotFoundError, "'mnist' or the path of a file or folder", f"source={str(source)!r}"):
        read(source)


def test_file_of_another_kind_is_refused(tmp_path, refused):
    path = tmp_path / "digits.csv"
    path.write_text("1,2,3")
    with refused(ValueError, "IDX", ".npy", ".npz", ".png", path):
        load_dataset(path)


@pytest.mark.parametrize("name", ["digits.npy", "digits.npz", "digit.png", "digits.gz", "digits"])
@pytest.mark.parametrize("kind", ["device", "socket", "pipe"])
@pytest.mark.parametrize("read", [load_dataset, read_images])
def test_what_may_never_end_is_refused(tmp_path, monkeypatch, read, name, kind, refused):
    monkeypatch.chdir(tmp_path)
    if kind == "device":
        Path(name).symlink_to("/dev/null")
    elif kind == "pipe":
        os.mkfifo(name)
        # Who opens the pipe all the same finds its end, and the test fails instead of hanging.
        threading.Thread(target=lambda: open(name, "wb").close(), daemon=True).start()
    else:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(name)
    with refused(ValueError, "Expected a folder or a regular file", name):
        read(name)
    if kind == "pipe":
        os.close(os.open(name, os.O_RDONLY))


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_images_to_train_are_refused(tmp_path, make_images, count, refused):
    path = tmp_path / "digits.npy"
    np.save(path, make_images(count))
    with refused(ValueError, "at least 3 images to train", f"{path} with {count}"):
        load_dataset(path)
    assert len(read_images(path)[0]) == count


def test_three_images_are_enough(tmp_path, make_images):
    np.save(tmp_path / "digits.npy", make_images(3))
    dataset = load_dataset(tmp_path / "digits.npy")
    assert (len(dataset.train_images), len(dataset.test_images)) == (2, 1)


def test_too_few_training_images_beside_a_test_part_are_refused(tmp_path, make_images, refused):
    path = tmp_path / "digits.npz"
    np.savez(path, x_train=make_images(1), x_test=make_images(5))
    with refused(ValueError, "at least 2 training images", f"{path} with 1"):
        load_dataset(path)
    np.savez(path, x_train=make_images(2), x_test=make_images(1))
    assert len(load_dataset(path).train_images) == 2


def test_home_folder_is_expanded(tmp_path, monkeypatch, make_images):
    monkeypatch.setenv("HOME", str(tmp_path))
    np.save(tmp_path / "digits.npy", make_images(3))
    assert len(read_images("~/digits.npy")[0]) == 3


def test_digest_identifies_the_data_whatever_the_file(tmp_path, make_images, write_idx):
    train, test = make_images(4), make_images(2, seed=1)
    labels = np.array([1, 0, 1, 0])
    np.savez(tmp_path / "digits.npz", x_train=train / 255, y_train=labels, x_test=test)
    digest = load_dataset(tmp_path / "digits.npz").sha256
    assert digest == Dataset("other", train, labels.astype(np.uint8), test, None).sha256
    assert len(digest) == 64


def test_digest_changes_with_any_part(make_images):
    train, test = make_images(4), make_images(4, seed=1)
    labels = np.array([1, 0, 1, 0])
    changed = train.copy()
    changed[3, 8, 12] ^= 1
    digests = [
        Dataset("d", *arrays).sha256
        for arrays in (
            (train, labels, test, labels),
            (changed, labels, test, labels),
            (test, labels, train, labels),
            (train, labels, test, None),
            (train, None, test, labels),
            (train, labels[::-1], test, labels),
            (train, labels, test, labels[::-1]),
            (train.reshape(4, 13, 9), labels, test.reshape(4, 13, 9), labels),
            (train[:3], labels[:3], test, labels),
        )
    ]
    assert len(set(digests)) == len(digests)


def test_dataset_is_validated_frozen_and_brief(make_images, refused):
    dataset = Dataset("d", make_images(2) / 255, [1, 0], make_images(1), None)
    assert dataset.train_images.dtype == np.uint8
    assert dataset.train_labels.dtype == np.int64
    assert dataset.image_shape == (9, 13)
    assert repr(dataset) == f"Dataset(name='d', sha256='{dataset.sha256}')"
    with pytest.raises(dataclasses.FrozenInstanceError):
        dataset.name = "e"
    with refused(ValueError, "each of 2 images", "train labels of d"):
        Dataset("d", make_images(2), [1], make_images(1), None)
    with refused(ValueError, "at least one image", "test images of d"):
        Dataset("d", make_images(2), None, make_images(0), None)
    with refused(ValueError, "(9, 13)", "(13, 9)"):
        Dataset("d", make_images(2), None, make_images(1, 13, 9), None)


def test_importing_loads_neither_keras_nor_pillow():
    script = (
        "import sys, digitvae.data; assert not {'keras', 'PIL', 'scipy', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
