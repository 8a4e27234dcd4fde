"""Residual convolutional networks that do most of their work on a coarse grid.

The first layer maps patches of 2 x 2 pixels to a 14 x 14 grid (for 28 x 28 images) with half the channels and
one residual block; the next layer halves the grid to 7 x 7, where the other blocks are. The decoder mirrors
this and ends with a pixel shuffle (Shi et al. 2016). Transposed convolutions are avoided: on a CPU they take
ten times as long as their number of operations suggests. Images whose sides are not a multiple of the
coarsest cell are padded with background, and the decoder's output is cropped. Larger images use larger
patches and more halvings until the grid is at most 8 x 8.
"""

from __future__ import annotations

from itertools import pairwise

import keras
from keras import layers

SMALL_IMAGE = 32
"""Largest side, in pixels, of images with patches of 2 x 2; larger images have patches of 4 x 4."""
LARGEST_GRID = 8


def conv_encoder(
    image_shape: tuple[int, int],
    outputs: int,
    width: int,
    blocks: int,
    activation: str = "relu",
    dtype: str = "float32",
) -> keras.Model:
    """Build a network from images to a vector.

    Args:
        image_shape: (height, width) of the images.
        outputs: size of the vector.
        width: channels on the coarsest grid; finer grids have half as many.
        blocks: residual blocks on the coarsest grid; finer grids have one.
        activation: name of the activation function in Keras.
        dtype: dtype policy of the hidden layers; the output is always float32.

    Returns:
        A functional model, float (n, height, width) in [0, 1] -> float32 (n, outputs).
    """
    patch, stages, padding = _geometry(image_shape)
    images = keras.Input(image_shape, name="images")
    x = layers.Reshape((*image_shape, 1), dtype=dtype)(images)
    if any(sum(side) for side in padding):
        x = layers.ZeroPadding2D(padding, dtype=dtype)(x)
    channels = _channels(width, stages)
    x = layers.Conv2D(channels[0], patch, strides=patch, dtype=dtype)(x)
    for fine, coarse in pairwise(channels):
        x = _residual(x, fine, 1, activation, dtype)
        x = layers.Conv2D(coarse, 2, strides=2, dtype=dtype)(x)
    x = _residual(x, width, blocks, activation, dtype)
    x = layers.Activation(activation, dtype=dtype)(x)
    x = layers.Flatten(dtype=dtype)(x)
    return keras.Model(images, layers.Dense(outputs, dtype="float32")(x), name="encoder")


def conv_decoder(
    image_shape: tuple[int, int],
    channels: int,
    latent_dim: int,
    width: int,
    blocks: int,
    activation: str = "relu",
    dtype: str = "float32",
) -> keras.Model:
    """Build a network from latents to pixel parameters.

    Args:
        image_shape: (height, width) of the images.
        channels: parameters per pixel.
        latent_dim: number of latents.
        width: channels on the coarsest grid; finer grids have half as many.
        blocks: residual blocks on the coarsest grid; finer grids have one.
        activation: name of the activation function in Keras.
        dtype: dtype policy of the hidden layers; the output is always float32.

    Returns:
        A functional model, float (n, latent_dim) -> float32 (n, height, width, channels).
    """
    patch, stages, padding = _geometry(image_shape)
    cell = patch * 2**stages
    grid = tuple((size + sum(side)) // cell for size, side in zip(image_shape, padding, strict=True))
    latents = keras.Input((latent_dim,), name="latents")
    x = layers.Dense(grid[0] * grid[1] * width, dtype=dtype)(latents)
    x = layers.Reshape((*grid, width), dtype=dtype)(x)
    x = _residual(x, width, blocks, activation, dtype)
    for fine in reversed(_channels(width, stages)[:-1]):
        x = layers.Conv2D(4 * fine, 1, dtype=dtype)(x)
        x = _pixel_shuffle(x, 2, dtype)
        x = _residual(x, fine, 1, activation, dtype)
    x = layers.Activation(activation, dtype=dtype)(x)
    x = layers.Conv2D(patch**2 * channels, 3, padding="same", dtype=dtype, name="output")(x)
    x = _pixel_shuffle(x, patch, "float32")
    if any(sum(side) for side in padding):
        x = layers.Cropping2D(padding, dtype="float32")(x)
    return keras.Model(latents, x, name="decoder")


def _geometry(image_shape: tuple[int, int]) -> tuple[int, int, tuple[tuple[int, int], tuple[int, int]]]:
    """Return the side of a patch, the number of halvings, and the (before, after) padding of each axis."""
    patch = 2 if max(image_shape) <= SMALL_IMAGE else 4
    stages = 0
    while max(image_shape) > patch * LARGEST_GRID * 2**stages:
        stages += 1
    cell = patch * 2**stages
    (top, bottom), (left, right) = (
        ((-size % cell) // 2, -size % cell - (-size % cell) // 2) for size in image_shape
    )
    return patch, stages, ((top, bottom), (left, right))


def _channels(width: int, stages: int) -> list[int]:
    """Return the channels of each grid, from the finest to the coarsest."""
    return [max(1, width // 2)] * stages + [width]


def _residual(
    x: keras.KerasTensor, width: int, blocks: int, activation: str, dtype: str
) -> keras.KerasTensor:
    for _ in range(blocks):
        y = layers.Activation(activation, dtype=dtype)(x)
        y = layers.Conv2D(width, 3, padding="same", dtype=dtype)(y)
        y = layers.Activation(activation, dtype=dtype)(y)
        y = layers.Conv2D(width, 3, padding="same", dtype=dtype)(y)
        x = layers.Add(dtype=dtype)([x, y])
    return x


def _pixel_shuffle(x: keras.KerasTensor, scale: int, dtype: str) -> keras.KerasTensor:
    """Rearrange channels into pixels: (n, h, w, scale**2 c) -> (n, scale h, scale w, c)."""
    height, width, channels = x.shape[1:]
    channels //= scale**2
    x = layers.Reshape((height, width, scale, scale, channels), dtype=dtype)(x)
    x = layers.Permute((1, 3, 2, 4, 5), dtype=dtype)(x)
    return layers.Reshape((height * scale, width * scale, channels), dtype=dtype)(x)
