"""Fixtures of the distribution tests: gradients on any backend, and a mixed dtype policy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest

Function = Callable[[Any], Any]


def _gradient(function: Function, point: np.ndarray) -> np.ndarray:
    x = keras.ops.convert_to_tensor(point, "float32")
    match keras.backend.backend():
        case "tensorflow":
            import tensorflow as tf

            with tf.GradientTape() as tape:
                tape.watch(x)
                total = tf.reduce_sum(function(x))
            return tape.gradient(total, x).numpy()
        case "jax":
            import jax

            return np.asarray(jax.grad(lambda x: function(x).sum())(x))
        case _:
            x.requires_grad_(True)
            function(x).sum().backward()
            return x.grad.numpy()


@pytest.fixture(scope="session")
def gradient() -> Callable[[Function, np.ndarray], np.ndarray]:
    """Returns d sum(function(x)) / dx at a point, by the running backend's automatic differentiation."""
    return _gradient


@pytest.fixture
def mixed_policy() -> Iterator[None]:
    """Runs the test under the global policy mixed_bfloat16."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(before)
