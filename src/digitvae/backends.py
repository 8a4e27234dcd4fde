"""What is said of a backend of Keras that is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_BACKENDS = ("tensorflow", "jax", "torch")


def not_installed(backend: str, module: str | None) -> str:
    """Return a line that says how a backend is installed.

    Args:
        backend: its name.
        module: that was not found.
    """
    return (
        f"Expected the backend {backend} to be installed (pip install 'digitvae[{backend}]'). "
        f"Received: no module {module}"
    )


@contextmanager
def backend_needed() -> Iterator[None]:
    """Say of an import that does not find the backend how that is installed.

    Raises:
        ModuleNotFoundError: it is not.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in _BACKENDS:
            raise
        # Without the many frames of Keras, which say nothing more.
        raise ModuleNotFoundError(not_installed(error.name, error.name), name=error.name) from None
