"""Folders on this machine or behind a URL, whose files are read and written whole."""

from __future__ import annotations

import abc
import importlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, final

from digitvae.files import check_writable, written_whole


def extra(module: str) -> Any:
    """Import a module of the extra `digitvae[ray]`.

    Raises:
        ImportError: it is not installed; the message says how it is.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        name = module.partition(".")[0]
        raise ImportError(
            f"Expected {name} to be installed (pip install 'digitvae[ray]'). Received: no module {error.name}"
        ) from error


class Place(abc.ABC):
    """A folder of files; it can be sent to other processes.

    Args:
        url: the path or the URL.

    Attributes:
        url: the same.
    """

    def __init__(self, url: str):
        self.url = url

    @abc.abstractmethod
    def names(self) -> list[str]:
        """Return the names of the files in the folder, sorted, but for those with `.` or `_` in front.

        Empty if there is no folder.
        """

    @abc.abstractmethod
    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading, seekable.

        Raises:
            OSError: it is missing or cannot be read.
        """

    @abc.abstractmethod
    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all, in place of one of the same name.

        Raises:
            OSError: it cannot be written.
        """

    @abc.abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

    @abc.abstractmethod
    def make(self) -> None:
        """Make the folder, unless there is one, and see that files can be written to it.

        Raises:
            OSError: it cannot be.
        """

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            OSError: it is missing or cannot be read.
        """
        with self.open(name) as file:
            return file.read()

    def __str__(self) -> str:
        return self.url


def place(folder: str | Path) -> Place:
    """Return a folder by its path, or by a URL that `fsspec` or `pyarrow` understands (`s3://bucket/digits`).

    Raises:
        ImportError: what the URL needs is not installed.
        ValueError: a URL of an unknown kind.
    """
    return _Remote(str(folder)) if "://" in str(folder) else _Local(str(folder))


@final
class _Local(Place):
    """A folder on this machine."""

    @property
    def _path(self) -> Path:
        return Path(self.url).expanduser()

    def names(self) -> list[str]:
        if self._path.exists() and not self._path.is_dir():
            raise ValueError(f"Expected a folder of shards. Received: {self.url}, a file")
        if not self._path.is_dir():
            return []
        return sorted(
            entry.name for entry in self._path.iterdir() if entry.is_file() and entry.name[0] not in "._"
        )

    def open(self, name: str) -> IO[bytes]:
        return (self._path / name).open("rb")

    def write(self, name: str, content: bytes) -> None:
        with written_whole(self._path / name, len(content)) as temporary:
            temporary.write_bytes(content)

    def remove(self, name: str) -> None:
        (self._path / name).unlink(missing_ok=True)

    def make(self) -> None:
        if self._path.exists() and not self._path.is_dir():
            raise ValueError(f"Expected a folder for the output. Received: {self.url}, a file")
        try:
            self._path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise type(error)(
                f"Expected an output folder that can be made. Received: {self.url} ({error.strerror})"
            ) from None
        check_writable(self._path, self.url)


@final
class _Remote(Place):
    """A folder behind a URL, by fsspec."""

    def __init__(self, url: str):
        super().__init__(url.rstrip("/"))
        self._connect()

    def _connect(self) -> None:
        core = extra("fsspec.core")
        try:
            self._system, self._root = core.url_to_fs(self.url)
        except ImportError as error:
            # pyarrow brings some of these itself: s3, gs, hdfs.
            self._system, self._root = _by_pyarrow(self.url, error)
        except ValueError as error:
            raise ValueError(f"Expected a URL that fsspec knows. Received: {self.url} ({error})") from error

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.url}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.url = state["url"]
        self._connect()

    def _full(self, name: str) -> str:
        return f"{self._root}/{name}"

    def names(self) -> list[str]:
        with self._reached():
            self._system.invalidate_cache()
            if not self._system.exists(self._root):
                return []
            entries = self._system.ls(self._root, detail=True)
        names = (entry["name"].rpartition("/")[2] for entry in entries if entry["type"] == "file")
        return sorted(name for name in names if name and name[0] not in "._")

    def open(self, name: str) -> IO[bytes]:
        with self._reached():
            return self._system.open(self._full(name), "rb")

    def write(self, name: str, content: bytes) -> None:
        temporary = self._full(f".{secrets.token_hex(8)}-{name}")
        with self._reached():
            self._system.pipe_file(temporary, content)
            self._system.mv(temporary, self._full(name))

    def remove(self, name: str) -> None:
        with self._reached():
            if self._system.exists(self._full(name)):
                self._system.rm_file(self._full(name))

    def make(self) -> None:
        with self._reached():
            self._system.makedirs(self._root, exist_ok=True)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Turn the errors of any storage into one kind."""
        try:
            yield
        except Exception as error:
            raise OSError(f"Expected a storage that can be used. Received: {self.url} ({error})") from error


def _by_pyarrow(url: str, missing: ImportError) -> tuple[Any, str]:
    try:
        system, root = extra("pyarrow.fs").FileSystem.from_uri(url)
    except Exception:
        raise ImportError(
            f"Expected what {url.partition(':')[0]}:// needs to be installed. Received: {missing}"
        ) from missing
    return extra("fsspec.implementations.arrow").ArrowFSWrapper(system), root
