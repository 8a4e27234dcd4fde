"""Networks that start as a narrower one: the same function, and units that learn."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from digitvae.networks import (
    conv_decoder,
    conv_encoder,
    dense_decoder,
    dense_encoder,
    start_from_narrower,
)

pytestmark = pytest.mark.backend

NETWORKS = {"conv": (conv_encoder, conv_decoder), "dense": (dense_encoder, dense_decoder)}
to_numpy = keras.ops.convert_to_numpy


def inputs(network):
    return np.random.default_rng(0).random((3, *network.input_shape[1:]), "float32")


def with_biases(network):
    """Return the network with biases that are not zero, as after training."""
    generator = np.random.default_rng(1)
    for weight in network.trainable_variables:
        if weight.ndim == 1:
            weight.assign(generator.normal(size=weight.shape))
    return network


@pytest.mark.parametrize("architecture", NETWORKS)
@pytest.mark.parametrize("size", [(28, 28), (9, 13), (65, 33)], ids=str)
@pytest.mark.parametrize("blocks", [1, 2])
def test_the_function_is_that_of_the_narrower_network(architecture, size, blocks):
    encoder, decoder = NETWORKS[architecture]
    for narrow, wide in (
        (encoder(size, 6, 6, blocks), encoder(size, 6, 10, blocks)),
        (decoder(size, 2, 3, 6, blocks), decoder(size, 2, 3, 10, blocks)),
    ):
        with_biases(narrow)
        images = inputs(wide)
        assert np.abs(to_numpy(wide(images)) - to_numpy(narrow(images))).max() > 1e-2
        start_from_narrower(wide, narrow)
        np.testing.assert_allclose(to_numpy(wide(images)), to_numpy(narrow(images)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("make", [conv_encoder, dense_encoder])
def test_new_units_compute_something_of_which_nothing_is_read_yet(make):
    narrow, wide = make((8, 8), 6, 6, 1), make((8, 8), 6, 10, 1)
    before = wide.get_weights()
    start_from_narrower(wide, narrow)
    first, last = wide.get_weights()[0], wide.get_weights()[-2]
    np.testing.assert_array_equal(first[..., -1], before[0][..., -1])
    assert (last == 0).any(axis=1).sum() == len(last) - len(narrow.get_weights()[-2])


def test_the_same_width_takes_the_weights():
    narrow, other = conv_decoder((9, 13), 1, 3, 6, 1), conv_decoder((9, 13), 1, 3, 6, 1)
    start_from_narrower(other, narrow)
    for ours, theirs in zip(other.get_weights(), narrow.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    "other",
    [
        lambda: conv_encoder((28, 28), 6, 12, 1),  # wider
        lambda: conv_encoder((28, 28), 8, 6, 1),  # more outputs
        lambda: conv_encoder((28, 28), 6, 6, 2),  # more layers
        lambda: conv_encoder((27, 28), 6, 6, 1),
        lambda: dense_encoder((28, 28), 6, 6, 1),
    ],
)
def test_networks_that_are_no_narrower_ones_are_refused(other):
    network = conv_encoder((28, 28), 6, 8, 1)
    before = network.get_weights()
    with pytest.raises(ValueError, match=r"Expected .*Received"):
        start_from_narrower(network, other())
    for ours, theirs in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
