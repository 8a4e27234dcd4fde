"""Trained models for elsewhere: `export` writes one in a format of `FORMATS`, `load_onnx` reads it."""

from digitvae.exporting.description import description
from digitvae.exporting.folder import FORMATS, Exported, Writer, check_version, export, writer
from digitvae.exporting.reading import codec_file, find_model, load_onnx

__all__ = [
    "FORMATS",
    "Exported",
    "Writer",
    "check_version",
    "codec_file",
    "description",
    "export",
    "find_model",
    "load_onnx",
    "writer",
]
