"""Trained models for elsewhere: `export` writes one, in a format of `FORMATS`."""

from digitvae.exporting.folder import FORMATS, Exported, Writer, export, writer

__all__ = ["FORMATS", "Exported", "Writer", "export", "writer"]
