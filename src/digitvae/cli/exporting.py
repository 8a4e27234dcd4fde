"""`digitvae export`: a trained model for use without this package."""

from __future__ import annotations

import argparse
import json
import time

import digitvae
from digitvae.cli.common import add_common_arguments, start_backend
from digitvae.config import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `digitvae export`."""
    from digitvae.exporting import FORMATS

    parser.description = (
        "Write a trained model for use without this package, and compare what was written with Keras: "
        "encoder, decoder, and the prior both ways."
    )
    parser.add_argument("model", metavar="MODEL", help="a run folder, latest, or a shipped model")
    formats = "; ".join(f"{name}: {what}" for name, what in FORMATS.items())
    parser.add_argument("--format", choices=FORMATS, default="onnx", help=f"{formats} (default: onnx)")
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        default="exported",
        help="a new or empty folder, or an earlier export, which is replaced (default: exported)",
    )
    add_common_arguments(parser)


def work(arguments: argparse.Namespace) -> None:
    """Export, and say what was written and how far it is from Keras."""
    began = time.perf_counter()
    from digitvae.exporting import writer

    only = writer(arguments.format).BACKEND
    if only is not None and arguments.backend not in (None, only):
        raise ConfigError(
            f"Expected --backend {only} for the format {arguments.format}. Received: {arguments.backend}"
        )

    def load(run: digitvae.Run) -> digitvae.VAE:
        start_backend(only or arguments.backend)
        return run.load_model()

    done = digitvae.export(
        digitvae.find_run(arguments.model),
        arguments.output,
        arguments.format,
        load=load,
    )
    if arguments.json:
        found = {
            "verb": arguments.verb,
            "model": arguments.model,
            "format": arguments.format,
            "output": str(done.folder),
            "files": done.files,
            "differences": done.differences,
            "seconds": round(time.perf_counter() - began, 3),
        }
        print(json.dumps(found, indent=2))
        return
    for name, size in done.files.items():
        print(f"{size:>12,} bytes  {name}")
    name = max(done.differences, key=lambda name: done.differences[name])
    print(f"Largest difference from Keras: {done.differences[name]:.1e} ({name})")
    print(f"Written: {done.folder}")
