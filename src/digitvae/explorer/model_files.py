"""The model as the page reads it: the graphs as JSON, and their constants in one file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from digitvae.explorer.rounding import rounded, widened
from digitvae.onnx import PARTS, Model, protobuf
from digitvae.onnx.graph import BOOL, FLOAT, OPSET, WHOLE
from digitvae.onnx.scope import Node, Scope

GRAPHS, WEIGHTS = "graphs.json", "weights.bin"
FORMAT = 2
_ROUNDED = 1024
"""Float32 constants of at least so many numbers are stored as whole numbers of 16 bits: half the bytes to
download. The page computes in float32."""
_TYPES = {"f4": "<f4", "i4": "<i4", "b1": "u1"}
_WIDE = {"i4": "int64", "b1": "bool"}


def model_files(model: Model) -> dict[str, bytes]:
    """Return the graphs of a model and their constants.

    `graphs.json` has, for each of `PARTS`, names of inputs and outputs and the nodes, each [operator, inputs,
    outputs, attributes] as in ONNX; `tensors` says at which byte of `weights.bin` the constants begin, and
    what they are: `r2` a float32 scale for each row (along the first axis; an array of one axis is one), then
    their multiples, int16; `f4` float32, `i4` int32, `b1` a byte for each bool, all little-endian.

    Raises:
        ValueError: a weight that is not finite.
    """
    store = _Store()
    graphs = {}
    for part in PARTS:
        scope, constants = model.graph(part).finished()
        graphs[part] = _graph(scope, {name: store.add(array) for name, array in constants.items()})
    found = {"format": FORMAT, "graphs": graphs, "tensors": store.tensors}
    return {GRAPHS: _compact(found), WEIGHTS: bytes(store.content)}


def graph_content(files: Mapping[str, bytes], part: str, version: str) -> bytes:
    """Return a graph as an ONNX file that computes what the page computes.

    Args:
        files: of `model_files`.
        part: one of `PARTS`.
        version: of digitvae.
    """
    stored = json.loads(files[GRAPHS])
    scope = _scope(stored["graphs"][part], part)
    needed = scope.needs()
    tensors = []
    for name, entry in stored["tensors"].items():
        if name in needed:
            kind, shape = entry["type"], entry["shape"]
            if kind == "r2":
                array = widened(files[WEIGHTS], "i2", shape, entry["offset"])
            else:
                array = np.frombuffer(files[WEIGHTS], _TYPES[kind], math.prod(shape), entry["offset"])
            tensors.append(protobuf.tensor(name, array.astype(_WIDE.get(kind, "float32")).reshape(shape)))
    return protobuf.model(scope.content(tensors), version, OPSET, {})


class _Store:
    """Constants one after the other; equal ones are stored once, whichever graphs they are of."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.tensors: dict[str, Any] = {}
        self._names: dict[Any, str] = {}

    def add(self, array: np.ndarray) -> str:
        """Store an array, and return its name."""
        kind = {"int64": "i4", "bool": "b1"}.get(array.dtype.name)
        kind = kind or ("r2" if array.size >= _ROUNDED else "f4")
        content = rounded(array, "i2") if kind == "r2" else array.astype(_TYPES[kind]).tobytes()
        key = kind, array.shape, content
        if key not in self._names:
            self.content += bytes(-len(self.content) % 4)
            self._names[key] = name = f"t{len(self._names)}"
            self.tensors[name] = {"type": kind, "shape": list(array.shape), "offset": len(self.content)}
            self.content += content
        return self._names[key]


def _graph(scope: Scope, names: Mapping[str, str]) -> dict[str, Any]:
    def node(node: Node) -> list[Any]:
        body = {"body": _graph(node.body, names)} if node.body else {}
        inputs = [names.get(name, name) for name in node.inputs]
        return [node.operator, inputs, list(node.outputs), {**node.attributes, **body}]

    return {
        "inputs": [name for name, *_ in scope.inputs],
        "outputs": [names.get(name, name) for name, *_ in scope.outputs],
        "nodes": [node(one) for one in scope.nodes],
    }


def _scope(graph: Mapping[str, Any], name: str, body: bool = False) -> Scope:
    """Read a graph, or the body of a loop, which takes iteration and condition and gives a condition."""

    def node(operator: str, inputs: list[str], outputs: list[str], attributes: dict[str, Any]) -> Node:
        inner = attributes.pop("body", None)
        return Node(operator, inputs, outputs, attributes, inner and _scope(inner, f"{name} body", True))

    def ends(names: list[str], first: list[np.dtype]) -> list[tuple[str, np.dtype, Any]]:
        types = [*first, *[FLOAT] * len(names)][: len(names)]
        # ONNX Runtime wants to know that the first ones are scalars.
        shapes = [*[()] * len(first), *[None] * len(names)]
        return list(zip(names, types, shapes, strict=False))

    inputs, outputs = ([WHOLE, BOOL], [BOOL]) if body else ([], [])
    nodes = [node(*one) for one in graph["nodes"]]
    return Scope(name, ends(graph["inputs"], inputs), ends(graph["outputs"], outputs), nodes)


def _compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
