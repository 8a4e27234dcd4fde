"""What concerns the whole process: threads and imports. It needs no Keras."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from digitvae.machine import usable_cores
from digitvae.speed import is_on

_THREADS = "TF_NUM_INTRAOP_THREADS"
_ONEDNN = "TF_ENABLE_ONEDNN_OPTS"


def tuned_for_training() -> AbstractContextManager[None]:
    """Set threads so that training is fastest, and undo it on exit.

    TensorFlow reads the number of threads once, at its first operation. A number that the user has set stays.
    """
    # Two products of a training step usually wait at once, the gradients of a layer's weights and of its
    # inputs: half of the cores for each is faster than all of them for one after the other.
    return _variable(_THREADS, str(max(1, usable_cores() // 2)), part="threads")


def onednn_everywhere() -> AbstractContextManager[None]:
    """Let TensorFlow compute by oneDNN on every processor that oneDNN knows; undone on exit.

    TensorFlow reads the variable once, while it is imported. By itself it leaves processors without
    instructions for neural networks, most laptops', to slower convolutions. What the user has set stays.
    """
    return _variable(_ONEDNN, "1", part="onednn")


@contextmanager
def _variable(name: str, value: str, part: str) -> Iterator[None]:
    """Set a variable of the environment where the part is on and the user has not set it; undone on exit."""
    chosen = is_on(part) and name not in os.environ
    if chosen:
        os.environ[name] = value
    try:
        yield
    finally:
        if chosen:
            os.environ.pop(name, None)


@contextmanager
def fewer_imports(backend: str) -> Iterator[None]:
    """Hide packages from the import of Keras that it would import if it found them; undone on exit.

    Keras and TensorFlow import them for features that digitvae does not use.

    Args:
        backend: the one that is about to be imported, if it is known; the other ones are hidden.
    """
    hidden: Sequence[str] = ()
    if is_on("imports"):
        others = {"tensorflow": ("jax",), "jax": ("tensorflow",), "torch": ("tensorflow",)}
        names = ("sklearn", "matplotlib", "pandas", *others.get(backend, ()))
        hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
