"""Other lossless coders, each with its best settings, for images one by one or all as one block."""

from __future__ import annotations

import bz2
import io
import lzma
import math
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

Coded = tuple[Callable[[np.ndarray], bytes], Callable[[bytes], np.ndarray]]


class Coder(NamedTuple):
    """A coder of one array: grey levels (h, w), or 0 and 255 alone."""

    title: str
    made: Callable[[bool, tuple[int, ...]], Coded]
    """Returns what codes and decodes, for bits or grey levels, and for arrays of a shape."""
    is_image: bool
    """Whether it knows rows and columns; what does not gets bits packed eight to a byte."""


def _png(bits: bool, _: tuple[int, ...]) -> Coded:
    def encode(x: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(x).convert("1" if bits else "L").save(buffer, "PNG", optimize=True)
        return buffer.getvalue()

    return encode, _decoded


def _decoded(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("L"))


def _oxipng(bits: bool, shape: tuple[int, ...]) -> Coded:
    import oxipng

    encode = _png(bits, shape)[0]
    settings: dict[str, Any] = {"level": 6, "strip": oxipng.StripChunks.all()}
    return lambda x: oxipng.optimize_from_memory(encode(x), **settings), _decoded


def _webp(_: bool, __: tuple[int, ...]) -> Coded:
    def encode(x: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(x).convert("RGB").save(buffer, "WEBP", lossless=True, quality=100, method=6)
        return buffer.getvalue()

    return encode, _decoded


def _jpeg_xl(bits: bool, _: tuple[int, ...]) -> Coded:
    import imagecodecs

    factor, depth = (255, 1) if bits else (1, 8)

    def encode(x: np.ndarray) -> bytes:
        settings: dict[str, Any] = {"lossless": True, "effort": 9, "bitspersample": depth, "numthreads": 1}
        return bytes(imagecodecs.jpegxl_encode(x // factor, **settings))

    return encode, lambda content: imagecodecs.jpegxl_decode(content, numthreads=1) * np.uint8(factor)


def _bytes(shrink: Callable[[bytes], bytes], expand: Callable[[bytes], bytes]) -> Callable[..., Coded]:
    def made(bits: bool, shape: tuple[int, ...]) -> Coded:
        def decode(content: bytes) -> np.ndarray:
            stored = np.frombuffer(expand(content), "uint8")
            return (np.unpackbits(stored)[: math.prod(shape)] * 255 if bits else stored).reshape(shape)

        return lambda x: shrink((np.packbits(x > 0) if bits else x).tobytes()), decode

    return made


def _zstd(bits: bool, shape: tuple[int, ...]) -> Coded:
    import zstandard

    # Level 22, and a window as large as it takes.
    parameters = zstandard.ZstdCompressionParameters.from_level(22, window_log=27)
    shrink = zstandard.ZstdCompressor(compression_params=parameters).compress
    return _bytes(shrink, zstandard.ZstdDecompressor().decompress)(bits, shape)


def _xz(content: bytes) -> bytes:
    # A dictionary of 64 MiB is cleared for each image; no larger one than the content is of use.
    size = min(64 << 20, max(4096, len(content)))
    chain = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": size}]
    return lzma.compress(content, check=lzma.CHECK_CRC32, filters=chain)


CODERS = {
    "png": Coder("PNG (Pillow, optimize)", _png, True),
    "oxipng": Coder("PNG (oxipng -o 6)", _oxipng, True),
    "webp": Coder("WebP lossless (method 6, quality 100)", _webp, True),
    "jpegxl": Coder("JPEG XL lossless (effort 9)", _jpeg_xl, True),
    "zstd": Coder("zstd 22 (ultra)", _zstd, False),
    "bz2": Coder("bz2 -9", _bytes(bz2.compress, bz2.decompress), False),
    "xz": Coder("xz -9e", _bytes(_xz, lzma.decompress), False),
}


def measured(name: str, images: np.ndarray, whole: bool) -> dict[str, Any]:
    """Code images and decode them again, in a process of their own, in one thread.

    Args:
        name: of the coder.
        images: uint8 (n, h, w).
        whole: all of them as one block: one tall mosaic where the coder knows rows and columns.

    Returns:
        bytes, seconds each way, and the peak of the process's memory in bytes.

    Raises:
        RuntimeError: they did not come back.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_measured, name, images, whole).result()


def _measured(name: str, images: np.ndarray, whole: bool) -> dict[str, Any]:
    coder = CODERS[name]
    arrays = list(images)
    if whole:
        arrays = [mosaic(images) if coder.is_image else images]
    bits = bool(((images == 0) | (images == 255)).all())
    encode, decode = coder.made(bits, arrays[0].shape)
    began = time.perf_counter()
    contents = [encode(array) for array in arrays]
    middle = time.perf_counter()
    found = [decode(content) for content in contents]
    end = time.perf_counter()
    if not all(np.array_equal(a, b) for a, b in zip(found, arrays, strict=True)):
        raise RuntimeError(f"Expected {name} to give the images back. Received: others")
    return {
        "bytes": sum(map(len, contents)),
        "encode_seconds": middle - began,
        "decode_seconds": end - middle,
        "peak_bytes": peak_bytes(),
    }


def peak_bytes() -> int:
    """Return the peak of this process's memory; `getrusage` counts that of its parent too."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def mosaic(images: np.ndarray) -> np.ndarray:
    """Lay images out as one, about square, with black ones where it is not full."""
    count, height, width = images.shape
    across = math.ceil(math.sqrt(count * height / width))
    down = math.ceil(count / across)
    padded = np.zeros((down * across, height, width), "uint8")
    padded[:count] = images
    return padded.reshape(down, across, height, width).swapaxes(1, 2).reshape(down * height, across * width)
