"""Layers run by NumPy give what Keras gives."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from keras import layers

from digitvae.light.archive import NeedsKeras
from digitvae.light.networks import Network

pytestmark = pytest.mark.backend


class Saved:
    """What `Archive` has of one network, without a file."""

    def __init__(self, model):
        # Through JSON, as in a file: tuples become lists.
        self.config = {"net": json.loads(json.dumps(keras.saving.serialize_keras_object(model)))}
        self.model = model

    def by_name(self, part):
        return {layer.name: [w.numpy() for w in layer.weights] for layer in self.model.layers}


def images(shape, count=5):
    """Returns float images."""
    return np.random.default_rng(0).standard_normal((count, *shape)).astype("float32")


def model_of(*stack, shape=(7, 10, 3)):
    """Returns a model of layers one after another, with biases other than 0."""
    inputs = keras.Input(shape)
    x = inputs
    for layer in stack:
        x = layer(x)
    model = keras.Model(inputs, x)
    rng = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(rng.normal(scale=0.3, size=weight.shape))
    return model


@pytest.mark.parametrize(
    "layer",
    [
        layers.Activation("relu"),
        layers.Activation("swish"),
        layers.Activation("linear"),
        layers.Dense(4),
        layers.Dense(4, activation="relu", use_bias=False),
        layers.Conv2D(4, 3, padding="same"),
        layers.Conv2D(4, 3, padding="same", use_bias=False, activation="silu"),
        layers.Conv2D(4, (1, 3), padding="valid"),
        layers.Conv2D(4, 2, padding="same"),
        layers.Conv2D(4, 3, strides=2, padding="same"),
        layers.Conv2D(4, (2, 3), strides=(2, 3)),
        layers.Conv2D(4, 1),
        layers.ZeroPadding2D(((1, 2), (0, 3))),
        layers.Cropping2D(((1, 0), (2, 3))),
        layers.Flatten(),
        layers.Reshape((10, -1)),
        layers.Permute((3, 1, 2)),
    ],
    ids=lambda layer: layer.name,
)
def test_a_layer_gives_what_keras_gives(layer):
    model = model_of(layer)
    x = images((7, 10, 3))
    expected = model.predict_on_batch(x)
    found = Network(Saved(model), "net")(x, 70)
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_branches_are_added_and_large_batches_are_cut():
    inputs = keras.Input((6,))
    x = layers.Dense(4)(inputs)
    y = layers.Dense(4, activation="relu")(x)
    model = keras.Model(inputs, layers.Add()([x, y, x]))
    x = images((6,), 100)
    network = Network(Saved(model), "net")
    assert network.input_shape == (6,)
    # 2**15 pixels an image: two rows at a time.
    np.testing.assert_allclose(network(x, 2**15), model.predict_on_batch(x), atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            layers.MaxPooling2D(),
            r"Expected networks of the layers Activation, .*Received: MaxPooling2D \(layer",
        ),
        (layers.Activation("tanh"), r"Expected the activations linear, relu.*Received: tanh \(layer"),
        (layers.Conv2D(4, 3, dilation_rate=2), r"Expected plain convolutions.*Received: \{'dilation_rate'"),
        (layers.Conv2D(3, 3, groups=3), r"Expected plain convolutions.*Received: \{'groups': 3\}"),
    ],
    ids=["layer", "activation", "dilation", "groups"],
)
def test_what_is_not_known_is_refused(layer, message):
    with pytest.raises(NeedsKeras, match=message):
        Network(Saved(model_of(layer)), "net")


def test_a_layer_used_twice_is_refused():
    inputs = keras.Input((4,))
    twice = layers.Dense(4)
    with pytest.raises(NeedsKeras, match="use each layer once"):
        Network(Saved(keras.Model(inputs, twice(twice(inputs)))), "net")


def test_two_outputs_are_refused():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, [layers.Dense(4)(inputs), layers.Dense(3)(inputs)])
    with pytest.raises(NeedsKeras, match="one input and one output"):
        Network(Saved(model), "net")


def test_a_network_of_another_class_is_refused():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    with pytest.raises(NeedsKeras, match=r"Expected functional networks.*Received: Sequential \(net\)"):
        Network(Saved(model), "net")
