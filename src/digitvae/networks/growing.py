"""Give a network the function of a smaller one: narrower, with fewer residual blocks, or both.

The aim is that of Net2Net (Chen et al. 2016), whose new units are copies; here they are random ones.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import keras
import numpy as np
from keras import layers


def start_from_smaller(network: keras.Model, smaller: keras.Model) -> None:
    """Set the weights so that the network computes what a smaller one of the same architecture does.

    The first units of each layer are those of the smaller network. The others keep the incoming weights that
    they have, and nothing is read of them yet: their outgoing weights become zero, and learn from the first
    step. So do those of the second layer of each new residual block, which then adds nothing.

    Args:
        network: built by a function of this package; changed.
        smaller: built by the same function with the same arguments but for a `width` and `blocks` that are
            no larger.

    Raises:
        ValueError: the networks are not so related; the network is unchanged.
    """
    ends = [(each.input_shape[1:], each.output_shape[1:]) for each in (network, smaller)]
    parts = [_parts(each) for each in (network, smaller)]
    pairs = _paired(*parts) if ends[0] == ends[1] else None
    if pairs is None:
        expected, received = (
            f"{sum(map(len, part))} layers from {first} to {last}"
            for part, (first, last) in zip(parts, ends, strict=True)
        )
        raise ValueError(f"Expected {expected}, or fewer residual blocks. Received: {received}")
    weights: list[tuple[keras.Layer, list[np.ndarray]]] = []
    for part, old in pairs:
        if old is None:
            last = part[-1].layer
            weights.append((last, [np.zeros(weight.shape) for weight in last.weights]))
            continue
        for (layer, inputs, outputs), (other, *_) in zip(part, old, strict=True):
            weights.append((layer, _widened(layer.get_weights(), other.get_weights(), inputs, outputs)))
    for layer, values in weights:
        layer.set_weights(values)


class _Grouped(NamedTuple):
    """A layer with weights, and how many groups of channels its inputs and its outputs are.

    A dense layer reads one group per place of a grid that was flattened. The outputs of a layer before a
    reshaping to a grid, or to the parts of a pixel shuffle, are one group per place or part.
    """

    layer: keras.Layer
    inputs: int
    outputs: int


_Part = list[_Grouped]
"""One layer, or the two of a residual block."""


def _parts(network: keras.Model) -> list[_Part]:
    """Return the layers with weights in order, those of a residual block together."""
    every = network.layers
    found: list[_Part] = []
    for before, layer, after in zip([None, *every[:-1]], every, [*every[1:], None], strict=True):
        if isinstance(layer, layers.Add):
            found[-2:] = [[*found[-2], *found[-1]]]
        if not layer.weights:
            continue
        inputs = outputs = 1
        if isinstance(before, layers.Flatten):
            inputs = math.prod(before.input.shape[1:-1])
        if isinstance(after, layers.Reshape):
            outputs = layer.output.shape[-1] // after.target_shape[-1]
        found.append([_Grouped(layer, inputs, outputs)])
    return found


def _paired(parts: list[_Part], smaller: list[_Part]) -> list[tuple[_Part, _Part | None]] | None:
    """Give each part that of the smaller network, and new blocks none; None where that cannot be.

    New blocks come after those that the smaller network has in the same place.
    """
    pairs: list[tuple[_Part, _Part | None]] = []
    rest = list(smaller)
    for part in parts:
        if rest and len(part) == len(rest[0]):
            pairs.append((part, rest.pop(0)))
        elif len(part) == 2:
            pairs.append((part, None))
        else:
            return None
    return None if rest else pairs


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
