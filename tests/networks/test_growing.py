"""Networks that start as a smaller one: the same function, and units that learn."""

from __future__ import annotations

from functools import partial

import keras
import numpy as np
import pytest

from digitvae.networks import (
    conv_decoder,
    conv_encoder,
    dense_decoder,
    dense_encoder,
    start_from_smaller,
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
@pytest.mark.parametrize(("width", "blocks"), [(10, 1), (6, 2), (10, 3)])
def test_the_function_is_that_of_the_smaller_network(architecture, size, width, blocks):
    encoder, decoder = NETWORKS[architecture]
    for make in (partial(encoder, size, 6), partial(decoder, size, 2, 3)):
        small, large = with_biases(make(6, 1)), with_biases(make(width, blocks))
        images = inputs(large)
        assert np.abs(to_numpy(large(images)) - to_numpy(small(images))).max() > 1e-2
        start_from_smaller(large, small)
        np.testing.assert_allclose(to_numpy(large(images)), to_numpy(small(images)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("make", [conv_encoder, dense_encoder])
def test_new_units_compute_something_of_which_nothing_is_read_yet(make):
    narrow, wide = make((8, 8), 6, 6, 1), make((8, 8), 6, 10, 1)
    before = wide.get_weights()
    start_from_smaller(wide, narrow)
    first, last = wide.get_weights()[0], wide.get_weights()[-2]
    np.testing.assert_array_equal(first[..., -1], before[0][..., -1])
    assert (last == 0).any(axis=1).sum() == len(last) - len(narrow.get_weights()[-2])


@pytest.mark.parametrize("make", [conv_encoder, dense_encoder])
def test_new_blocks_add_nothing_and_come_after_the_others(make):
    small, large = (with_biases(make((8, 8), 6, 6, blocks)) for blocks in (2, 3))
    before = large.get_weights()
    start_from_smaller(large, small)
    after = large.get_weights()
    # A kernel and a bias of each layer: the new block's two are before the last layer.
    for ours, theirs in zip([*after[:-6], *after[-2:]], small.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(after[-6:-4], before[-6:-4], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not any(weight.any() for weight in after[-4:-2])


def test_the_same_width_takes_the_weights():
    narrow, other = conv_decoder((9, 13), 1, 3, 6, 1), conv_decoder((9, 13), 1, 3, 6, 1)
    start_from_smaller(other, narrow)
    for ours, theirs in zip(other.get_weights(), narrow.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    "other",
    [
        lambda: conv_encoder((28, 28), 6, 12, 1),  # wider
        lambda: conv_encoder((28, 28), 8, 6, 1),  # more outputs
        lambda: conv_encoder((28, 28), 6, 6, 2),  # more blocks
        lambda: conv_encoder((27, 28), 6, 6, 1),
        lambda: dense_encoder((28, 28), 6, 6, 1),
    ],
)
def test_networks_that_are_no_smaller_ones_are_refused(other):
    network = conv_encoder((28, 28), 6, 8, 1)
    before = network.get_weights()
    with pytest.raises(ValueError, match=r"Expected .*Received"):
        start_from_smaller(network, other())
    for ours, theirs in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
