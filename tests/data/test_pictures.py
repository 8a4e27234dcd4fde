"""What a user names on the command line becomes images with names."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from digitvae.data import read_inputs, read_pictures
from digitvae.data.photos import read_photo


@pytest.fixture
def draw(mnist):
    """Return a writer of a test digit as a drawing, black on white and larger, or as it is."""

    def write(path, index=0, raw=False):
        path.parent.mkdir(parents=True, exist_ok=True)
        digit = Image.fromarray(mnist.test_images[index])
        image = digit if raw else Image.fromarray(255 - mnist.test_images[index]).resize((140, 140), 0)
        image.save(path)
        return path

    return write


@pytest.mark.parametrize(
    ("text", "rows"),
    [("mnist", range(10_000)), ("mnist:17", [17]), ("mnist:9998-9999", [9998, 9999]), ("mnist:0-0", [0])],
)
def test_embedded_test_digits(mnist, text, rows):
    images, names = read_inputs([text])
    assert np.array_equal(images, mnist.test_images[list(rows)])
    assert names == [f"mnist-{row}" for row in rows]


@pytest.mark.parametrize("text", ["mnist:10000", "mnist:3-10000", "mnist:5-4"])
def test_embedded_digits_that_are_not_there(text, refused):
    with refused(ValueError, "mnist:FIRST-LAST, from 0 to 9999", text):
        read_inputs([text])


@pytest.mark.parametrize("text", ["mnist:", "mnist:-1", "mnist:a", "mnist:1-2-3", "MNIST", "", "nowhere.png"])
def test_what_is_neither_digits_nor_a_path(text, refused):
    with refused(FileNotFoundError, "path of a file or folder", repr(text)):
        read_inputs([text])


def test_inputs_of_all_kinds_keep_their_order(tmp_path, draw, mnist, write_idx):
    draw(tmp_path / "folder" / "b.png", 1)
    draw(tmp_path / "folder" / "a.png", 2)
    one = draw(tmp_path / "one.png", 3)
    np.save(tmp_path / "array.npy", mnist.test_images[10:12])
    np.savez(tmp_path / "several.npz", mnist.test_images[20:21])
    idx = write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", mnist.test_images[30:32])
    texts = [one, tmp_path / "folder", "mnist:5", tmp_path / "array.npy", tmp_path / "several.npz", idx]
    images, names = read_inputs([str(text) for text in texts])
    rows = [3, 2, 1, 5, 10, 11, 20, 30, 31]
    assert (images.dtype, images.shape) == (np.uint8, (len(rows), 28, 28))
    assert np.abs(images.astype(int) - mnist.test_images[rows]).mean() < 3
    assert np.array_equal(images[3:], mnist.test_images[rows[3:]])
    assert names == [
        *("one", "a", "b", "mnist-5", "array-00000", "array-00001", "several-00000"),
        *("t10k-images-idx3-ubyte-00000", "t10k-images-idx3-ubyte-00001"),
    ]


def test_photos_are_turned_into_digits_of_the_models_size(tmp_path, draw):
    path = draw(tmp_path / "a.png")
    for image_shape in ((28, 28), (33, 47)):
        images, _ = read_pictures(path, image_shape)
        assert np.array_equal(images, read_photo(path, image_shape)[np.newaxis])


def test_raw_pictures_are_taken_as_they_are(tmp_path, draw, mnist):
    for index in range(3):
        draw(tmp_path / "digits" / f"{2 - index}.png", index, raw=True)
    images, names = read_pictures(tmp_path / "digits", raw=True)
    assert np.array_equal(images, mnist.test_images[[2, 1, 0]])
    assert names == ["0", "1", "2"]
    images, names = read_pictures([tmp_path / "digits" / "1.png"], raw=True)
    assert np.array_equal(images, mnist.test_images[1:2])
    assert names == ["1"]


def test_names_tell_sub_folders_apart_and_are_distinct(tmp_path, draw):
    for place in ("3/a.png", "7/a.png", "7/a.bmp"):
        draw(tmp_path / place)
    one = draw(tmp_path / "other" / "7-a-2.png")
    assert read_pictures([tmp_path, one])[1] == ["3-a", "7-a", "7-a-2", "other-7-a-2", "7-a-2-2"]


def test_of_train_and_test_folders_the_test_pictures_are_read(tmp_path, draw, mnist):
    draw(tmp_path / "train" / "0" / "a.png", 0, raw=True)
    draw(tmp_path / "test" / "0" / "b.png", 1, raw=True)
    for raw in (False, True):
        assert read_pictures(tmp_path, raw=raw)[1] == ["0-b"]
    assert np.array_equal(read_pictures(tmp_path, raw=True)[0], mnist.test_images[1:2])


def test_a_folder_of_idx_files_gives_its_test_images(tmp_path, mnist, write_idx):
    for part, kind, array in (
        ("train", "images-idx3", mnist.test_images[:3]),
        ("train", "labels-idx1", np.zeros(3, np.uint8)),
        ("t10k", "images-idx3", mnist.test_images[3:5]),
        ("t10k", "labels-idx1", np.zeros(2, np.uint8)),
    ):
        write_idx(tmp_path / "garments" / f"{part}-{kind}-ubyte", array)
    images, names = read_pictures(tmp_path / "garments")
    assert np.array_equal(images, mnist.test_images[3:5])
    assert names == ["garments-00000", "garments-00001"]


@pytest.mark.parametrize("raw", [False, True])
def test_arrays_of_another_size_are_refused(tmp_path, make_images, raw, refused):
    path = tmp_path / "array.npy"
    np.save(path, make_images(2, 9, 13))
    with refused(ValueError, "the model's size, 28x28", f"{path} with 9x13"):
        read_inputs([path], raw=raw)


def test_embedded_digits_are_refused_by_models_of_another_size(refused):
    with refused(ValueError, "the model's size, 33x47", "mnist:3 with 28x28"):
        read_inputs(["mnist:3"], (33, 47))


def test_raw_pictures_of_another_size_are_refused(tmp_path, draw, refused):
    Image.new("L", (13, 9)).save(tmp_path / "a.png")
    with refused(ValueError, "the model's size, 28x28", f"{tmp_path / 'a.png'} with 9x13"):
        read_pictures(tmp_path / "a.png", raw=True)
    with refused(ValueError, "8x8 to 128x128", "b.png"):
        read_pictures(draw(tmp_path / "b.png"), raw=True)


@pytest.mark.parametrize("raw", [False, True])
def test_folders_without_pictures_are_refused(tmp_path, raw, refused):
    (tmp_path / "empty").mkdir()
    with refused(ValueError, "folder with image files", tmp_path / "empty"):
        read_pictures(tmp_path / "empty", raw=raw)
    (tmp_path / "empty" / "notes.txt").write_text("no picture")
    with refused(ValueError, "folder with image files", tmp_path / "empty"):
        read_pictures(tmp_path / "empty", raw=raw)


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_damaged_pictures_are_refused(tmp_path, draw, raw, content, refused):
    draw(tmp_path / "a.png", raw=True)
    (tmp_path / "b.png").write_bytes(content)
    for source in (tmp_path, tmp_path / "b.png"):
        with refused(ValueError, "readable image file", tmp_path / "b.png"):
            read_pictures(source, raw=raw)


def test_a_file_of_another_kind_is_refused(tmp_path, refused):
    (tmp_path / "notes.txt").write_text("no picture")
    with refused(ValueError, "IDX file (plain or .gz), .npy, .npz or an image", tmp_path / "notes.txt"):
        read_pictures(tmp_path / "notes.txt")


def test_a_blank_picture_in_a_folder_is_named(tmp_path, draw, refused):
    draw(tmp_path / "a.png")
    Image.new("L", (100, 100), 255).save(tmp_path / "b.png")
    with refused(ValueError, "strokes that stand out", tmp_path / "b.png"):
        read_pictures(tmp_path)


def test_nothing_is_refused(refused):
    for nothing in (read_inputs, read_pictures):
        with refused(ValueError, "at least one picture", "none"):
            nothing([])
