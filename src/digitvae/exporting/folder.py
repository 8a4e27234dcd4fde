"""The folder of an export: written whole, with a manifest that says what it holds."""

from __future__ import annotations

import hashlib
import importlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import digitvae
from digitvae.config import ConfigError
from digitvae.exporting.description import description
from digitvae.files import check_writable, folder_written_whole, read_json
from digitvae.onnx.runtime import FORMAT, MANIFEST
from digitvae.runs import Run, find_run, written_by

if TYPE_CHECKING:
    from digitvae.model import VAE

FORMATS = {
    "onnx": "encoder, decoder and prior as ONNX files, for any runtime",
    "saved-model": "the same as signatures of TensorFlow's SavedModel",
    "codec": "the model for `digitvae compress`, in whole numbers",
    "web": "the page of `digitvae explore`, for any web host",
}
"""The formats, each with what it is; a module of this package writes each (`Writer`)."""


class Writer(Protocol):
    """What the module of a format has: `saved_model` for the format saved-model."""

    BACKEND: str | None
    """The only backend on which it is written; None for any, or none at all."""

    def check(self) -> None:
        """Raise a `ModuleNotFoundError` if something that it needs is not installed."""

    def write(self, run: Run, folder: Path, load: Callable[[], VAE]) -> Mapping[str, Any]:
        """Fill a folder, compare what was written with Keras, and return the format's part of the manifest.

        It has `differences`: the largest of every output, by name.

        Args:
            run: what to export.
            folder: an empty one.
            load: loads the model with Keras, which takes seconds: what can go wrong without it goes first.
        """


def writer(format: str) -> Writer:
    """Return the module of a format.

    Raises:
        ConfigError: an unknown format.
    """
    if format not in FORMATS:
        raise ConfigError(f"Expected a format of {', '.join(FORMATS)}. Received: {format}")
    module: Any = importlib.import_module(f"digitvae.exporting.{format.replace('-', '_')}")
    return module


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        folder: where.
        files: their sizes in bytes, by their paths in the folder.
        differences: from Keras, the largest of every output, by names such as `decoder.pixels`.
    """

    folder: Path
    files: dict[str, int]
    differences: dict[str, float]


def export(
    run: Run | str | Path,
    folder: str | Path,
    format: str = "onnx",
    load: Callable[[Run], VAE] = Run.load_model,
) -> Exported:
    """Write a trained model for use without this package, and compare what was written with Keras.

    Args:
        run: a run, or what `find_run` finds.
        folder: a new or empty one, or one that holds an earlier export and nothing else, which is replaced.
        format: one of `FORMATS`.
        load: loads the model with Keras; called late, when all else was found good.

    Raises:
        ConfigError: an unknown format, or one that is written on another backend.
        FileExistsError: the folder holds something else.
        ModuleNotFoundError: something that the format needs is not installed.
        RuntimeError: what was written differs from Keras; the folder is as it was.
        OSError: the folder cannot be written.
        ValueError: the model is damaged, or of a later version.
    """
    run = run if isinstance(run, Run) else find_run(run)
    check_version(run)
    module, folder = writer(format), Path(folder)
    module.check()
    if folder.exists() and not is_free(folder):
        raise FileExistsError(f"Expected a new or empty folder, or an earlier export. Received: {folder}")
    empty = folder.is_dir() and not any(folder.iterdir())
    check_writable(folder if empty else folder.parent, folder)
    with folder_written_whole(folder, replaces=is_free) as temporary:
        own = dict(module.write(run, temporary, lambda: load(run)))
        found = {"format": FORMAT, "kind": format, **description(run), **own, "sha256": _hashes(temporary)}
        (temporary / MANIFEST).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    sizes = {name: (folder / name).stat().st_size for name in [*found["sha256"], MANIFEST]}
    return Exported(folder, sizes, own["differences"])


def is_free(folder: Path) -> bool:
    """Tell whether a folder holds nothing but an export, whole or not."""
    if not folder.is_dir():
        return False
    try:
        listed = {MANIFEST, *read_json(folder / MANIFEST)["sha256"]}
    except (OSError, KeyError, TypeError, ValueError):
        return not any(folder.iterdir())
    return {path.relative_to(folder).as_posix() for path in _files(folder)} <= listed


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if not path.is_dir())


def _hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in _files(folder)
    }


def check_version(run: Run) -> None:
    """Refuse a run of a later version, whose files may mean something else.

    Raises:
        ValueError: it is one.
    """
    version = written_by(run.read_json("config.json"))
    if _numbers(version) > _numbers(digitvae.__version__):
        raise ValueError(
            f"Expected a run of digitvae {digitvae.__version__} or earlier (pip install --upgrade digitvae). "
            f"Received: {run}, of digitvae {version}"
        )


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]
