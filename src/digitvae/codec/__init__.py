"""Lossless compression of images by a trained model (bits-back coding), exact on every machine.

`docs/codec_format.md` describes the file. It needs NumPy, `constriction` and `threadpoolctl`:
`pip install 'digitvae[codec]'`.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from digitvae.codec.archive import ArchiveReader, Images, Written, write
from digitvae.codec.container import Damaged
from digitvae.codec.export import codec_model
from digitvae.codec.model import FILE, CodecModel, are_bits, read_codec_model
from digitvae.data import as_images

__all__ = [
    "FILE",
    "IMAGE_SHAPE",
    "ArchiveReader",
    "CodecModel",
    "Damaged",
    "Written",
    "codec_model",
    "compress",
    "decompress",
    "find_model",
    "model_of",
    "read_codec_model",
    "suited",
    "write",
]

SHIPPED = Path(__file__).parents[1] / "models"
"""Folders of the models that come with the package."""
IMAGE_SHAPE = (28, 28)
"""Of the images that the shipped models for coding take."""
BITS, GREY = "bits", "grey"
"""The shipped models for images of 0 and 255 alone, and for all others."""


def suited(parts: Iterable[Images]) -> CodecModel:
    """Return the shipped model for images.

    Args:
        parts: of the images, uint8 (n, h, w) each; no more of them are read than it needs.

    Raises:
        ValueError: it is not shipped.
    """
    return read_codec_model(SHIPPED / (BITS if all(map(are_bits, parts)) else GREY) / FILE)


def find_model(model: str | Path | CodecModel) -> CodecModel:
    """Return a model for coding.

    Args:
        model: a folder that `digitvae export --format codec` wrote, or another one, or the name of a shipped
            model, that has a codec model; the file of one; or the model itself.

    Raises:
        ValueError: there is none.
    """
    if isinstance(model, CodecModel):
        return model
    # As for runs, a path is a path, and text may be a name.
    path = SHIPPED / model if isinstance(model, str) and (SHIPPED / model).is_dir() else Path(model)
    return read_codec_model(path / FILE if path.is_dir() else path)


def model_of(name: str, digest: bytes) -> CodecModel:
    """Return the shipped model of an archive.

    Raises:
        ValueError: it is not shipped.
    """
    if re.fullmatch(r"[\w-]+", name) and (SHIPPED / name / FILE).is_file():
        return read_codec_model(SHIPPED / name / FILE)
    raise ValueError(
        f"Expected the model that the archive was made with, which is not shipped: {name} "
        f"({digest.hex()[:12]}). Received: none"
    )


def compress(images: Any, model: str | Path | CodecModel | None = None, workers: int | None = None) -> bytes:
    """Compress images without loss.

    Args:
        images: (n, h, w), as `digitvae.VAE.encode` takes them; those that the model does not take, by size or
            by levels, are stored by zlib.
        model: as in `find_model`; by default the shipped one for such images, `suited`.
        workers: threads; the bytes do not depend on it.

    Returns:
        The content of an archive.

    Raises:
        ValueError: not images, or no such model.
    """
    file = io.BytesIO()
    array = np.asarray(images)
    checked = array if array.dtype == np.uint8 and array.ndim == 3 else as_images(images)
    write(file, [checked], suited([checked]) if model is None else find_model(model), workers=workers)
    return file.getvalue()


def decompress(
    content: bytes, model: str | Path | CodecModel | None = None, workers: int | None = None
) -> npt.NDArray[np.uint8]:
    """Return the images of an archive, uint8 (n, h, w).

    Args:
        content: of the archive.
        model: that it was compressed with, as in `find_model`; by default the shipped one that it names.
        workers: threads.

    Raises:
        ValueError: the archive is damaged, or of another model.
    """
    reader = ArchiveReader(io.BytesIO(content), model_of if model is None else lambda *_: find_model(model))
    reader.check()
    parts: list[Images] = [np.empty((0, *reader.header.image_shape), "uint8"), *reader.read(workers=workers)]
    return np.concatenate(parts)
