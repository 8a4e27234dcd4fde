"""Give a network the function of a narrower one.

The aim is that of Net2WiderNet (Chen et al. 2016), whose new units are copies; here they are random ones.
"""

from __future__ import annotations

import math

import keras
import numpy as np
from keras import layers


def start_from_narrower(network: keras.Model, narrower: keras.Model) -> None:
    """Set the weights so that the network computes what a narrower one of the same architecture does.

    The first units of each layer are those of the narrower network. The others keep the incoming weights
    that they have, and nothing is read of them yet: their outgoing weights become zero, and learn from the
    first step.

    Args:
        network: built by a function of this package; changed.
        narrower: built by the same function with the same arguments but for a `width` that is no larger.

    Raises:
        ValueError: the networks are not so related; the network is unchanged.
    """
    new, old = (_layers_with_weights(each) for each in (network, narrower))
    ends = [(each.input_shape[1:], each.output_shape[1:]) for each in (network, narrower)]
    if ends[0] != ends[1] or len(new) != len(old):
        expected, received = (
            f"{len(found)} layers from {first} to {last}"
            for found, (first, last) in zip((new, old), ends, strict=True)
        )
        raise ValueError(f"Expected {expected}. Received: {received}")
    weights = [
        _widened(layer.get_weights(), other.get_weights(), *groups)
        for (layer, groups), (other, _) in zip(new, old, strict=True)
    ]
    for (layer, _), values in zip(new, weights, strict=True):
        layer.set_weights(values)


def _layers_with_weights(network: keras.Model) -> list[tuple[keras.Layer, tuple[int, int]]]:
    """Return the layers in order, each with how many groups of channels its inputs and its outputs are.

    A dense layer reads one group per place of a grid that was flattened. The outputs of a layer before a
    reshaping to a grid, or to the parts of a pixel shuffle, are one group per place or part.
    """
    every = network.layers
    found = []
    for before, layer, after in zip([None, *every[:-1]], every, [*every[1:], None], strict=True):
        if not layer.weights:
            continue
        inputs = outputs = 1
        if isinstance(before, layers.Flatten):
            inputs = math.prod(before.input.shape[1:-1])
        if isinstance(after, layers.Reshape):
            outputs = layer.output.shape[-1] // after.target_shape[-1]
        found.append((layer, (inputs, outputs)))
    return found


def _widened(new: list[np.ndarray], old: list[np.ndarray], inputs: int, outputs: int) -> list[np.ndarray]:
    """Return a kernel (..., inputs, outputs) and a bias (outputs,) with those of a narrower layer in them."""
    (kernel, bias), (old_kernel, old_bias) = new, old
    shape, units = _grouped(kernel, inputs, outputs)
    old_shape, old_units = _grouped(old_kernel, inputs, outputs)
    if shape[:-4] != old_shape[:-4] or any(few < many for few, many in zip(units, old_units, strict=True)):
        raise ValueError(f"Expected a kernel that fits into {kernel.shape}. Received: {old_kernel.shape}")
    into, out_of = (slice(size) for size in old_units)
    wide = kernel.reshape(shape).copy()
    wide[..., old_units[0] :, :, :] = 0
    wide[..., into, :, out_of] = old_kernel.reshape(old_shape)
    biases = bias.reshape(outputs, -1).copy()
    biases[:, out_of] = old_bias.reshape(outputs, -1)
    return [wide.reshape(kernel.shape), biases.reshape(bias.shape)]


def _grouped(kernel: np.ndarray, inputs: int, outputs: int) -> tuple[tuple[int, ...], tuple[int, int]]:
    """Return the shape of a kernel whose channels are in groups, and the units of a group of either side."""
    units = kernel.shape[-2] // inputs, kernel.shape[-1] // outputs
    return (*kernel.shape[:-2], inputs, units[0], outputs, units[1]), units
