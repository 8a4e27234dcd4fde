"""Binarization: random bits for training, and fixed bits on which all models are measured."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from digitvae.data.arrays import Images, as_images, images_per_chunk


def draw_bits(images: Images, generator: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Draw x ~ Bernoulli(pixel / 255).

    The probability is exact: of the 255 integers from 0 to 254, `pixel` are below the pixel's grey level.
    They are random bytes of which each 255 is drawn again, in half the time of NumPy's integers below 255.

    Args:
        images: uint8 `(n, height, width)`.
        generator: source of the random numbers; its state advances.

    Returns:
        bool `(n, height, width)`, True for white.
    """
    uniform = np.frombuffer(bytearray(generator.bytes(images.size)), np.uint8)
    rejected = np.flatnonzero(uniform == 255)
    uniform[rejected] = generator.integers(0, 255, len(rejected), np.uint8)
    return uniform.reshape(images.shape) < images


def fixed_bits(images: npt.ArrayLike, seed: int = 777) -> Images:
    """Binarize images with a fixed seed; a pixel is white with the probability of its grey level.

    The bits are those of `numpy.random.default_rng(seed).random(images.shape) < images / 255`, drawn in
    chunks to save memory. Pixels of 0 and 255 do not change, so binary images are returned as they are.

    Args:
        images: `(n, height, width)`, in any form that `as_images` takes.
        seed: of the generator.

    Returns:
        uint8 `(n, height, width)`, 0 or 255.

    Raises:
        ValueError: if the images are not valid.
    """
    grey = as_images(images)
    generator = np.random.default_rng(seed)
    bits = np.empty_like(grey)
    step = images_per_chunk(grey.shape)
    for start in range(0, len(grey), step):
        chunk = grey[start : start + step]
        # x ~ Bernoulli(pixel / 255)
        bits[start : start + step] = (generator.random(chunk.shape) < chunk / 255) * np.uint8(255)
    return bits
