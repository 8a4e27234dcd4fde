"""Networks of whole numbers, which give the same result on every machine.

Weights and activations are whole numbers, held as floating point numbers. Products of matrices are sums of
whole numbers, and every partial sum in any order stays below 2^24 (float32) or 2^53 (float64): `check_bounds`
proves it when a model is made and when one is read. Then nothing is ever rounded in a product: the order of
summation, fused multiplications, threads and libraries do not matter. All else is element by element: one
multiplication, rounding to whole numbers, comparisons.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from digitvae.light.networks import convolved, padded, same_padding

Array = np.ndarray

EXACT = {"float32": 2.0**24, "float64": 2.0**53}
"""Whole numbers up to it are exact."""
# 16 images of 28 x 28 at a time: what is computed of them fits a core's own cache.
_CHUNK_PIXELS = 1 << 14


class Product:
    """A dense layer or a convolution: rint((x W + b) * multiplier), bounded.

    Args:
        arrays: NAME/kernel, whole numbers (inputs, outputs) or (rows, columns, inputs, outputs); NAME/bias,
            whole numbers (outputs,); NAME/multiplier, float64 (outputs,).
        name: of the layer.
        settings: "dtype" of the product; "largest" absolute input and "limit" of the output; "strides" and
            "same" of a convolution.
        bound: of its inputs, where it is known: those up to "largest" need no clipping.

    Raises:
        ValueError: a sum might not be exact.
    """

    def __init__(
        self, arrays: Mapping[str, Array], name: str, settings: Mapping[str, Any], bound: float = math.inf
    ) -> None:
        kernel, bias, multiplier = (arrays[f"{name}/{part}"] for part in ("kernel", "bias", "multiplier"))
        self._settings, self.dtype = settings, settings["dtype"]
        self.kernel, self.bias = kernel.astype(self.dtype), bias.astype(self.dtype)
        self.multiplier = multiplier.astype(self.dtype)
        check_bounds(kernel, bias, settings["largest"], self.dtype)
        self._clips = bound > settings["largest"]

    def __call__(self, x: Array, columns: slice = slice(None)) -> Array:
        """Return the layer's whole numbers for whole numbers x.

        Args:
            x: (n, ...); of a dense layer it may be shorter than the kernel, with zeros for the rest.
            columns: of the outputs of a dense layer, those that are wanted.
        """
        largest, limit = self._settings["largest"], self._settings["limit"]
        if self._clips:
            x = np.clip(x, -largest, largest)
        x = x.astype(self.dtype, copy=False)
        if self.kernel.ndim == 2:
            sums = x @ self.kernel[: x.shape[1], columns]
        elif self._settings["same"] and self._settings["strides"] == [1, 1]:
            sums = _by_rows(x, self.kernel)
        else:
            sums = convolved(x, self.kernel, self._settings["strides"], self._settings["same"])
        sums += self.bias[columns]
        sums *= self.multiplier[columns]
        np.rint(sums, out=sums)
        return np.clip(sums, -limit, limit, out=sums)


def _by_rows(x: Array, kernel: Array) -> Array:
    """Return what `convolved` does with strides of 1 and padding, a fifth faster: a product for each row.

    The copy of the input that the products need has its neighbours within a row alone, a third of all.
    """
    rows, columns, channels, outputs = kernel.shape
    count, height, width = x.shape[:3]
    x = padded(x, [same_padding(size, side, 1) for size, side in ((height, rows), (width, columns))])
    beside = np.empty((count, x.shape[1], width, columns * channels), x.dtype)
    for j in range(columns):
        beside[..., j * channels : (j + 1) * channels] = x[:, :, j : j + width]
    sums, *others = (
        beside[:, i : i + height].reshape(count, height * width, -1) @ kernel[i].reshape(-1, outputs)
        for i in range(rows)
    )
    for other in others:
        sums += other
    return sums.reshape(count, height, width, outputs)


def check_bounds(kernel: Array, bias: Array, largest: float, dtype: str) -> None:
    """Prove that every partial sum of |x| <= largest times a column of the kernel, and the bias, is exact.

    Raises:
        ValueError: one might not be.
    """
    rows = np.abs(kernel.reshape(-1, kernel.shape[-1]).astype("int64"))
    bound = (rows.sum(axis=0) * int(largest) + np.abs(bias.astype("int64"))).max(initial=0)
    if not bound < EXACT[dtype]:
        raise ValueError(f"Expected sums below {EXACT[dtype]:.0f} in {dtype}. Received: up to {bound}")


class IntegerNetwork:
    """A network of whole numbers, with one input and one output.

    Args:
        steps: of each layer in order, "kind", "name", "inputs" (names of layers, or "input") and settings.
        arrays: by name: NAME/kernel, NAME/bias, NAME/multiplier of products, NAME/table of tables.

    Raises:
        ValueError: an unknown layer, or a sum that might not be exact.
    """

    def __init__(self, steps: Sequence[Mapping[str, Any]], arrays: Mapping[str, Array]) -> None:
        self._steps = steps
        self._products: dict[str, Any] = {}
        bounds = {"input": math.inf}
        for step in steps:
            if step["kind"] not in _KINDS:
                raise ValueError(f"Expected layers {', '.join(_KINDS)}. Received: {step['kind']}")
            name = step["name"]
            if step["kind"] == "product":
                self._products[name] = Product(arrays, name, step, bounds[step["inputs"][0]])
            elif step["kind"] == "table":
                self._products[name] = arrays[f"{name}/table"].astype("float32")
                bounds[name] = float(np.abs(self._products[name]).max())
            bounds.setdefault(name, step.get("limit", bounds[step["inputs"][0]]))

    def parts(self, x: Array, pixels: int) -> Iterator[Array]:
        """Yield the output for x (n, ...), a few rows at a time by the pixels of an image."""
        size = max(1, _CHUNK_PIXELS // pixels)
        for start in range(0, len(x), size):
            yield self._run(x[start : start + size])

    def _run(self, x: Array) -> Array:
        values = {"input": x}
        left = [name for step in self._steps for name in step["inputs"]]
        for step in self._steps:
            inputs = [values[name] for name in step["inputs"]]
            values[step["name"]] = self._step(step, inputs)
            for name in step["inputs"]:
                left.remove(name)
                if name not in left:
                    del values[name]
        return values[self._steps[-1]["name"]]

    def _step(self, step: Mapping[str, Any], inputs: Sequence[Array]) -> Array:
        x, kind = inputs[0], step["kind"]
        if kind == "product":
            return self._products[step["name"]](x)
        if kind == "table":
            table = self._products[step["name"]]
            return table[(x + len(table) // 2).astype("int64")]
        if kind == "relu":
            return np.maximum(x, 0)
        if kind == "add":
            return np.clip(sum(inputs[1:], x), -step["limit"], step["limit"])
        if kind == "reshape":
            return x.reshape(len(x), *step["shape"])
        if kind == "permute":
            return x.transpose((0, *step["dims"]))
        if kind == "pad":
            return padded(x, step["padding"])
        (top, bottom), (left, right) = step["cropping"]
        return x[:, top : x.shape[1] - bottom, left : x.shape[2] - right]


_KINDS = ("product", "table", "relu", "add", "reshape", "permute", "pad", "crop")
