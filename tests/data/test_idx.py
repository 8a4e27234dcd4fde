"""IDX files, alone and as data sets."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from digitvae.data import checksums, load_dataset, read_images

EMBEDDED = Path(checksums.__file__).parent / "files"
TRAIN, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


@pytest.fixture
def four_files(tmp_path, write_idx, make_images):
    """Return a writer of a data set's four files, and the arrays in them."""
    train, test = make_images(6), make_images(2, seed=1)
    train_labels, test_labels = np.array([3, 1, 2, 0, 1, 1]), np.array([1, 0])

    def write(prefix="", test_part="t10k", gz="", dash="-", transposed=False):
        axes = (0, 2, 1) if transposed else (0, 1, 2)
        write_idx(tmp_path / f"{prefix}train-images{dash}idx3-ubyte{gz}", train.transpose(axes))
        write_idx(tmp_path / f"{prefix}train-labels{dash}idx1-ubyte{gz}", train_labels)
        write_idx(tmp_path / f"{prefix}{test_part}-images{dash}idx3-ubyte{gz}", test.transpose(axes))
        write_idx(tmp_path / f"{prefix}{test_part}-labels{dash}idx1-ubyte{gz}", test_labels)
        return tmp_path

    def check(dataset):
        assert dataset.image_shape == (9, 13)
        assert np.array_equal(dataset.train_images, train)
        assert np.array_equal(dataset.train_labels, train_labels)
        assert np.array_equal(dataset.test_images, test)
        assert np.array_equal(dataset.test_labels, test_labels)

    return write, check


@pytest.mark.parametrize("gz", ["", ".gz"])
@pytest.mark.parametrize("dash", ["-", "."])
def test_folder_of_four_files(four_files, gz, dash):
    write, check = four_files
    folder = write(gz=gz, dash=dash)
    dataset = load_dataset(folder)
    check(dataset)
    assert dataset.name == folder.name
    check(load_dataset(str(folder)))


def test_plain_and_gzipped_side_by_side_are_one_data_set(four_files):
    write, check = four_files
    write(gz=".gz")
    check(load_dataset(write()))


def test_folder_gives_its_test_part_to_read(four_files):
    write, _ = four_files
    images, labels = read_images(write())
    assert images.shape == (2, 9, 13)
    assert labels.tolist() == [1, 0]


@pytest.mark.parametrize("gz", ["", ".gz"])
def test_emnist_is_turned_upright(four_files, gz):
    write, check = four_files
    folder = write(prefix="emnist-digits-", test_part="test", gz=gz, transposed=True)
    check(load_dataset(folder))
    check(load_dataset(folder / f"emnist-digits-train-images-idx3-ubyte{gz}"))
    assert load_dataset(folder).train_images.flags.c_contiguous


def test_two_data_sets_in_one_folder_are_refused_but_one_file_tells(four_files, refused):
    write, check = four_files
    write(prefix="emnist-digits-", test_part="test", transposed=True)
    folder = write(prefix="emnist-letters-", test_part="test", transposed=True)
    with refused(ValueError, "one data set", "emnist-digits-train-images", "emnist-letters-train-images"):
        load_dataset(folder)
    check(load_dataset(folder / "emnist-letters-train-images-idx3-ubyte"))


@pytest.mark.parametrize("missing", [TRAIN_LABELS, TEST, TEST_LABELS])
def test_missing_file_of_the_four_is_named(four_files, missing, refused):
    write, _ = four_files
    folder = write()
    (folder / missing).unlink()
    with refused(FileNotFoundError, TRAIN, TRAIN_LABELS, TEST, TEST_LABELS, f"{folder} without {missing}"):
        load_dataset(folder)


def test_missing_file_of_emnist_is_named_as_emnist_does(four_files, refused):
    write, _ = four_files
    folder = write(prefix="emnist-mnist-", test_part="test", transposed=True)
    (folder / "emnist-mnist-test-images-idx3-ubyte").unlink()
    with refused(FileNotFoundError, f"{folder} without emnist-mnist-test-images-idx3-ubyte"):
        load_dataset(folder)


def test_missing_training_images_are_named(four_files, refused):
    write, _ = four_files
    folder = write()
    (folder / TRAIN).unlink()
    with refused(FileNotFoundError, TRAIN, folder):
        load_dataset(folder)


@pytest.mark.parametrize("gz", ["", ".gz"])
def test_training_file_takes_its_labels_and_test_set_along(four_files, gz):
    write, check = four_files
    folder = write(gz=gz)
    check(load_dataset(folder / f"{TRAIN}{gz}"))


def test_reading_a_training_file_gives_that_file(four_files):
    write, _ = four_files
    images, labels = read_images(write() / TRAIN)
    assert len(images) == 6
    assert labels.tolist() == [3, 1, 2, 0, 1, 1]


def test_test_file_is_not_paired_with_the_training_set(four_files, refused):
    write, _ = four_files
    with refused(ValueError, "at least 3 images", "with 2"):
        load_dataset(write() / TEST)


def test_file_with_labels_beside_it(tmp_path, write_idx, make_images):
    images = make_images(14)
    path = write_idx(tmp_path / "mine-images-idx3.gz", images)
    write_idx(tmp_path / "mine-labels-idx1", np.arange(14) % 3)
    dataset = load_dataset(path)
    assert (len(dataset.train_images), len(dataset.test_images)) == (12, 2)
    read, labels = read_images(path)
    assert np.array_equal(read, images)
    assert labels.tolist() == (np.arange(14) % 3).tolist()


@pytest.mark.parametrize("name", ["digits.bin", "digits", "digits.gz", "images.idx3"])
def test_file_of_any_other_name_is_unlabelled(tmp_path, write_idx, make_images, name):
    images = make_images(1)
    read, labels = read_images(write_idx(tmp_path / name, images))
    assert np.array_equal(read, images)
    assert labels is None


def test_gzip_without_the_ending_is_recognised(tmp_path, write_idx, make_images):
    images = make_images(3)
    path = write_idx(tmp_path / "a.gz", images).rename(tmp_path / "digits")
    assert np.array_equal(read_images(path)[0], images)


def test_the_real_files_by_path_are_the_embedded_set(mnist):
    images, labels = read_images(EMBEDDED / f"{TEST}.gz")
    assert np.array_equal(images, mnist.test_images)
    assert np.array_equal(labels, mnist.test_labels)


@pytest.mark.parametrize("keep", [1, 9, 12, 1_000, -9, -1])
def test_truncated_gzip_of_the_real_file_is_refused(tmp_path, keep, refused):
    path = tmp_path / f"{TEST}.gz"
    path.write_bytes((EMBEDDED / path.name).read_bytes()[:keep])
    with refused(ValueError, "complete gzip file", path, "truncated or damaged"):
        read_images(path)


@pytest.mark.parametrize("at", [0, 40, 600_000, -3])
def test_damaged_gzip_of_the_real_file_is_refused(tmp_path, at, refused):
    path = tmp_path / f"{TEST}.gz"
    content = bytearray((EMBEDDED / path.name).read_bytes())
    content[at] ^= 0x10
    path.write_bytes(content)
    with refused(ValueError, "complete gzip file", path, "truncated or damaged"):
        read_images(path)


def test_garbage_called_gz_is_refused(tmp_path, refused):
    path = tmp_path / "x.gz"
    path.write_bytes(b"not gzip at all")
    with refused(ValueError, "complete gzip file", path):
        read_images(path)


@pytest.mark.parametrize(
    ("magic", "text"),
    [
        (b"\0\0\x08\x01", "0x00000801"),
        (b"\0\0\x0d\x03", "0x00000d03"),
        (b"\0\0\x08\x04", "0x00000804"),
        (b"", "0x"),
    ],
)
def test_wrong_magic_is_refused(tmp_path, magic, text, refused):
    path = tmp_path / "a-idx3-ubyte"
    path.write_bytes(magic + bytes(100 * bool(magic)))
    with refused(ValueError, "IDX file of images", "magic=0x00000803", f"{path} with magic={text}"):
        read_images(path)


def test_images_file_in_place_of_labels_is_refused(four_files, write_idx, make_images, refused):
    write, _ = four_files
    folder = write()
    path = write_idx(folder / TRAIN_LABELS, make_images(6))
    with refused(ValueError, "IDX file of labels", "magic=0x00000801", f"{path} with magic=0x00000803"):
        load_dataset(folder)


@pytest.mark.parametrize("gz", ["", ".gz"])
@pytest.mark.parametrize(("change", "actual"), [(-1, "233 bytes"), (1, "more"), (99, "more")])
def test_payload_must_be_what_the_header_says(tmp_path, write_idx, make_images, gz, change, actual, refused):
    path = write_idx(tmp_path / "a-idx3-ubyte", make_images(2))
    content = path.read_bytes()
    content = content[:change] if change < 0 else content + bytes(change)
    path = tmp_path / f"b-idx3-ubyte{gz}"
    path.write_bytes(gzip.compress(content) if gz else content)
    with refused(ValueError, "Expected 234 bytes", "shape=(2, 9, 13)", f"{path} with {actual}"):
        read_images(path)


def test_incomplete_header_is_refused(tmp_path, refused):
    path = tmp_path / "a-idx3-ubyte"
    path.write_bytes(b"\0\0\x08\x03\0\0\0\x01")
    with refused(ValueError, "header of 16 bytes", f"{path} with 8 bytes"):
        read_images(path)


def test_huge_shape_in_the_header_is_refused_without_allocating(tmp_path, refused):
    path = tmp_path / "a-idx3-ubyte"
    path.write_bytes(b"\0\0\x08\x03" + b"\xff" * 12)
    with refused(ValueError, "8x8 to 128x128", "shape=(4294967295, 4294967295, 4294967295)"):
        read_images(path)
    path.write_bytes(b"\0\0\x08\x03" + b"\xff" * 4 + b"\0\0\0\x1c" * 2)
    with refused(ValueError, "shape=(4294967295, 28, 28)", "with 0 bytes"):
        read_images(path)
    with gzip.open(tmp_path / "a-idx3-ubyte.gz", "wb") as file:
        file.write(path.read_bytes())
    with refused(ValueError, "at most 4,294,967,296 unzipped bytes", "with 3,367,254,359,280"):
        read_images(tmp_path / "a-idx3-ubyte.gz")


def bomb(*shape, mebibytes=256):
    """Returns a gzipped IDX header, and zeros after it that take a thousandth of their size."""
    header = struct.pack(f">{1 + len(shape)}I", 0x0800 + len(shape), *shape)
    return gzip.compress(header) + mebibytes * gzip.compress(bytes(2**20))


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (bomb(2, 9, 13), None, "gz with more"),
        (bomb(2, 9, 1300), None, "8x8 to 128x128"),
        (gzip.compress(bytes(2**20)) * 256, None, "magic=0x00000000"),
        (bomb(2, 9, 13, mebibytes=0) + gzip.compress(bytes(234)), bomb(2**28), "one label for each of 2"),
    ],
    ids=["longer", "large", "no header", "labels"],
)
def test_a_file_that_unzips_to_far_more_is_refused_in_little_memory(
    tmp_path, images, labels, message, refused, little_memory
):
    path = tmp_path / f"{TRAIN}.gz"
    path.write_bytes(images)
    if labels:
        (tmp_path / f"{TRAIN_LABELS}.gz").write_bytes(labels)
    with little_memory(), refused(ValueError, message):
        read_images(path)


def test_empty_set_is_refused(tmp_path, write_idx, refused):
    path = write_idx(tmp_path / "a-idx3-ubyte", np.zeros((0, 28, 28)))
    with refused(ValueError, "at least one image", path):
        read_images(path)


def test_size_is_checked(tmp_path, write_idx, refused):
    path = write_idx(tmp_path / "a-idx3-ubyte", np.zeros((1, 28, 129)))
    with refused(ValueError, "8x8 to 128x128", path):
        read_images(path)


def test_labels_must_be_as_many_as_images(tmp_path, write_idx, make_images, refused):
    path = write_idx(tmp_path / TRAIN, make_images(3))
    write_idx(tmp_path / TRAIN_LABELS, np.arange(4))
    with refused(ValueError, "one label for each of 3 images", f"{tmp_path / TRAIN_LABELS} with shape=(4,)"):
        load_dataset(path)
