"""Training images that stay in their shards: read when they are needed, shuffled through a bounded buffer."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

import numpy as np
import numpy.typing as npt

from digitvae import data as in_memory
from digitvae import seeds
from digitvae.data.arrays import Part
from digitvae.shards import SUFFIXES, ShardedData, ShardFile, place

BUFFER_ROWS = 65_536
"""Images that are shuffled together: 51 MB of MNIST. At most four such buffers are in memory."""
# Held out as from a data set in memory: one in seven to test, one in twelve of the others to validate.
_TEST, _VALIDATION = 10_000, 5_000
_TEST_SHARE, _VALIDATION_SHARE = 7, 12
# Training images in memory, for what needs some: first weights, PCA, a look at neighbours.
_SAMPLE = 5_000
# They come from shards that are evenly spread: of many shards not all are read before training begins.
_LEAST_SHARDS, _LEAST_ROWS = 48, 200_000
_SEED = 777  # fixed: all runs on all machines use the same split


@final
@dataclass(frozen=True, eq=False)
class StreamedDataset(in_memory.Dataset):
    """A data set in shards. In memory are the test and validation images and a sample of the training images.

    Attributes:
        name: of the folder.
        train_images: the sample, uint8 `(n, height, width)`; validation images are not among them.
        train_labels: of the sample, int64 `(n,)`, -1 for none; None where no image held in memory has one.
        test_images: uint8 `(m, height, width)`.
        test_labels: int64 `(m,)`, or None.
        sha256: hex digest of the name, rows and ids of every shard and of the images and labels in memory. A
            change of other images alone does not change it: they are read when they are trained on.
        validation: images and labels that validate.
        rows: all training images, the sample among them.
    """

    validation: Part = field(repr=False)
    rows: StreamedRows = field(repr=False)

    def __post_init__(self) -> None:
        """Validate the arrays and compute the digest."""
        super().__post_init__()
        digest = hashlib.sha256(self.sha256.encode())
        digest.update(np.ascontiguousarray(self.validation.images).data)
        for shard in self.rows.shards:
            digest.update(f"{shard.name} {shard.rows} {shard.ids}\n".encode())
        object.__setattr__(self, "sha256", digest.hexdigest())


def load_dataset(source: str | Path = "mnist") -> in_memory.Dataset:
    """Load a data set, as `digitvae.data.load_dataset` does, or open one in shards, as `open_shards` does.

    Args:
        source: as there; a folder with `.parquet` or `.npz` files, or a URL, are shards.
    """
    remote = "://" in str(source)
    folder = remote or Path(source).expanduser().is_dir()
    if remote or (folder and any(name.endswith(SUFFIXES) for name in place(source).names())):
        return open_shards(source)
    return in_memory.load_dataset(source)


def open_shards(folder: str | Path) -> StreamedDataset:
    """Open a data set in shards to train on: test and validation images are read, the others stay there.

    One image in seven is held out to test, at most 10,000, and one in twelve of the others to validate, at
    most 5,000: always the same ones. They are drawn from all rows of all shards, or, of more than 48 shards
    and 200,000 rows, from as many that are evenly spread.

    Args:
        folder: of the shards, a path or a URL.

    Raises:
        ImportError: pyarrow or fsspec is needed and not installed.
        OSError: the folder cannot be read.
        ValueError: it holds no shards, a bad row, an id twice, or fewer than 3 images.
    """
    data = ShardedData(folder)
    data.check_ids()
    full = [shard for shard in data.shards if shard.rows]
    if data.rows < 3:
        raise ValueError(f"Expected at least 3 images to train with. Received: {folder} with {data.rows}")
    wanted = min(len(full), max(_LEAST_SHARDS, -(-_LEAST_ROWS * len(full) // data.rows)))
    some = [full[i * len(full) // wanted] for i in range(wanted)]
    count = sum(shard.rows for shard in some)
    tests = min(_TEST, max(1, count // _TEST_SHARE))
    validations = min(_VALIDATION, max(1, (count - tests) // _VALIDATION_SHARE))
    held = tests + validations
    # What each of the rows is for: 0 test, 1 validation, 2 sample, 3 not in memory.
    use = np.full(count, 3, "int8")
    order = np.random.default_rng(_SEED).permutation(count)
    for number, part in enumerate(np.split(order, [tests, held, held + _SAMPLE])[:3]):
        use[part] = number
    parts: list[list[Part]] = [[], [], []]
    held_out: dict[str, npt.NDArray[np.int64]] = {}
    for shard, uses in zip(some, np.split(use, np.cumsum([shard.rows for shard in some])[:-1]), strict=True):
        read = data.read(shard, data.image_shape)
        for number, found in enumerate(parts):
            found.append(Part(read.images, read.labels).take(np.flatnonzero(uses == number)))
        held_out[shard.name] = np.flatnonzero(uses < 2)
    test, validation, sample = (Part(*map(np.concatenate, zip(*found, strict=True))) for found in parts)
    labels = 1 + max(int(part.labels.max()) for part in (test, validation, sample) if part.labels is not None)
    if not labels:
        test, validation, sample = (Part(part.images, None) for part in (test, validation, sample))
    name = str(folder).rstrip("/").rpartition("/")[2]
    rows = StreamedRows(data, held_out, labels)
    return StreamedDataset(name, *sample, *test, validation, rows)


def training_and_validation(dataset: in_memory.Dataset) -> tuple[Part, Part]:
    """Return training and validation images with their labels; of shards a sample of those of training."""
    if isinstance(dataset, StreamedDataset):
        return Part(dataset.train_images, dataset.train_labels), dataset.validation
    return in_memory.split_validation(dataset.train_images, dataset.train_labels)


class _Window:
    """Some shards whose rows are shuffled together."""

    def __init__(self, first: int, shards: list[ShardFile], count: int):
        self.first, self.shards, self.count = first, shards, count


@final
class StreamedRows:
    """The training images of a data set in shards, in an order that depends on (seed, epoch) alone.

    In every epoch the shards come in another order; as many at a time as fit into a buffer of `BUFFER_ROWS`
    (at least one) are shuffled together. So the rows at any position are known without those before, and a
    training goes on anywhere. One buffer is read ahead by a thread.

    Args:
        data: the shards.
        held_out: for names of shards the numbers of the rows that are not for training, sorted.
        labels: number of labels; 0 where there are none.
    """

    def __init__(self, data: ShardedData, held_out: dict[str, npt.NDArray[np.int64]], labels: int):
        self._data, self._held_out, self._labels = data, held_out, labels
        self.shards = data.shards
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1)
        self._windows: list[_Window] = []
        self._read: dict[int, Future[Part]] = {}

    def __len__(self) -> int:
        """Return the number of training images."""
        return self._data.rows - sum(map(len, self._held_out.values()))

    def start_epoch(self, seed: int, epoch: int) -> None:
        """Choose the order of an epoch."""
        with self._lock:
            self._seed, self._epoch = seed, epoch
            for future in self._read.values():
                future.cancel()
            self._read, self._windows = {}, []
            for i in seeds.stream(seed, "shards", epoch).permutation(len(self.shards)):
                shard = self.shards[i]
                rows = shard.rows - len(self._held_out.get(shard.name, ()))
                last = self._windows[-1] if self._windows else None
                if last is None or last.count + rows > BUFFER_ROWS:
                    first = 0 if last is None else last.first + last.count
                    self._windows.append(_Window(first, [shard], rows))
                else:
                    last.shards.append(shard)
                    last.count += rows

    def take(self, start: int, stop: int) -> Part:
        """Return rows of the epoch's order.

        Args:
            start: the first, from 0.
            stop: the one after the last.

        Raises:
            OSError: a shard cannot be read any more.
            ValueError: it holds a bad row, or a label that no image in memory has.
        """
        parts = []
        for number, window in enumerate(self._windows):
            low, high = max(start - window.first, 0), min(stop - window.first, window.count)
            if low < high:
                parts.append(self._buffer(number).take(slice(low, high)))
        return Part(
            np.concatenate([part.images for part in parts]),
            np.concatenate([part.labels for part in parts]) if self._labels else None,
        )

    def _buffer(self, number: int) -> Part:
        """Return the rows of a window; let the next one be read, and forget what is behind."""
        with self._lock:
            for wanted in (number, number + 1):
                if wanted < len(self._windows) and wanted not in self._read:
                    self._read[wanted] = self._pool.submit(self._shuffled, self._seed, self._epoch, wanted)
            # Another thread may still be in the window before.
            for old in [key for key in self._read if not number - 1 <= key <= number + 1]:
                del self._read[old]
            future = self._read[number]
        return future.result()

    def _shuffled(self, seed: int, epoch: int, number: int) -> Part:
        window = self._windows[number]
        order = seeds.stream(seed, "buffer", epoch, number).permutation(window.count)
        images = np.empty((window.count, *self._data.image_shape), "uint8")
        labels = np.empty(window.count, "int64")
        start = 0
        for shard in window.shards:
            read = self._data.read(shard, self._data.image_shape)
            kept = np.ones(shard.rows, bool)
            kept[self._held_out.get(shard.name, np.empty(0, "int64"))] = False
            places = order[start : start + int(kept.sum())]
            images[places], labels[places] = read.images[kept], read.labels[kept]
            start += len(places)
        if self._labels and int(labels.max()) >= self._labels:
            raise ValueError(
                f"Expected labels below {self._labels}, as in the rest of {self._data.place}. "
                f"Received: {int(labels.max())}"
            )
        return Part(images, labels)
