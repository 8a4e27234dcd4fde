"""Helpers of the measures' tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def refused() -> Callable[..., Any]:
    """Return a context manager that expects a ValueError of one line which holds all the given parts."""

    @contextmanager
    def check(*parts: object) -> Iterator[None]:
        with pytest.raises(ValueError, match=r"^Expected .*Received: ") as caught:
            yield
        message = str(caught.value)
        assert "\n" not in message
        for part in parts:
            assert str(part) in message

    return check


@pytest.fixture
def make_images() -> Callable[..., np.ndarray]:
    """Return a maker of random uint8 images; odd-sized and not square unless told."""

    def make(count: int, height: int = 13, width: int = 11, seed: int = 0) -> np.ndarray:
        return np.random.default_rng(seed).integers(0, 256, (count, height, width), dtype=np.uint8)

    return make


@pytest.fixture
def groups() -> tuple[np.ndarray, np.ndarray]:
    """Three groups of points far from one another, (60, 4), and their labels 2, 5 and 9."""
    generator = np.random.default_rng(0)
    labels = np.repeat([2, 5, 9], 20)
    return 20.0 * np.eye(4)[labels // 3] + generator.normal(size=(60, 4)), labels
