"""The functional networks of a saved model, run by NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from digitvae.distributions.operations import silu
from digitvae.light.archive import Archive, NeedsKeras

Array = np.ndarray
Function = Callable[..., Array]
Maker = Callable[[Mapping[str, Any], Sequence[Array]], Callable[..., Any]]

# 64 images of 28 x 28: large enough for fast products of matrices, small enough for the cache.
_CHUNK_PIXELS = 1 << 16


class Layer(NamedTuple):
    """A layer of a saved network."""

    kind: str
    """Name of its class in Keras."""
    name: str
    settings: Mapping[str, Any]
    weights: Sequence[Array]
    inputs: Sequence[str]
    """Names of the layers whose outputs it takes."""


class Steps:
    """The layers of a functional Keras model of one input and one output, in their order.

    Args:
        archive: the saved model.
        part: the network's name in it.
        makers: by the class of a layer, what makes a function of its settings and weights.

    Attributes:
        input: name of the input.
        input_shape: of one row.
        layers: in their order.

    Raises:
        NeedsKeras: a layer, or a setting of one, that is not known here.
    """

    def __init__(self, archive: Archive, part: str, makers: Mapping[str, Maker]):
        if archive.config[part]["class_name"] != "Functional":
            raise NeedsKeras("functional networks", f"{archive.config[part]['class_name']} ({part})")
        config, weights = archive.config[part]["config"], archive.by_name(part)
        self.input = _only(config["input_layers"], config["name"])
        self._output = _only(config["output_layers"], config["name"])
        self.layers: list[Layer] = []
        self._functions: list[Callable[..., Any]] = []
        self.input_shape: tuple[int, ...] = ()
        for layer in config["layers"]:
            kind, name, settings = layer["class_name"], layer["config"]["name"], layer["config"]
            if name == self.input:
                self.input_shape = tuple(settings["batch_shape"][1:])
                continue
            if kind not in makers:
                raise NeedsKeras(f"networks of the layers {', '.join(makers)}", f"{kind} (layer {name})")
            self.layers.append(Layer(kind, name, settings, weights.get(name, ()), _inputs(layer)))
            self._functions.append(makers[kind](*self.layers[-1][2:4]))

    def run(self, x: Any) -> Any:
        """Return what the last layer gives."""
        return self.values(x)[self._output]

    def values(self, x: Any) -> dict[str, Any]:
        """Return the outputs of all layers and, under its name, the input."""
        values = {self.input: x}
        for layer, function in zip(self.layers, self._functions, strict=True):
            values[layer.name] = function(*(values[other] for other in layer.inputs))
        return values


class Network:
    """A functional Keras model of one input and one output, in float32, by NumPy.

    Args:
        archive: the saved model.
        part: the network's name in it.

    Attributes:
        steps: its layers.
        input_shape: of one row.

    Raises:
        NeedsKeras: a layer, or a setting of one, that is not known here.
    """

    def __init__(self, archive: Archive, part: str):
        self.steps = Steps(archive, part, _LAYERS)
        self.input_shape = self.steps.input_shape

    def __call__(self, x: Array, pixels: int) -> Array:
        """Return the output for x (n, ...), float32.

        Args:
            x: (n, *input_shape).
            pixels: of an image; decides how many rows are computed at a time.
        """
        size = max(1, _CHUNK_PIXELS // pixels)
        x = np.asarray(x, "float32")
        parts = [self.steps.run(x[start : start + size]) for start in range(0, len(x), size)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _only(references: Sequence[Any], name: str) -> str:
    """Return the name of the only input or output: Keras writes [name, 0, 0], or a list of such."""
    first = references[0] if len(references) == 1 else references
    if not isinstance(first[0], str):
        raise NeedsKeras("networks of one input and one output", f"several ({name})")
    return first[0]


def _inputs(layer: Mapping[str, Any]) -> list[str]:
    """Return the names of the layers whose outputs a layer takes."""
    if len(layer["inbound_nodes"]) != 1:
        raise NeedsKeras("networks that use each layer once", f"layer {layer['config']['name']}")
    (first,) = layer["inbound_nodes"][0]["args"]
    tensors = first if isinstance(first, list) else [first]
    return [tensor["config"]["keras_history"][0] for tensor in tensors]


def _linear(x: Array) -> Array:
    return x


def _relu(x: Array) -> Array:
    return np.maximum(x, 0)


_ACTIVATIONS: dict[str, Function] = {"linear": _linear, "relu": _relu, "silu": silu, "swish": silu}


def activation_of(settings: Mapping[str, Any], known: Mapping[str, Any]) -> Any:
    """Return the activation of a layer from those that are known."""
    name = settings["activation"]
    if not isinstance(name, str) or name not in known:
        raise NeedsKeras(f"the activations {', '.join(known)}", f"{name} (layer {settings['name']})")
    return known[name]


def _activation(settings: Mapping[str, Any], _: Sequence[Array]) -> Function:
    return activation_of(settings, _ACTIVATIONS)


def _dense(settings: Mapping[str, Any], weights: Sequence[Array]) -> Function:
    kernel, bias = with_bias(weights)
    activation = _activation(settings, ())
    return lambda x: activation(affine(kernel, bias, x))


def affine(kernel: Array, bias: Array, x: Array) -> Array:
    """Return x W + b for rows x."""
    return x @ kernel + bias


def check_convolution(settings: Mapping[str, Any]) -> None:
    """Refuse what is unusual in a convolution."""
    plain = {"data_format": "channels_last", "groups": 1, "dilation_rate": [1, 1]}
    odd = {name: settings[name] for name, value in plain.items() if settings[name] != value}
    if odd or settings["padding"] not in ("same", "valid"):
        raise NeedsKeras("plain convolutions", f"{odd or settings['padding']} (layer {settings['name']})")


def _conv(settings: Mapping[str, Any], weights: Sequence[Array]) -> Function:
    check_convolution(settings)
    kernel, bias = with_bias(weights)
    activation = _activation(settings, ())
    strides, same = settings["strides"], settings["padding"] == "same"
    return lambda x: activation(convolved(x, kernel, strides, same) + bias)


def with_bias(weights: Sequence[Array]) -> tuple[Array, Array]:
    """Return kernel and bias, zeros where a layer has none."""
    kernel, *bias = weights
    return kernel, bias[0] if bias else np.zeros(kernel.shape[-1], "float32")


def convolved(x: Array, kernel: Array, strides: Sequence[int], same: bool) -> Array:
    """Correlate images with a kernel as `keras.ops.conv` does.

    Args:
        x: (n, height, width, channels).
        kernel: (rows, columns, channels, outputs).
        strides: of rows and columns.
        same: whether zeros around the image keep its size (divided by the strides).

    Returns:
        (n, height', width', outputs).
    """
    sides = kernel.shape[:2]
    if same:
        x = padded(x, [same_padding(*sizes) for sizes in zip(x.shape[1:3], sides, strides, strict=True)])
    # (n, height', width', channels, rows, columns), a view
    windows = sliding_window_view(x, sides, axis=(1, 2))[:, :: strides[0], :: strides[1]]
    shape = windows.shape[:3]
    # One product of matrices; the channels come last, where they lie beside one another in memory.
    columns = windows.transpose(0, 1, 2, 4, 5, 3).reshape(math.prod(shape), -1)
    return (columns @ kernel.reshape(-1, kernel.shape[-1])).reshape(*shape, -1)


def padded(x: Array, padding: Sequence[Sequence[int]]) -> Array:
    """Put zeros around images (n, height, width, channels), (before, after) rows and columns."""
    (top, bottom), (left, right) = padding
    count, height, width, channels = x.shape
    larger = np.zeros((count, top + height + bottom, left + width + right, channels), x.dtype)
    larger[:, top : top + height, left : left + width] = x
    return larger


def same_padding(size: int, side: int, stride: int) -> tuple[int, int]:
    """Return how many zeros stand before and after `size` pixels, where the padding is "same"."""
    total = max((-(-size // stride) - 1) * stride + side - size, 0)
    return total // 2, total - total // 2


def _add(_: Mapping[str, Any], __: Sequence[Array]) -> Function:
    return lambda *inputs: sum(inputs[1:], inputs[0])


def _flatten(_: Mapping[str, Any], __: Sequence[Array]) -> Function:
    return lambda x: x.reshape(len(x), -1)


def _reshape(settings: Mapping[str, Any], _: Sequence[Array]) -> Function:
    shape = tuple(settings["target_shape"])
    return lambda x: x.reshape(len(x), *shape)


def _permute(settings: Mapping[str, Any], _: Sequence[Array]) -> Function:
    axes = (0, *settings["dims"])
    return lambda x: x.transpose(axes)


def _pad(settings: Mapping[str, Any], _: Sequence[Array]) -> Function:
    padding = settings["padding"]
    return lambda x: padded(x, padding)


def _crop(settings: Mapping[str, Any], _: Sequence[Array]) -> Function:
    (top, bottom), (left, right) = settings["cropping"]
    return lambda x: x[:, top : x.shape[1] - bottom, left : x.shape[2] - right]


_LAYERS: dict[str, Maker] = {
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
