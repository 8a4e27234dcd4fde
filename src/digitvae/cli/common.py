"""What every verb shares: options, how a backend starts, and how errors become one line and an exit code."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NoReturn

from digitvae.backends import not_installed
from digitvae.config import BACKENDS, ConfigError


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, like all others."""

    def __init__(self, **kwargs):
        super().__init__(allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Raise an error that `guarded` turns into one line and exit code 2."""
        raise ConfigError(f"{message} ({self.prog} --help lists the options)")


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that every verb takes."""
    parser.add_argument("--backend", choices=BACKENDS[1:], help="default: KERAS_BACKEND, else tensorflow")
    parser.add_argument("--json", action="store_true", help="machine-readable result on stdout")
    parser.add_argument("--debug", action="store_true", help="full traceback when something fails")


def start_backend(name: str | None) -> None:
    """Import Keras on the wanted backend, without the lines that TensorFlow prints at every start.

    Args:
        name: the backend; None leaves the choice to KERAS_BACKEND.

    Raises:
        ConfigError: the backend is not installed, or Keras runs on another one already.
    """
    import logging
    import tempfile

    from digitvae.speed.process import fewer_imports, onednn_everywhere

    if name is not None:
        os.environ["KERAS_BACKEND"] = name
    # Without the variable Keras may read its choice from a file in the user's home.
    wanted = os.environ.get("KERAS_BACKEND", "")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # TensorFlow writes the lines to the file descriptor before its log level counts, so they are held back
    # there; they are printed if the import fails.
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held, fewer_imports(wanted), onednn_everywhere():
        os.dup2(held.fileno(), 2)
        try:
            import keras
            import numpy

            # Keras checks here, once, whether TensorFlow can be imported. Otherwise it would check when it
            # first saves a model, and import it where it is installed: seconds and half a gigabyte.
            keras.saving.serialize_keras_object(numpy.float32(0))
        except ModuleNotFoundError as error:
            wanted = wanted or "tensorflow"
            raise ConfigError(not_installed(wanted, error.name)) from error
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
    if name is not None and keras.backend.backend() != name:
        raise ConfigError(
            f"Expected backend {name}, but Keras is loaded already. "
            f"Received: backend {keras.backend.backend()}"
        )


def number(text: str, kind: type[float] = float, name: str = "a number") -> float:
    """Read a number from the command line."""
    try:
        return kind(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"Expected {name}. Received: {text}") from None


whole = partial(number, kind=int, name="a whole number")


def from_one(text: str) -> int:
    """Read a whole number of at least 1 from the command line."""
    return _at_least(1, text)


def from_zero(text: str) -> int:
    """Read a whole number of at least 0 from the command line."""
    return _at_least(0, text)


def between(least: float, most: float, kind: type[float] = int) -> Callable[[str], Any]:
    """Return a reader of numbers in a range, its ends included."""
    what = "a whole number" if kind is int else "a number"

    def read(text: str) -> float:
        value = number(text, kind, what)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"Expected {what} from {least} to {most}. Received: {text}")
        return value

    return read


def above_zero(text: str) -> float:
    """Read a finite number above 0 from the command line."""
    value = number(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"Expected a number above 0. Received: {text}")
    return value


def list_of(read: Callable[[str], Any]) -> Callable[[str], list[Any]]:
    """Return a reader of such values with commas between them."""
    return lambda text: [read(part) for part in text.split(",")]


def _at_least(least: int, text: str) -> int:
    value = int(whole(text))
    if value < least:
        raise argparse.ArgumentTypeError(f"Expected a whole number of at least {least}. Received: {text}")
    return value


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
        # A closed pipe (`... | head`) needs no message.
        if isinstance(error, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        return _fail(str(error) or type(error).__name__, 1, debug)
    except Exception as error:
        return _fail(f"unexpected {type(error).__name__}: {error} (--debug shows where)", 1, debug)
    return 0


def _fail(message: str, code: int, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exc()
    line = " ".join(message.split())
    print(f"digitvae: {'' if code == 130 else 'error: '}{line}", file=sys.stderr)
    return code


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    if issubclass(category, RuntimeWarning | UserWarning):
        print(f"digitvae: warning: {message}", file=sys.stderr)
