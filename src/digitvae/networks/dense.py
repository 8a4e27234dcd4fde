"""Residual dense networks; without blocks they have one hidden layer, as in the textbook VAE."""

from __future__ import annotations

import math

import keras
from keras import layers


def dense_encoder(
    image_shape: tuple[int, int],
    outputs: int,
    width: int,
    blocks: int,
    activation: str = "relu",
    dtype: str = "float32",
) -> keras.Model:
    """Build a network from images to a vector, as `conv_encoder` does.

    `width` is the units of the hidden layers, `blocks` the residual blocks after the first layer.
    """
    images = keras.Input(image_shape, name="images")
    x = layers.Flatten(dtype=dtype)(images)
    x = layers.Dense(width, dtype=dtype)(x)
    x = _residual(x, width, blocks, activation, dtype)
    return keras.Model(images, layers.Dense(outputs, dtype="float32")(x), name="encoder")


def dense_decoder(
    image_shape: tuple[int, int],
    channels: int,
    latent_dim: int,
    width: int,
    blocks: int,
    activation: str = "relu",
    dtype: str = "float32",
) -> keras.Model:
    """Build a network from latents to pixel parameters, as `conv_decoder` does.

    `width` is the units of the hidden layers, `blocks` the residual blocks after the first layer.
    """
    latents = keras.Input((latent_dim,), name="latents")
    x = layers.Dense(width, dtype=dtype)(latents)
    x = _residual(x, width, blocks, activation, dtype)
    x = layers.Dense(math.prod(image_shape) * channels, dtype=dtype, name="output")(x)
    x = layers.Reshape((*image_shape, channels), dtype="float32")(x)
    return keras.Model(latents, x, name="decoder")


def _residual(
    x: keras.KerasTensor, width: int, blocks: int, activation: str, dtype: str
) -> keras.KerasTensor:
    for _ in range(blocks):
        y = layers.Activation(activation, dtype=dtype)(x)
        y = layers.Dense(width, dtype=dtype)(y)
        y = layers.Activation(activation, dtype=dtype)(y)
        y = layers.Dense(width, dtype=dtype)(y)
        x = layers.Add(dtype=dtype)([x, y])
    return layers.Activation(activation, dtype=dtype)(x)
