"""The format onnx: encoder, decoder and the prior both ways, each a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import digitvae
from digitvae.exporting.checking import Arrays, differences
from digitvae.exporting.description import description, texts
from digitvae.onnx import PARTS
from digitvae.onnx.runtime import import_runtime, session
from digitvae.runs import Run

if TYPE_CHECKING:
    from digitvae.model import VAE

BACKEND = None


def check() -> None:
    """Make sure that ONNX Runtime is installed.

    Raises:
        ModuleNotFoundError: it is not.
    """
    import_runtime()


def write(run: Run, folder: Path, load: Callable[[], VAE]) -> dict[str, Any]:
    """Write the files, read them again, and compare them with Keras.

    Returns:
        For the manifest: what a user of the files must know, their names, and the differences.

    Raises:
        RuntimeError: they differ from Keras.
        ValueError: a damaged model, or one with layers that are not known here.
    """
    model = run.onnx_model()
    facts = model.facts()
    files = {part: f"{part}.onnx" for part in PARTS}
    metadata = texts({**description(run), **facts})
    for part, name in files.items():
        (folder / name).write_bytes(model.graph(part).content(digitvae.__version__, metadata))
    sessions = {part: session((folder / name).read_bytes()) for part, name in files.items()}

    def compute(part: str, inputs: Arrays) -> Arrays:
        names = [output.name for output in sessions[part].get_outputs()]
        return dict(zip(names, sessions[part].run(names, dict(inputs)), strict=True))

    return {**facts, "files": files, "differences": differences(load(), compute)}
