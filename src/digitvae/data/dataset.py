"""Data sets by name or path: training and test images behind one type."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from digitvae.data.arrays import Images, Labels, Part, Source, as_images, as_labels
from digitvae.data.idx import is_idx_file, is_idx_folder, read_idx_file, read_idx_folder, read_idx_test_file
from digitvae.data.image_files import IMAGE_SUFFIXES, read_image_file, read_image_folder
from digitvae.data.mnist import read_mnist
from digitvae.data.numpy_files import read_npy, read_npz
from digitvae.data.splits import hold_out_test, mix_labels

_EMBEDDED = "mnist"


class _Elsewhere(NamedTuple):
    """A known data set that is not shipped: its project, and how its files are called."""

    title: str
    project: str
    prefix: str
    test: str


_FASHION = _Elsewhere("Fashion-MNIST", "the GitHub project zalandoresearch/fashion-mnist", "", "t10k")
_ELSEWHERE = {
    "fashion_mnist": _FASHION,
    "fashion": _FASHION,
    "kmnist": _Elsewhere("KMNIST", "the GitHub project rois-codh/kmnist", "", "t10k"),
    "emnist": _Elsewhere("EMNIST", "NIST's page 'The EMNIST Dataset' (gzip.zip)", "emnist-digits-", "test"),
}


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test images of one size, validated when made.

    Attributes:
        name: `"mnist"`, or the name of the file or folder.
        train_images: uint8 `(n, height, width)`, 0..255; validation images still among them.
        train_labels: int64 `(n,)`, -1 for an image without a label; or None where there are none.
        test_images: uint8 `(m, height, width)`.
        test_labels: int64 `(m,)`, or None.
        sha256: hex digest over shapes and values of all four; the same data have the same digest, whatever
            their name or file format.
    """

    name: str
    train_images: Images = field(repr=False)
    train_labels: Labels | None = field(repr=False)
    test_images: Images = field(repr=False)
    test_labels: Labels | None = field(repr=False)
    sha256: str = field(init=False)

    def __post_init__(self) -> None:
        """Validate the arrays and compute the digest."""
        digest = hashlib.sha256()
        for part in ("train", "test"):
            images = as_images(getattr(self, f"{part}_images"), f"{part} images of {self.name}")
            labels = getattr(self, f"{part}_labels")
            if labels is not None:
                labels = as_labels(labels, len(images), f"{part} labels of {self.name}")
            object.__setattr__(self, f"{part}_images", images)
            object.__setattr__(self, f"{part}_labels", labels)
            digest.update(f"{part} images {images.shape}".encode())
            digest.update(images.data)
            digest.update(f"{part} labels {None if labels is None else labels.shape}".encode())
            if labels is not None:
                # One byte order, so that the digest is the same on every machine.
                digest.update(labels.astype("<i8").tobytes())
        if self.test_images.shape[1:] != self.train_images.shape[1:]:
            raise ValueError(
                f"Expected test images of the size of the training images, {self.image_shape}. "
                f"Received: test images of {self.name} with size {self.test_images.shape[1:]}"
            )
        object.__setattr__(self, "sha256", digest.hexdigest())

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width of an image, in pixels."""
        _, height, width = self.train_images.shape
        return height, width


def load_dataset(source: str | Path = _EMBEDDED) -> Dataset:
    """Load a data set with a training and a test part.

    Of a source without a test part one image in seven is held out as the test part, always the same ones.
    Images keep their order, unless the training images come sorted by label: these are shuffled, always the
    same way, so that the last of them, the validation set, are of all labels.

    Args:
        source: the string `"mnist"`, which is part of the package, or the path of one of these:
            a folder with four IDX files, named as those of MNIST or EMNIST, plain or gzipped;
            an IDX file of images, whose labels (`labels-idx1` for `images-idx3`) and, for a `train-` file,
            whose test set are taken along if they lie beside it;
            a `.npy` file; a `.npz` file (see `read_npz` for the keys);
            a folder of image files, sub-folders being labels, or of folders `train` and `test` of them.
            EMNIST's images, stored transposed, are turned upright (known by `emnist-` in the file's name).

    Returns:
        The data set.

    Raises:
        FileNotFoundError: if there is no such name, file or folder.
        ValueError: if a file is damaged or holds anything but images, or there are fewer than 3 images to
            train with.
    """
    if source == _EMBEDDED:
        return Dataset(_EMBEDDED, *read_mnist("train"), *read_mnist("t10k"))
    path = existing_path(source)
    train, test = _read(path)
    if test is None:
        test = read_idx_test_file(path)
    # Training, validation and test take at least one image each.
    needed = 3 if test is None else 2
    if len(train.images) < needed:
        raise ValueError(
            f"Expected at least {needed} {'images' if test is None else 'training images'} to train with. "
            f"Received: {source} with {len(train.images)}"
        )
    if test is None:
        train, test = hold_out_test(train)
    return Dataset(path.resolve().name, *mix_labels(train), *test)


def read_images(source: str | Path) -> tuple[Images, Labels | None]:
    """Read the images of a file or folder as they are, for a trained model to work on.

    Args:
        source: as for `load_dataset`, or one image file. Of `"mnist"`, and of a `.npz` file or a folder with
            a test part, only the test part is returned, so that no model is judged by its training images; an
            IDX file is read alone.

    Returns:
        Images, uint8 `(n, height, width)`, and labels, int64 `(n,)` or None.

    Raises:
        FileNotFoundError: if there is no such name, file or folder.
        ValueError: if a file is damaged or holds anything but images.
    """
    if source == _EMBEDDED:
        return read_mnist("t10k")
    train, test = _read(existing_path(source))
    return train if test is None else test


def read_part(source: str | Path, part: str) -> Part:
    """Read the training or the test part of a source, as it lies there: nothing is held out or shuffled.

    Args:
        source: as for `load_dataset`, or one image file.
        part: `train`, which is all where there is no test part, or `test`.

    Raises:
        FileNotFoundError: if there is no such name, file or folder.
        ValueError: if a file is damaged or holds anything but images, or there is no test part.
    """
    if source == _EMBEDDED:
        return read_mnist("train" if part == "train" else "t10k")
    train, test = _read(existing_path(source))
    if part == "train":
        return train
    if test is None:
        raise ValueError(f"Expected images with a test part. Received: {source}, which has none")
    return test


def existing_path(source: str | Path) -> Path:
    """Return the path of a source.

    Raises:
        FileNotFoundError: there is nothing; the message says what could be.
    """
    path = Path(source).expanduser()
    # An empty string would be the current folder.
    if str(source) and path.exists():
        return path
    known = _ELSEWHERE.get(str(source).lower().replace("-", "_"))
    if known is None:
        raise FileNotFoundError(
            f"Expected 'mnist' or the path of a file or folder. Received: source={str(source)!r}"
        )
    names = ", ".join(
        f"{known.prefix}{part}-{kind}-ubyte.gz"
        for part in ("train", known.test)
        for kind in ("images-idx3", "labels-idx1")
    )
    raise FileNotFoundError(
        f"Expected 'mnist' or the path of a file or folder ({known.title} is not shipped: download {names} "
        f"from {known.project} into one folder and give the path of that folder). "
        f"Received: source={str(source)!r}"
    )


def _read(path: Path) -> Source:
    """Read any file or folder."""
    if path.is_dir():
        return read_idx_folder(path) if is_idx_folder(path) else read_image_folder(path)
    if not path.is_file():
        # A device or a pipe may never end.
        raise ValueError(f"Expected a folder or a regular file. Received: {path}")
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return read_npz(path)
    if suffix == ".npy":
        return Source(read_npy(path), None)
    if suffix in IMAGE_SUFFIXES:
        return Source(read_image_file(path), None)
    if is_idx_file(path):
        return Source(read_idx_file(path), None)
    raise ValueError(
        f"Expected an IDX file (plain or .gz), .npy, .npz or an image ({', '.join(sorted(IMAGE_SUFFIXES))}). "
        f"Received: {path}"
    )
