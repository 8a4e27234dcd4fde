"""A model for coding: what the codec needs of a VAE, in whole numbers."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt

from digitvae.codec import tables
from digitvae.codec.levels import LEVELS, Mixture
from digitvae.codec.network import IntegerNetwork
from digitvae.codec.priors import (
    MEAN_STEPS,
    AutoregressiveCoder,
    Grid,
    MixtureCoder,
    Prior,
    weights_of,
)

VERSION = 1
FILE = "codec.npz"
"""Name of the file in a run folder."""
PIXEL_STEPS = 32768
"""Steps of a pixel's mean in the range of pixels."""


@final
class CodecModel:
    """Posterior, prior and likelihood of bins and pixels.

    Args:
        meta: the description, plain JSON values.
        arrays: by name.

    Raises:
        ValueError: another version, or damaged.

    Attributes:
        name: of the model.
        digest: SHA-256 of all that decides what it codes; 32 bytes.
        image_shape: (height, width).
        latent_dim: number of latents.
        levels: of a pixel, 2 or 256.
        growth: images of a batch for each one before it.
    """

    def __init__(self, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        if meta.get("version") != VERSION:
            raise ValueError(f"Expected a codec model of version {VERSION}. Received: {meta.get('version')}")
        self.meta, self.arrays = meta, arrays
        self.name: str = meta["name"]
        height, width = meta["image_shape"]
        self.image_shape, self.latent_dim = (height, width), int(meta["latent_dim"])
        self.levels, self.growth = int(meta["levels"]), float(meta["growth"])
        self._grid = Grid(arrays["origins"], arrays["widths"])
        self._encoder = IntegerNetwork(meta["encoder"], arrays)
        self._decoder = IntegerNetwork(meta["decoder"], arrays)
        self.prior: Prior
        if meta["prior"]["kind"] == "mixture":
            self.prior = MixtureCoder(
                self._grid, arrays["shares"], arrays["prior_means"], arrays["prior_inverse_scales"]
            )
        else:
            self.prior = AutoregressiveCoder(self._grid, arrays, meta["prior"]["products"])

    @property
    def pixels(self) -> int:
        """Pixels of an image."""
        return self.image_shape[0] * self.image_shape[1]

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of all that decides what it codes."""
        plain = {key: value for key, value in self.meta.items() if key != "name"}
        digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
        for name, array in sorted(self.arrays.items()):
            little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            digest.update(f"{name} {little.dtype.str} {little.shape}".encode())
            digest.update(little.tobytes())
        return digest.digest()

    def takes(self, images: npt.NDArray[np.uint8]) -> bool:
        """Say whether images (n, h, w) are of the size and the levels that the model knows."""
        if images.shape[1:] != self.image_shape:
            return False
        return self.levels == LEVELS or are_bits(images)

    def numbers(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
        """Return the levels of images that it takes, int64 (n, pixels)."""
        flat = images.reshape(len(images), self.pixels).astype("int64")
        return flat if self.levels == LEVELS else flat // 255

    def images(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Undo `numbers`."""
        factor = 1 if self.levels == LEVELS else 255
        return (numbers * factor).astype("uint8").reshape(len(numbers), *self.image_shape)

    def posterior(self, numbers: npt.NDArray[np.int64]) -> Mixture:
        """Return q of the bins of all latents, n * latent_dim, for levels (n, pixels)."""
        x = numbers.astype("float32").reshape(-1, *self.image_shape)
        out = np.concatenate(list(self._encoder.parts(x, self.pixels))).astype("float64")
        means, scales = np.split(out, 2, axis=1)
        inverse = tables.looked_up(tables.inverse_plain_scales(), scales) * self._grid.widths
        means = means / MEAN_STEPS + 128
        return Mixture(np.ones((1, 1)), means.reshape(1, -1), inverse.reshape(1, -1), tables.normal())

    def likelihood(self, bins: npt.NDArray[np.int64]) -> Mixture:
        """Return p of the levels of all pixels, n * pixels, for bins (n, latent_dim)."""
        parts = [self._pixels(out) for out in self._decoder.parts(Grid.centred(bins), self.pixels)]
        weights, means, inverse = (
            part[0] if part[0].shape[1] == 1 else np.concatenate(part, axis=1)
            for part in zip(*parts, strict=True)
        )
        return Mixture(weights, means, inverse, tables.logistic())

    def _pixels(self, out: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return weights, means and inverse scales for what the decoder says of some images."""
        params = np.ascontiguousarray(out.reshape(len(out) * self.pixels, -1).T, "float64")
        one = np.ones((1, 1))
        if self.levels == 2:
            # Level 1 has the probability s(logit) = 1 - s(-logit): an edge at 0.5 at distance -logit.
            return one, 0.5 + params / tables.LOGIT_STEPS, one
        logits, means, scales = np.split(params, 3)
        centres = (np.arange(len(logits)) + 0.5)[:, None] / len(logits)
        inverse = tables.looked_up(tables.inverse_scales(-2.0, 5.0), scales)
        return (
            weights_of(logits),
            (LEVELS - 1) * (centres + means / PIXEL_STEPS),
            inverse / (LEVELS - 1),
        )

    def to_bytes(self) -> bytes:
        """Return the model's file."""
        buffer = io.BytesIO()
        description = np.frombuffer(json.dumps(self.meta, sort_keys=True).encode(), "uint8")
        np.savez_compressed(buffer, allow_pickle=False, meta=description, **self.arrays)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> CodecModel:
        """Read a model's file.

        Raises:
            ValueError: it is none, damaged, or of another version.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            return cls(json.loads(arrays.pop("meta").tobytes()), arrays)
        except (OSError, KeyError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f"Expected a whole codec model. Received: a damaged one ({error})") from error


def are_bits(images: npt.NDArray[np.uint8]) -> bool:
    """Say whether all pixels are 0 or 255."""
    return bool(((images == 0) | (images == 255)).all())


def read_codec_model(path: str | Path) -> CodecModel:
    """Read a model for coding.

    Raises:
        ValueError: the file is missing, damaged, or of another version.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(
            f"Expected a folder with a codec model (digitvae export RUN --format codec -o FOLDER). "
            f"Received: {path.parent}"
        )
    return CodecModel.from_bytes(path.read_bytes())
