"""What every verb shares: options, how a backend starts, and how errors become one line and an exit code."""

from __future__ import annotations

import argparse
import ctypes
import logging
import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from digitvae.config import BACKENDS, ConfigError


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, like all others."""

    def __init__(self, **kwargs):
        super().__init__(allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Raise what becomes one line and exit code 2."""
        raise ConfigError(f"{message} ({self.prog} --help lists what there is)")


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that every verb takes."""
    parser.add_argument("--backend", choices=BACKENDS[1:], help="default: KERAS_BACKEND, else tensorflow")
    parser.add_argument("--json", action="store_true", help="machine-readable result on stdout")
    parser.add_argument("--debug", action="store_true", help="full traceback when something fails")


# What Keras and TensorFlow import where they find it, for features that no verb uses. With JAX, they take 1.4
# of the 3.3 seconds of a start.
_NOT_FOR_US = ("sklearn", "matplotlib", "pandas")


def start_backend(name: str | None, to_train: bool = False) -> None:
    """Import Keras on the wanted backend, without the lines that TensorFlow prints at every start.

    Args:
        name: the backend; None leaves the choice to KERAS_BACKEND.
        to_train: share the cores out as training is fastest.
    """
    if name is not None:
        os.environ["KERAS_BACKEND"] = name
    # Without the variable a file in the user's home may choose the backend, and it may be JAX.
    spared = (*_NOT_FOR_US, "jax") if os.environ.get("KERAS_BACKEND") == "tensorflow" else _NOT_FOR_US
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if to_train:
        # Two products of a training step usually wait at once, the gradients of a layer's weights and of its
        # inputs: half of the cores for each is faster than all of them for one after the other.
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(max(1, (os.cpu_count() or 1) // 2)))
        _keep_freed_memory()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # TensorFlow writes them to the file descriptor before its log level counts, so that is where they are
    # held back; they come out when the import fails.
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held, _without(spared):
        os.dup2(held.fileno(), 2)
        try:
            import keras
        except ModuleNotFoundError as error:
            wanted = name or os.environ.get("KERAS_BACKEND", "tensorflow")
            raise ConfigError(
                f"Expected the backend {wanted} to be installed (pip install 'digitvae[{wanted}]'). "
                f"Received: no module {error.name}"
            ) from error
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
    if keras.backend.backend() != "tensorflow":
        # When Keras saves a model it imports any TensorFlow, only to ask whether a value is one of its
        # tensors: seconds, half a gigabyte and lines of log that nobody on another backend wants.
        sys.modules.setdefault("tensorflow", None)  # type: ignore[arg-type]
    if name is not None and keras.backend.backend() != name:
        raise ConfigError(
            f"Expected backend {name}, but Keras is loaded already. "
            f"Received: backend {keras.backend.backend()}"
        )


# Names and values of glibc's malloc.h.
_M_TOP_PAD, _M_MMAP_THRESHOLD = -2, -3
_MEBIBYTE = 2**20


def _keep_freed_memory() -> None:
    """Have glibc keep some megabytes of what is freed, which a training step asks for again at once.

    Else it hands them back to the system, and a step of a small model has a hundred page faults.
    """
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return  # another C library
    set_option(_M_TOP_PAD, 16 * _MEBIBYTE)
    # The first option stops glibc from raising this one by itself, up to this value.
    set_option(_M_MMAP_THRESHOLD, 32 * _MEBIBYTE)


@contextmanager
def _without(modules: Sequence[str]) -> Iterator[None]:
    """Let modules seem not to be installed; afterwards they can be imported as ever."""
    hidden = [name for name in modules if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def whole(text: str) -> int:
    """Read a whole number from the command line."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"Expected a whole number. Received: {text}") from None


def number(text: str) -> float:
    """Read a number from the command line."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"Expected a number. Received: {text}") from None


def guarded(work: Callable[[], None], argv: Sequence[str] | None) -> int:
    """Turn exceptions into one line on stderr and an exit code."""
    debug = "--debug" in (sys.argv[1:] if argv is None else argv)
    warnings.showwarning = _show_warning
    try:
        work()
    except KeyboardInterrupt as error:
        return _fail(str(error) or "interrupted", 130, debug)
    except ConfigError as error:
        return _fail(str(error), 2, debug)
    except (ValueError, OSError, RuntimeError, ImportError, MemoryError) as error:
        # A reader that went away (`... | head`) is no error worth a line.
        if isinstance(error, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        return _fail(str(error) or type(error).__name__, 1, debug)
    except Exception as error:
        return _fail(f"unexpected {type(error).__name__}: {error} (--debug shows where)", 1, debug)
    return 0


def _fail(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    line = " ".join(message.split())
    print(f"digitvae: {'' if code == 130 else 'error: '}{line}", file=sys.stderr)
    return code


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    if issubclass(category, RuntimeWarning | UserWarning):
        print(f"digitvae: warning: {message}", file=sys.stderr)
