"""Exported models, models for coding and runs, by one name."""

from __future__ import annotations

from pathlib import Path

import digitvae
from digitvae.onnx import Export, OnnxVAE, from_model, is_export
from digitvae.runs import Run, find_run, run_names


def find_model(name: str | Path) -> Run | Export:
    """Find the run or the exported model that a user names.

    Args:
        name: a folder that `digitvae export` wrote, or as for `find_run`.

    Raises:
        FileNotFoundError: no such run.
        ValueError: as `find_run`; or an export that is damaged, or of another format than onnx.
    """
    if (isinstance(name, Path) or name not in run_names()) and is_export(Path(name)):
        return Export(Path(name))
    return find_run(name)


def codec_file(name: str) -> Path:
    """Return the file of the model for coding that a user names; whether it is there, who reads it will say.

    Args:
        name: the file, a folder that `digitvae export --format codec` wrote, or as for `find_run`.

    Raises:
        FileNotFoundError: no such run.
        ModuleNotFoundError: what coding needs is not installed.
        ValueError: as `find_run`.
    """
    from digitvae.codec import FILE

    path = Path(name)
    if path.is_file():
        return path
    # As for runs, a path is a path, and text may be a name.
    exported = name not in run_names() and (path / FILE).is_file()
    return (path if exported else find_run(name).folder) / FILE


def load_onnx(name: str | Path) -> OnnxVAE:
    """Load an exported model, or the model of a run, to be run by ONNX Runtime.

    It does all but train and measure. Keras is not needed; ONNX Runtime is the extra `digitvae[onnx]`.

    Args:
        name: a folder that `digitvae export --format onnx` wrote, or as for `find_run`.

    Raises:
        FileNotFoundError: no such run.
        ModuleNotFoundError: ONNX Runtime is not installed.
        ValueError: as `load`; or, as `digitvae.light.NeedsKeras`, a model that only Keras can run.
    """
    found = find_model(name)
    return found.load() if isinstance(found, Export) else from_model(found.onnx_model(), digitvae.__version__)
