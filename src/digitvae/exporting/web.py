"""The format web: the page of the explorer with a model, for any web host; the model runs in the browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import digitvae
from digitvae.explorer.model_files import GRAPHS, WEIGHTS, graph_content
from digitvae.explorer.site import run_site
from digitvae.exporting.checking import Arrays, differences
from digitvae.exporting.description import description
from digitvae.onnx import PARTS
from digitvae.onnx.runtime import import_runtime, session
from digitvae.runs import Run

if TYPE_CHECKING:
    from digitvae.model import VAE

BACKEND = None
LARGEST_DIFFERENCE, LARGEST_OF_PIXELS = 0.03, 0.001
"""From Keras: the weights are rounded to 16 bits for the download. Log densities, sums of many terms, have
the largest; those of pixels shall be below half of a grey level."""
LARGEST_FILE = 25_000_000
"""Bytes; some hosts of static files take no larger ones."""


def check() -> None:
    """Make sure that ONNX Runtime is installed.

    Raises:
        ModuleNotFoundError: it is not.
    """
    import_runtime()


def write(run: Run, folder: Path, load: Callable[[], VAE]) -> dict[str, Any]:
    """Write the files, run the model that stands in them by ONNX Runtime, and compare it with Keras.

    Returns:
        For the manifest: what a user of the files must know, and the differences.

    Raises:
        FileNotFoundError: the page was not built, or the data of the run are gone.
        RuntimeError: the model differs from Keras.
        ValueError: a damaged model, one that is too large, or with layers that are not known here.
    """
    files = run_site(run, description(run)).files()
    for name, content in files.items():
        if len(content) > LARGEST_FILE:
            raise ValueError(
                f"Expected files of at most {LARGEST_FILE:,} bytes, which every host takes. "
                f"Received: {name} of {len(content):,}"
            )
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    stored = {name: (folder / "model" / name).read_bytes() for name in (GRAPHS, WEIGHTS)}
    sessions = {part: session(graph_content(stored, part, digitvae.__version__)) for part in PARTS}

    def compute(part: str, inputs: Arrays) -> Arrays:
        names = [output.name for output in sessions[part].get_outputs()]
        return dict(zip(names, sessions[part].run(names, dict(inputs)), strict=True))

    found = differences(load(), compute, LARGEST_DIFFERENCE)
    pixels = found["decoder.pixels"]
    if pixels > LARGEST_OF_PIXELS:
        raise RuntimeError(f"Expected pixels within {LARGEST_OF_PIXELS} of Keras. Received: {pixels:.2g} off")
    return {**run.onnx_model().facts(), "differences": found}
