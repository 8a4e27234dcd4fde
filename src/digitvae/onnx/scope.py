"""Nodes of a graph, and of the bodies of its loops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from digitvae.onnx import protobuf


@dataclass
class Node:
    """An operator, the names of the tensors that it takes and gives, and the body of a loop."""

    operator: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    attributes: Mapping[str, Any]
    body: Scope | None = None

    def needs(self) -> set[str]:
        """Return the names that it and its body take."""
        return {*self.inputs, *(self.body.needs() if self.body else ())}


@dataclass
class Scope:
    """The nodes of a graph, or of the body of a loop, which also sees what the graph around it has.

    Inputs and outputs are (name, dtype, shape): "n" is the number of rows, None an unknown shape.
    """

    name: str
    inputs: list[tuple[str, np.dtype, Any]] = field(default_factory=list)
    outputs: list[tuple[str, np.dtype, Any]] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    known: dict[Any, Any] = field(default_factory=dict)

    def needs(self) -> set[str]:
        """Return all names that are taken, its outputs too."""
        return {name for node in self.nodes for name in node.needs()} | {name for name, *_ in self.outputs}

    def prune(self) -> None:
        """Drop nodes whose results nobody takes."""
        needed = {name for name, *_ in self.outputs}
        kept = []
        for node in reversed(self.nodes):
            if needed & {*node.outputs}:
                if node.body:
                    node.body.prune()
                needed |= node.needs()
                kept.append(node)
        self.nodes = kept[::-1]

    def content(self, tensors: Sequence[bytes] = ()) -> bytes:
        """Return a GraphProto with these TensorProtos."""
        nodes = []
        for node in self.nodes:
            body = {"body": protobuf.Subgraph(node.body.content())} if node.body else {}
            nodes.append(protobuf.node(node.operator, node.inputs, node.outputs, {**node.attributes, **body}))
        ends = ([protobuf.value_info(*end) for end in side] for side in (self.inputs, self.outputs))
        return protobuf.graph(self.name, nodes, tensors, *ends)
