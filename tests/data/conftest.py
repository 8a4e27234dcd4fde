"""Helpers of the data tests: IDX bytes, small images, and the form every error message has."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from digitvae.data import Dataset, load_dataset


def idx_bytes(array: np.ndarray) -> bytes:
    """Encode uint8 as IDX."""
    return (
        struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape)
        + array.astype(np.uint8).tobytes()
    )


@pytest.fixture
def write_idx() -> Callable[[Path, np.ndarray], Path]:
    """Return a writer of IDX files, gzipped if the name says so."""

    def write(path: Path, array: np.ndarray) -> Path:
        content = idx_bytes(array)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
        return path

    return write


@pytest.fixture
def make_images() -> Callable[..., np.ndarray]:
    """Return a maker of random uint8 images; odd-sized and not square unless told."""

    def make(count: int, height: int = 9, width: int = 13, seed: int = 0) -> np.ndarray:
        return np.random.default_rng(seed).integers(0, 256, (count, height, width), dtype=np.uint8)

    return make


@pytest.fixture
def refused() -> Callable[..., Any]:
    """Return a context manager that expects an error of one line which holds all the given parts."""

    @contextmanager
    def check(kind: type[Exception], *parts: object) -> Iterator[None]:
        with pytest.raises(kind) as caught:
            yield
        message = str(caught.value)
        assert message.startswith("Expected ")
        assert "Received: " in message
        assert "\n" not in message
        for part in parts:
            assert str(part) in message

    return check


@pytest.fixture
def little_memory() -> Callable[[], Any]:
    """Return a context manager that fails where Python and NumPy take 50 MB or more at a time."""

    @contextmanager
    def check() -> Iterator[None]:
        tracemalloc.start()
        try:
            yield
            assert tracemalloc.get_traced_memory()[1] < 50e6
        finally:
            tracemalloc.stop()

    return check


@pytest.fixture(scope="session")
def mnist() -> Dataset:
    """The embedded data set, read once; tests must not write to it."""
    return load_dataset()
