"""Encoders and decoders: sizes, types, and that every pixel is where it belongs."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from digitvae.networks import conv, conv_decoder, conv_encoder, dense_decoder, dense_encoder

pytestmark = pytest.mark.backend

NETWORKS = {"conv": (conv_encoder, conv_decoder), "dense": (dense_encoder, dense_decoder)}
SIZES = [(8, 8), (9, 13), (28, 28), (33, 65), (8, 128), (128, 128)]
to_numpy = keras.ops.convert_to_numpy


@pytest.fixture(params=NETWORKS)
def networks(request):
    """The encoder and decoder makers of one architecture, with weights that are the same every time."""
    keras.utils.set_random_seed(0)
    return NETWORKS[request.param]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_shapes_and_values(networks, size):
    encoder, decoder = networks[0](size, 6, 16, 1), networks[1](size, 2, 3, 16, 1)
    images = np.random.default_rng(0).random((2, *size), "float32")
    code, pixels = encoder(images), decoder(images[:, :3, 0])
    assert code.shape == (2, 6)
    assert pixels.shape == (2, *size, 2)
    for values in map(to_numpy, (code, pixels)):
        assert values.dtype == np.float32
        assert np.isfinite(values).all()
        assert np.ptp(values, axis=0).max() > 0, "two inputs give one output"


def test_no_blocks_are_allowed(networks):
    assert networks[0]((9, 13), 6, 4, 0)(np.zeros((1, 9, 13), "float32")).shape == (1, 6)
    assert networks[1]((9, 13), 1, 3, 4, 0)(np.zeros((1, 3), "float32")).shape == (1, 9, 13, 1)


def test_bfloat16_works_inside_alone(with_bfloat16, networks):
    encoder = networks[0]((9, 13), 6, 4, 1, dtype="mixed_bfloat16")
    decoder = networks[1]((9, 13), 2, 3, 4, 1, dtype="mixed_bfloat16")
    for network, inputs in ((encoder, np.ones((2, 9, 13), "float32")), (decoder, np.ones((2, 3), "float32"))):
        assert to_numpy(network(inputs)).dtype == np.float32
        assert "bfloat16" in {layer.compute_dtype for layer in network.layers}
        assert {str(weight.dtype) for weight in network.weights} == {"float32"}


def test_every_pixel_reaches_the_code_and_every_latent_every_pixel(networks):
    size = (9, 13)
    # Not ReLU: a small network has units that are off for one pixel, and this test is about the wiring.
    encoder = networks[0](size, 6, 8, 1, activation="swish")
    decoder = networks[1](size, 1, 3, 8, 1, activation="swish")
    single = np.eye(9 * 13, dtype="float32").reshape(-1, *size)
    change = to_numpy(encoder(single)) - to_numpy(encoder(np.zeros((1, *size), "float32")))
    assert np.abs(change).max(axis=1).min() > 1e-6
    change = to_numpy(decoder(np.eye(3, dtype="float32"))) - to_numpy(decoder(np.zeros((1, 3), "float32")))
    assert np.abs(change).max(axis=0).min() > 1e-6


@pytest.mark.parametrize("scale", [2, 4])
def test_the_pixel_shuffle_is_the_inverse_of_patching(scale):
    image = np.random.default_rng(0).random((2, 3 * scale, 5 * scale, 2), "float32")
    kernel = np.zeros((scale, scale, 2, 2 * scale**2), "float32")
    for row, column, channel in np.ndindex(scale, scale, 2):
        kernel[row, column, channel, (row * scale + column) * 2 + channel] = 1
    patches = keras.ops.conv(image, kernel, strides=scale)
    assert patches.shape == (2, 3, 5, 2 * scale**2)
    back = to_numpy(conv._pixel_shuffle(patches, scale, "float32"))
    np.testing.assert_allclose(back, image, atol=1e-6)


@pytest.mark.parametrize("size", [(9, 13), (28, 28), (33, 65), (127, 8)])
def test_padding_and_cropping_undo_each_other_and_keep_the_middle(size):
    paddings = [layer.padding for layer in conv_encoder(size, 6, 4, 0).layers if hasattr(layer, "padding")]
    padding = next((p for p in paddings if isinstance(p, tuple)), ((0, 0), (0, 0)))
    croppings = [
        layer.cropping for layer in conv_decoder(size, 1, 3, 4, 0).layers if hasattr(layer, "cropping")
    ]
    assert croppings == ([padding] if size != (28, 28) else [])
    assert all(0 <= after - before <= 1 for before, after in padding)


@pytest.mark.parametrize("size", SIZES)
def test_the_grid_stays_small(size):
    grids = [
        layer.output.shape[1:3]
        for layer in conv_encoder(size, 6, 4, 1).layers
        if isinstance(layer, keras.layers.Add)
    ]
    assert max(grids[-1]) <= conv.LARGEST_GRID
    assert min(grids[-1]) >= 1


def test_without_blocks_the_dense_networks_are_the_textbook_perceptron():
    encoder, decoder = dense_encoder((28, 28), 40, 400, 0), dense_decoder((28, 28), 1, 20, 400, 0)
    assert [tuple(w.shape) for w in encoder.weights] == [(784, 400), (400,), (400, 40), (40,)]
    assert [tuple(w.shape) for w in decoder.weights] == [(20, 400), (400,), (400, 784), (784,)]
