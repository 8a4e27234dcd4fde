"""The operations that formulas are written with: Keras' by default, others where a caller asks for them.

Every formula stands once. It runs on tensors of a backend, on arrays without any backend, and on symbols of a
graph (`digitvae.onnx`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

_CHOSEN: ContextVar[Any] = ContextVar("operations", default=None)


@contextmanager
def computed_by(operations: Any) -> Iterator[None]:
    """Let `ops` be these operations inside the block (in this thread); Keras stays away.

    Args:
        operations: has functions under the names of `keras.ops`, those that the formulas in the block need.
    """
    token = _CHOSEN.set(operations)
    try:
        yield
    finally:
        _CHOSEN.reset(token)


def by_numpy() -> AbstractContextManager[None]:
    """Let `ops` be NumPy's inside the block: arrays come in and go out."""
    return computed_by(numpy_operations)


class _Operations:
    """What `keras.ops` offers under the same names, as far as the formulas need it."""

    def __getattr__(self, name: str) -> Any:
        chosen = _CHOSEN.get()
        if chosen is not None:
            return getattr(chosen, name)
        import keras

        return getattr(keras.ops, name)


ops: Any = _Operations()


def _cast(x: Any, dtype: str) -> np.ndarray:
    return np.asarray(x).astype(dtype, copy=False)


def _where(condition: np.ndarray, x: Any, y: Any) -> np.ndarray:
    # Two numbers of Python alone would make float64.
    return np.where(condition, np.float32(x) if isinstance(x, float) else x, y)


def _logsumexp(x: np.ndarray, axis: int, keepdims: bool = False) -> np.ndarray:
    largest = np.max(x, axis=axis, keepdims=True)
    total = largest + np.log(np.sum(np.exp(x - largest), axis=axis, keepdims=True))
    return total if keepdims else np.squeeze(total, axis)


def _log_softmax(x: np.ndarray, axis: int) -> np.ndarray:
    return x - _logsumexp(x, axis, keepdims=True)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    # 1 / (1 + exp(-x)) without overflow
    return 0.5 + 0.5 * np.tanh(0.5 * x)


def silu(x: np.ndarray) -> np.ndarray:
    """x s(x) with the logistic function s (Ramachandran et al. 2017), by NumPy."""
    half = 0.5 * x
    return half + half * np.tanh(half)


def _softplus(x: np.ndarray) -> np.ndarray:
    # log(1 + exp(x)) without overflow
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _erfc(x: np.ndarray) -> np.ndarray:
    # Only mixtures need it, and its import takes longer than all else together.
    from scipy.special import erfc

    return erfc(x)


def _one_hot(x: np.ndarray, num_classes: int, dtype: str = "float32") -> np.ndarray:
    return np.eye(num_classes, dtype=dtype)[x]


def _fori_loop(lower: int, upper: int, body_fun: Callable[[Any, Any], Any], init_val: Any) -> Any:
    for i in range(lower, upper):
        init_val = body_fun(i, init_val)
    return init_val


_OWN: dict[str, Callable[..., Any]] = {
    "cast": _cast,
    "cond": lambda pred, true_fn, false_fn: true_fn() if pred else false_fn(),
    "convert_to_tensor": np.asarray,
    "erfc": _erfc,
    "fori_loop": _fori_loop,
    "log_softmax": _log_softmax,
    "logsumexp": _logsumexp,
    "one_hot": _one_hot,
    "sigmoid": _sigmoid,
    "silu": silu,
    "softplus": _softplus,
    "stop_gradient": np.asarray,
    "where": _where,
}


class _NumpyOperations:
    """The same by NumPy."""

    def __getattr__(self, name: str) -> Any:
        return _OWN.get(name) or getattr(np, name)


numpy_operations = _NumpyOperations()
