"""`.npy` and `.npz` files."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from digitvae.data import load_dataset, read_images

KEYS = [
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("images", "labels", "test_images", "test_labels"),
]


@pytest.mark.parametrize("form", ["uint8", "channel", "float"])
def test_npy_round_trip(tmp_path, make_images, form):
    images = make_images(9)
    path = tmp_path / "digits.npy"
    np.save(path, {"uint8": images, "channel": images[..., None], "float": images / 255}[form])
    read, labels = read_images(path)
    assert np.array_equal(read, images)
    assert read.dtype == np.uint8
    assert labels is None
    dataset = load_dataset(path)
    assert dataset.name == "digits.npy"
    assert (len(dataset.train_images), len(dataset.test_images)) == (8, 1)
    assert dataset.train_labels is None
    assert dataset.test_labels is None


@pytest.mark.parametrize("keys", KEYS)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_with_train_and_test(tmp_path, make_images, keys, save):
    train, test = make_images(5), make_images(2, seed=1)
    train_labels, test_labels = np.array([2, 0, 1, 2, 0], np.uint8), np.array([1, 1])
    path = tmp_path / "digits.npz"
    save(
        path,
        **dict(zip(keys, (train, train_labels, test, test_labels), strict=True)),
        comment=np.array("mine"),
    )
    dataset = load_dataset(path)
    assert np.array_equal(dataset.train_images, train)
    assert np.array_equal(dataset.train_labels, train_labels)
    assert np.array_equal(dataset.test_images, test)
    assert np.array_equal(dataset.test_labels, test_labels)
    images, labels = read_images(path)
    assert np.array_equal(images, test)
    assert np.array_equal(labels, test_labels)


@pytest.mark.parametrize("keys", KEYS)
def test_npz_without_test_or_labels(tmp_path, make_images, keys):
    images = make_images(7)
    path = tmp_path / "digits.npz"
    np.savez(path, **{keys[0]: images})
    dataset = load_dataset(path)
    assert (len(dataset.train_images), len(dataset.test_images)) == (6, 1)
    assert dataset.train_labels is None
    np.savez(path, **{keys[0]: images, keys[1]: np.arange(7)[:, None]})
    read, labels = read_images(path)
    assert np.array_equal(read, images)
    assert labels.tolist() == list(range(7))


def test_npz_with_one_unnamed_array(tmp_path, make_images):
    images = make_images(3)
    np.savez(tmp_path / "digits.npz", images)
    read, labels = read_images(tmp_path / "digits.npz")
    assert np.array_equal(read, images)
    assert labels is None


def test_npz_without_known_keys_is_refused(tmp_path, make_images, refused):
    path = tmp_path / "digits.npz"
    np.savez(path, pictures=make_images(3), answers=np.arange(3))
    with refused(
        ValueError,
        "x_train",
        "train_images",
        "images",
        "one array of any name",
        f"{path} with keys=['answers', 'pictures']",
    ):
        load_dataset(path)
    np.savez(path, make_images(3), np.arange(3))
    with refused(ValueError, "x_train", f"{path} with keys=['arr_0', 'arr_1']"):
        load_dataset(path)


def test_arrays_of_other_names_are_not_read(tmp_path, make_images):
    path = tmp_path / "digits.npz"
    np.savez(path, images=make_images(3), extra=np.array([{}], object))
    assert len(read_images(path)[0]) == 3


class Trap:
    """An object whose unpickling would be noticed."""

    loaded = False

    def __reduce__(self):
        return setattr, (Trap, "loaded", True)


@pytest.mark.parametrize("name", ["digits.npy", "digits.npz"])
def test_pickled_objects_are_not_loaded(tmp_path, name, refused):
    path = tmp_path / name
    array = np.array([Trap()], object)
    if path.suffix == ".npy":
        np.save(path, array, allow_pickle=True)
    else:
        np.savez(path, images=array)
    with refused(ValueError, "pickled objects are not loaded", path):
        read_images(path)
    assert not Trap.loaded


@pytest.mark.parametrize(
    "content", [b"", b"\x93NUM", b"hello, world", b"PK\x03\x04 and no more", b"\x80\x04N."]
)
@pytest.mark.parametrize("name", ["digits.npy", "digits.npz"])
def test_garbage_is_refused(tmp_path, name, content, refused):
    path = tmp_path / name
    path.write_bytes(content)
    with refused(ValueError, f"complete {path.suffix} file", path):
        read_images(path)


@pytest.mark.parametrize("name", ["digits.npy", "digits.npz"])
def test_truncated_file_is_refused(tmp_path, make_images, name, refused):
    path = tmp_path / name
    np.save(path, make_images(3)) if path.suffix == ".npy" else np.savez(path, images=make_images(3))
    path.write_bytes(path.read_bytes()[:-30])
    with refused(ValueError, f"complete {path.suffix} file", path):
        load_dataset(path)


def test_damaged_array_in_npz_is_refused(tmp_path, make_images, refused):
    path = tmp_path / "digits.npz"
    np.savez(path, images=make_images(3))
    content = bytearray(path.read_bytes())
    content[300] ^= 1
    path.write_bytes(content)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() == "images.npy"
    with refused(ValueError, "complete .npz file", path):
        read_images(path)


def npy(shape, dtype="uint8", version=(1, 0)):
    """Returns the bytes of a `.npy` file before its values."""
    file = io.BytesIO()
    header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    write = (
        np.lib.format.write_array_header_1_0 if version == (1, 0) else np.lib.format.write_array_header_2_0
    )
    write(file, header)
    return file.getvalue()


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"images": (npy((2**28,)), 256)}, "shape=(268435456,)"),
        ({"images": (npy((2**20, 16, 16)), 1)}, "complete .npz file"),
        ({"images": (npy((2**24, 16), "S1"), 256)}, "with dtype=|S1"),
        ({"images": (npy((2**12, 16, 16)), 1), "labels": (npy((2**28,)), 256)}, "each of 4096 images"),
        ({"images": (np.lib.format.magic(2, 0) + b"\xff\xff\xff\x0f", 256)}, "complete .npz file"),
        ({"images": (b"", 256)}, "complete .npz file"),
    ],
    ids=["no images", "less than announced", "text", "labels", "header", "no array"],
)
def test_what_unzips_to_far_more_is_refused_in_little_memory(
    tmp_path, refused, little_memory, members, message
):
    path = tmp_path / "digits.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, (header, mebibytes) in members.items():
            with archive.open(f"{name}.npy", "w") as file:
                file.write(header)
                for _ in range(mebibytes):
                    file.write(bytes(2**20))
    with little_memory(), refused(ValueError, message, path):
        read_images(path)


def test_only_as_much_is_unzipped_as_is_allowed(tmp_path, make_images, refused, monkeypatch):
    path = tmp_path / "digits.npz"
    np.savez_compressed(path, images=make_images(100))
    monkeypatch.setattr("digitvae.data.arrays.MAX_UNZIPPED", 11_827)
    with refused(ValueError, "at most 11,827 unzipped bytes", f"images of {path} with 11,828"):
        read_images(path)
    monkeypatch.setattr("digitvae.data.arrays.MAX_UNZIPPED", 11_828)
    assert len(read_images(path)[0]) == 100


@pytest.mark.parametrize("shape", [(2**20, 16, 16), (2**60, 16, 16)])
def test_an_array_of_more_than_its_file_holds_is_refused_in_little_memory(
    tmp_path, refused, little_memory, shape
):
    path = tmp_path / "digits.npy"
    path.write_bytes(npy(shape) + bytes(256))
    with little_memory(), refused(ValueError, "complete .npy file", path):
        read_images(path)


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_both_versions_of_the_format_are_read(tmp_path, make_images, version):
    images = make_images(3)
    (tmp_path / "digits.npy").write_bytes(npy(images.shape, version=version) + images.tobytes())
    assert np.array_equal(read_images(tmp_path / "digits.npy")[0], images)


def test_wrong_arrays_are_refused_by_name(tmp_path, make_images, refused):
    path = tmp_path / "digits.npz"
    np.savez(path, x_train=make_images(3), x_test=np.full((1, 8, 8), 7.0))
    with refused(ValueError, "float images in [0, 1]", f"x_test of {path} from 7 to 7"):
        load_dataset(path)
    np.savez(path, x_train=make_images(3), y_train=np.arange(4))
    with refused(ValueError, "each of 3 images", f"labels of x_train of {path} with shape=(4,)"):
        load_dataset(path)
    np.savez(path, x_train=make_images(3), y_train=np.array(["a", "b", "c"]))
    with refused(ValueError, "integer labels", f"labels of x_train of {path} with dtype=<U1"):
        load_dataset(path)
    np.savez(path, x_train=make_images(3), x_test=make_images(3, 13, 9))
    with refused(ValueError, "size of the training images, (9, 13)", "(13, 9)"):
        load_dataset(path)


def test_wrong_array_in_npy_is_refused(tmp_path, refused):
    path = tmp_path / "digits.npy"
    np.save(path, np.zeros((3, 28, 28, 3), np.uint8))
    with refused(ValueError, "(n, height, width)", f"{path} with shape=(3, 28, 28, 3)"):
        load_dataset(path)
