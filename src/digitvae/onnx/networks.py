"""The layers of saved networks as nodes of a graph.

Keras keeps the channels of images last, ONNX' convolutions want them first. Convolutions and what stands
between them work with the channels first; they come last only where something takes them so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from digitvae.light.networks import (
    Maker,
    activation_of,
    check_convolution,
    same_padding,
    with_bias,
)
from digitvae.onnx.graph import WHOLE, N, Symbol
from digitvae.onnx.operations import graph_operations as ops

Function = Callable[..., Symbol]
Settings = Mapping[str, Any]
Weights = Sequence[np.ndarray]

_FIRST, _LAST = (0, 3, 1, 2), (0, 2, 3, 1)


def _first(x: Symbol) -> Symbol:
    """Return images with the channels before height and width."""
    return x.transpose(_FIRST) if x.channels_first is None else x.channels_first


def _last(x: Symbol) -> Symbol:
    """Return images, given with their channels first, with the channels last."""
    images = x.transpose(_LAST)
    images.channels_first = x
    return images


def _elementwise(function: Function) -> Function:
    """Let a function of images work on whichever order of the axes they have."""

    def apply(*inputs: Symbol) -> Symbol:
        if any(x.channels_first is not None for x in inputs):
            return _last(function(*map(_first, inputs)))
        return function(*inputs)

    return apply


def _relu(x: Symbol) -> Symbol:
    return x.graph.add("Relu", [x], x.shape)


_ACTIVATIONS: dict[str, Function] = {
    "linear": lambda x: x,
    "relu": _elementwise(_relu),
    "silu": _elementwise(ops.silu),
    "swish": _elementwise(ops.silu),
}


def _activation(settings: Settings, _: Weights) -> Function:
    return activation_of(settings, _ACTIVATIONS)


def _add(_: Settings, __: Weights) -> Function:
    return _elementwise(lambda *inputs: sum(inputs[1:], inputs[0]))


def _dense(settings: Settings, weights: Weights) -> Function:
    kernel, bias = with_bias(weights)
    activation = activation_of(settings, _ACTIVATIONS)
    return lambda x: activation(x @ kernel + bias)


def _conv(settings: Settings, weights: Weights) -> Function:
    check_convolution(settings)
    kernel, bias = with_bias(weights)
    activation = activation_of(settings, _ACTIVATIONS)
    sides, strides, same = kernel.shape[:2], settings["strides"], settings["padding"] == "same"

    def convolve(images: Symbol) -> Symbol:
        x = _first(images)
        pads = [
            same_padding(*sizes) if same else (0, 0)
            for sizes in zip(x.shape[2:], sides, strides, strict=True)
        ]
        shape = [
            (size + sum(pad) - side) // stride + 1
            for size, pad, side, stride in zip(x.shape[2:], pads, sides, strides, strict=True)
        ]
        (top, bottom), (left, right) = pads
        graph = x.graph
        convolved = graph.add(
            "Conv",
            [x, graph.symbol(kernel.transpose(3, 2, 0, 1)), graph.symbol(bias)],
            (N, len(bias), *shape),
            kernel_shape=tuple(sides),
            pads=(top, left, bottom, right),
            strides=tuple(strides),
        )
        return activation(_last(convolved))

    return convolve


def _flatten(_: Settings, __: Weights) -> Function:
    return lambda x: ops.reshape(x, (N, int(np.prod(x.shape[1:]))))


def _reshape(settings: Settings, _: Weights) -> Function:
    shape = tuple(settings["target_shape"])
    return lambda x: ops.reshape(x, (N, *shape))


def _permute(settings: Settings, _: Weights) -> Function:
    return lambda x: x.transpose((0, *settings["dims"]))


def _pad(settings: Settings, _: Weights) -> Function:
    (top, bottom), (left, right) = settings["padding"]

    def pad(x: Symbol) -> Symbol:
        count, height, width, channels = x.shape
        pads = x.graph.symbol([0, top, left, 0, 0, bottom, right, 0], WHOLE)
        return x.graph.add("Pad", [x, pads], (count, top + height + bottom, left + width + right, channels))

    return pad


def _crop(settings: Settings, _: Weights) -> Function:
    (top, bottom), (left, right) = settings["cropping"]
    return lambda x: x[:, top : x.shape[1] - bottom, left : x.shape[2] - right]


LAYERS: dict[str, Maker] = {
    "Activation": _activation,
    "Add": _add,
    "Conv2D": _conv,
    "Cropping2D": _crop,
    "Dense": _dense,
    "Flatten": _flatten,
    "Permute": _permute,
    "Reshape": _reshape,
    "ZeroPadding2D": _pad,
}
