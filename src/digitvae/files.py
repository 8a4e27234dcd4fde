"""Files that are written completely or not at all: to a temporary name, flushed to the disk, renamed."""

from __future__ import annotations

import errno
import json
import os
import platform
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class DiskFull(OSError):
    """The disk, a quota or a limit has no room for a file."""


@contextmanager
def written_whole(path: str | Path, size: int = 0, new: bool = False) -> Iterator[Path]:
    """Give a temporary path to write to, and put the file in place when the block ends well.

    Args:
        path: where the file shall be; its folder must exist. Temporary files that killed writers of the same
            file left there are removed.
        size: bytes that the file will have at least, where this is known; `DiskFull` says it.
        new: replace nothing; of several processes that write the file at once one succeeds.

    Yields:
        A path in the same folder with the same suffix. It is gone when the block raises.

    Raises:
        DiskFull: there is no room for the file.
        FileExistsError: there is one already, with `new`.
        OSError: the folder is missing or not writable.
    """
    path = Path(path)
    _clear_stale(path)
    temporary = _temporary(path)
    try:
        # The permissions of any new file: the system applies the umask of the process.
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        yield temporary
        # Windows flushes only through a handle that may write.
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        if new:
            _put_first(temporary, path)
        else:
            temporary.replace(path)
    except BaseException as error:
        needed = max([size, *(file.stat().st_size for file in (path, temporary) if file.is_file())])
        temporary.unlink(missing_ok=True)
        _explain(error, path, needed)
        raise


@contextmanager
def folder_written_whole(
    path: str | Path, replaces: Callable[[Path], bool] = lambda folder: False
) -> Iterator[Path]:
    """Give a temporary folder to write files to, and put it in place when the block ends well.

    Args:
        path: where the folder shall be: a new one, whose parent must exist, or an empty one. Temporary
            folders that killed writers of the same folder left there are removed.
        replaces: tells whether a folder that holds something may be replaced.

    Yields:
        A folder on the same disk. It is gone when the block raises, and what it would replace still there.

    Raises:
        DiskFull: there is no room for the files.
        FileExistsError: there is a file, or a folder that holds something and is not to be replaced.
        OSError: the parent is missing or not writable.
    """
    path = Path(path)
    if path.is_dir():
        path = path.resolve()  # what a link points to is filled or replaced, not the link
    # An empty folder stays itself: it may be somebody's current folder, or a disk.
    present = path.is_dir() and not any(path.iterdir())
    place = path / "files" if present else path
    _clear_stale(place)
    if os.path.lexists(path) and not present and not (path.is_dir() and replaces(path)):
        raise FileExistsError(f"Expected a new or empty folder. Received: {path}")
    temporary = _temporary(place)
    placed: list[Path] = []
    try:
        temporary.mkdir()
        yield temporary
        for file in _regular(temporary):
            with file.open("r+b") as opened:
                os.fsync(opened.fileno())
        if present:
            for entry in list(temporary.iterdir()):
                placed.append(entry.rename(path / entry.name))
            temporary.rmdir()
        else:
            _exchange(temporary, path)
    except BaseException as error:
        needed = sum(file.stat().st_size for entry in (temporary, *placed) for file in _regular(entry))
        for entry in (temporary, *placed):
            _remove(entry)
        _explain(error, path, needed)
        raise


def _put_first(temporary: Path, path: Path) -> None:
    """Give a file its name, unless another one has it."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        # A disk without hard links: the name is taken first, in two steps that no other process can mix.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        temporary.replace(path)
    else:
        temporary.unlink()


def check_writable(folder: Path, output: str | Path) -> None:
    """Make sure before the work that files can be made in a folder.

    Args:
        folder: where the output, or its folder, shall be.
        output: named in the error.

    Raises:
        OSError: the folder is missing or not writable.
    """
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise type(error)(
            f"Expected an output in a folder that exists and can be written. "
            f"Received: {output} ({folder}: {error.strerror})"
        ) from None


def _exchange(new: Path, path: Path) -> None:
    """Put a folder in place, in exchange for the one that may be there."""
    if not path.exists():
        new.rename(path)
        return
    old = path.rename(_temporary(path))
    try:
        new.rename(path)
    except BaseException:
        old.rename(path)
        raise
    shutil.rmtree(old)


def _regular(entry: Path) -> list[Path]:
    """Return a file, or the files in a folder and its folders."""
    return [file for file in (entry, *entry.rglob("*")) if file.is_file()]


def _remove(entry: Path) -> None:
    if entry.is_dir():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        entry.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.stem}-{platform.node()}-{os.getpid()}-{secrets.token_hex(4)}{path.suffix}")


def _explain(error: BaseException, path: Path, needed: int) -> None:
    """Say how much room there is, if that was the error."""
    if isinstance(error, OSError) and error.errno in _FULL:
        free = shutil.disk_usage(path.parent).free
        raise DiskFull(
            f"Expected at least {-(-needed // 1000):,} kB of free disk space for {path}. "
            f"Received: {free // 1000:,} kB ({error.strerror})"
        ) from error


def leftovers(path: Path) -> list[Path]:
    """Return the temporary files and folders that killed writers of a file left, those of this machine.

    Raises:
        OSError: the folder of the file is missing or cannot be read.
    """
    stem, host, suffix = map(re.escape, (path.stem, platform.node(), path.suffix))
    pattern = re.compile(rf"\.{stem}-{host}-(\d+)-[0-9a-f]{{8}}{suffix}")
    matches = [(entry, pattern.fullmatch(entry.name)) for entry in path.parent.iterdir()]
    return [entry for entry, match in matches if match and not _lives(int(match[1]))]


def _clear_stale(path: Path) -> None:
    for entry in leftovers(path):
        with suppress(OSError):
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()


def _lives(process: int) -> bool:
    if os.name != "posix":
        return True  # Windows has no signal that only tests for a process
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it lives, and belongs to another user
    return True


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        OSError: it is missing, cannot be read, or is no regular file: a device or a pipe may never end.
        ValueError: it holds no JSON.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "no regular file", str(path))
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
