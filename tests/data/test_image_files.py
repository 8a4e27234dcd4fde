"""Image files and folders of them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from digitvae.data import load_dataset, read_images


@pytest.fixture
def save_png():
    """Return a writer of grey PNG files, which makes the folders as well."""

    def save(path, image):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
        return path

    return save


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".bmp", ".gif", ".tif", ".tiff"])
def test_lossless_formats_round_trip(tmp_path, make_images, save_png, suffix):
    image = make_images(1)[0]
    path = save_png(tmp_path / f"digit{suffix}", image)
    images, labels = read_images(path)
    assert np.array_equal(images, image[np.newaxis])
    assert images.dtype == np.uint8
    assert labels is None


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_lossy_formats_come_close(tmp_path, save_png, suffix):
    image = np.repeat(np.linspace(0, 255, 16).astype(np.uint8)[:, None], 24, axis=1)
    images, _ = read_images(save_png(tmp_path / f"digit{suffix}", image))
    assert images.shape == (1, 16, 24)
    assert np.abs(images[0].astype(int) - image).max() < 12


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA"])
def test_colour_modes_become_grey(tmp_path, mode):
    mask = np.eye(10, dtype=np.uint8) * 255
    Image.fromarray(mask).convert(mode).save(tmp_path / "digit.png")
    assert np.array_equal(read_images(tmp_path / "digit.png")[0][0], mask)


def test_colours_are_weighted_as_luma(tmp_path):
    Image.new("RGB", (8, 9), (200, 100, 50)).save(tmp_path / "digit.png")
    images, _ = read_images(tmp_path / "digit.png")
    assert (images == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)).all()


def test_opaque_palette_with_transparency_table_is_taken(tmp_path):
    mask = np.eye(10, dtype=np.uint8) * 255
    image = Image.fromarray(mask).convert("P")
    image.save(tmp_path / "digit.png", transparency=b"\xff" * 256)
    assert np.array_equal(read_images(tmp_path / "digit.png")[0][0], mask)


def test_transparent_parts_are_refused(tmp_path, refused):
    pixels = np.zeros((9, 9, 4), np.uint8)
    pixels[4, :, 3] = 255  # a black stroke on transparent black
    Image.fromarray(pixels).save(tmp_path / "digit.png")
    with refused(ValueError, "without transparent parts", tmp_path / "digit.png"):
        read_images(tmp_path / "digit.png")


@pytest.mark.parametrize(
    ("name", "mode", "dtype"), [("a.png", "I;16", "u2"), ("a.tif", "F", "f4"), ("a.tif", "I", "i4")]
)
def test_more_than_8_bits_are_refused(tmp_path, name, mode, dtype, refused):
    Image.fromarray(np.zeros((9, 9), dtype)).save(tmp_path / name)
    with refused(ValueError, "8 bits per channel", f"{tmp_path / name} with mode={mode}"):
        read_images(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_unreadable_image_is_named(tmp_path, content, refused):
    path = tmp_path / "digit.png"
    path.write_bytes(content)
    with refused(ValueError, "readable image file", path):
        read_images(path)


@pytest.mark.parametrize("suffix", [".png", ".gif", ".bmp", ".tif", ".webp"])
def test_truncated_image_is_named(tmp_path, make_images, save_png, suffix, refused):
    path = save_png(tmp_path / f"digit{suffix}", make_images(1, 40, 40)[0])
    path.write_bytes(path.read_bytes()[:-400])
    with refused(ValueError, "readable image file", path):
        read_images(path)


@pytest.mark.parametrize("shape", [(7, 8), (8, 7), (129, 8), (8, 129)])
def test_size_outside_8_to_128_names_the_file(tmp_path, save_png, shape, refused):
    save_png(tmp_path / "b.png", np.zeros((9, 9), np.uint8))
    path = save_png(tmp_path / "a.png", np.zeros(shape, np.uint8))
    with refused(ValueError, "8x8 to 128x128", f"{path} with {shape[0]}x{shape[1]}"):
        read_images(tmp_path)


def test_huge_image_is_refused_by_its_header(tmp_path, refused):
    path = tmp_path / "bomb.png"
    Image.new("1", (11_000, 11_000)).save(path)  # above the size at which Pillow warns
    with refused(ValueError, "8x8 to 128x128", f"{path} with 11000x11000"):
        read_images(path)


def test_flat_folder_is_unlabelled_and_in_order_of_names(tmp_path, make_images, save_png):
    images = make_images(4)
    for name, image in zip("cabd", images, strict=True):
        save_png(tmp_path / f"{name}{'.PNG' if name == 'd' else '.png'}", image)
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "._a.png").write_bytes(b"what macOS leaves behind")
    (tmp_path / ".hidden").mkdir()
    read, labels = read_images(tmp_path)
    assert np.array_equal(read, images[[1, 2, 0, 3]])
    assert labels is None
    dataset = load_dataset(tmp_path)
    assert (len(dataset.train_images), len(dataset.test_images)) == (3, 1)
    assert dataset.train_labels is None


def test_sub_folders_with_numbers_are_labels(tmp_path, make_images, save_png):
    images = make_images(3)
    for name, image in zip(("7", "3", "0"), images, strict=True):
        save_png(tmp_path / name / "x.png", image)
    (tmp_path / "9").mkdir()
    read, labels = read_images(tmp_path)
    assert labels.tolist() == [0, 3, 7]
    assert labels.dtype == np.int64
    assert np.array_equal(read, images[::-1])


def test_sub_folders_with_names_are_labels_in_sorted_order(tmp_path, make_images, save_png):
    images = make_images(3)
    for name, image in zip(("seven", "2", "three"), images, strict=True):
        save_png(tmp_path / name / "x.png", image)
    read, labels = read_images(tmp_path)
    assert labels.tolist() == [0, 1, 2]
    assert np.array_equal(read, images[[1, 0, 2]])


def test_train_and_test_folders(tmp_path, make_images, save_png):
    train, test = make_images(6), make_images(1, seed=1)
    for index, image in enumerate(train):
        save_png(tmp_path / "train" / "abc"[index // 2] / f"{index}.png", image)
    save_png(tmp_path / "test" / "c" / "0.png", test[0])
    dataset = load_dataset(tmp_path)
    assert sorted(dataset.train_labels.tolist()) == [0, 0, 1, 1, 2, 2]
    assert dataset.test_labels.tolist() == [2]  # numbered together with train, not on its own
    assert np.array_equal(dataset.test_images, test)
    for image, label in zip(dataset.train_images, dataset.train_labels, strict=True):
        assert any(np.array_equal(image, original) for original in train[2 * label : 2 * label + 2])
    images, labels = read_images(tmp_path)
    assert np.array_equal(images, test)
    assert labels.tolist() == [2]


def test_train_folder_alone_has_its_test_part_held_out(tmp_path, make_images, save_png):
    for index, image in enumerate(make_images(7)):
        save_png(tmp_path / "train" / f"{index}.png", image)
    dataset = load_dataset(tmp_path)
    assert (len(dataset.train_images), len(dataset.test_images)) == (6, 1)


def test_validation_images_of_sorted_folders_are_of_all_labels(tmp_path, make_images, save_png):
    for index, image in enumerate(make_images(40, 8, 8)):
        save_png(tmp_path / str(index // 20) / f"{index:02}.png", image)
    assert set(load_dataset(tmp_path).train_labels[-10:]) == {0, 1}


def test_anything_beside_train_is_refused(tmp_path, make_images, save_png, refused):
    image = make_images(1)[0]
    save_png(tmp_path / "train" / "a.png", image)
    save_png(tmp_path / "valid" / "a.png", image)
    save_png(tmp_path / "b.png", image)
    with refused(ValueError, "train and test", f"{tmp_path}, which also contains valid, b.png"):
        load_dataset(tmp_path)


def test_images_beside_sub_folders_of_images_are_refused(tmp_path, make_images, save_png, refused):
    image = make_images(1)[0]
    save_png(tmp_path / "0" / "a.png", image)
    save_png(tmp_path / "b.png", image)
    with refused(ValueError, "not in both", f"{tmp_path / 'b.png'} beside the sub-folder 0"):
        load_dataset(tmp_path)


def test_images_of_different_sizes_name_the_file(tmp_path, save_png, refused):
    save_png(tmp_path / "a.png", np.zeros((9, 13), np.uint8))
    path = save_png(tmp_path / "b.png", np.zeros((13, 9), np.uint8))
    with refused(ValueError, "one size, 9x13", tmp_path / "a.png", f"{path} with 13x9"):
        load_dataset(tmp_path)


def test_train_and_test_of_different_sizes_are_refused(tmp_path, save_png, refused):
    for index in range(3):
        save_png(tmp_path / "train" / f"{index}.png", np.zeros((9, 13), np.uint8))
    save_png(tmp_path / "test" / "a.png", np.zeros((13, 9), np.uint8))
    with refused(ValueError, "(9, 13)", "(13, 9)"):
        load_dataset(tmp_path)


@pytest.mark.parametrize("place", ["", "0", "train"])
def test_folder_without_images_is_refused(tmp_path, place, refused):
    (tmp_path / place).mkdir(exist_ok=True)
    (tmp_path / place / "notes.txt").write_text("no image")
    with refused(ValueError, "image files (.bmp, .gif", "four IDX files", "which has none"):
        load_dataset(tmp_path)


def test_unreadable_file_in_a_folder_is_named(tmp_path, make_images, save_png, refused):
    save_png(tmp_path / "1" / "a.png", make_images(1)[0])
    (tmp_path / "1" / "b.png").write_bytes(b"broken")
    with refused(ValueError, "readable image file", tmp_path / "1" / "b.png"):
        read_images(tmp_path)
