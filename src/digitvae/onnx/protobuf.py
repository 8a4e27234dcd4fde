"""The bytes of an ONNX file: protocol buffers, as far as models need them.

The numbers of the fields are those of ONNX' `onnx.proto`, which never change. The package `onnx` is not
needed, so that models can be written where NumPy alone is installed.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# TensorProto.DataType
TYPES = {np.dtype("float32"): 1, np.dtype("int64"): 7, np.dtype("bool"): 9}


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers are written as 64 bits
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _field(number: int, value: bytes | str | int | float) -> bytes:
    """Return one field: bytes, text and messages with their length, whole numbers, or a float32."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    if isinstance(value, float):
        return _varint(number << 3 | 5) + struct.pack("<f", value)
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _message(*fields: tuple[int, Any]) -> bytes:
    """Return a message of fields, (number, value); a list is a field that stands several times."""
    parts = []
    for number, value in fields:
        parts += [_field(number, one) for one in (value if isinstance(value, list | tuple) else (value,))]
    return b"".join(parts)


def tensor(name: str, array: np.ndarray) -> bytes:
    """Return a TensorProto."""
    content = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    return _message((1, array.shape), (2, TYPES[array.dtype]), (8, name), (9, content))


def value_info(name: str, dtype: np.dtype, shape: Sequence[int | str] | None) -> bytes:
    """Return a ValueInfoProto: a name, a type and a shape.

    Args:
        name: of the tensor.
        dtype: of its numbers.
        shape: sizes, or names of sizes that vary; None if nothing is said about it.
    """
    sides = [_message((2 if isinstance(side, str) else 1, side)) for side in shape or ()]
    known = [] if shape is None else [(2, _message((1, sides)))]
    return _message((1, name), (2, _message((1, _message((1, TYPES[dtype]), *known)))))


def _attribute(name: str, value: int | float | Sequence[int] | Subgraph) -> bytes:
    """Return an AttributeProto; its fields 20 say which of the others it has."""
    if isinstance(value, Subgraph):
        return _message((1, name), (6, value.content), (20, 5))
    if isinstance(value, float):
        return _message((1, name), (2, value), (20, 1))
    if isinstance(value, int):
        return _message((1, name), (3, value), (20, 2))
    return _message((1, name), (8, value), (20, 7))


class Subgraph:
    """A graph in an attribute: the body of a loop.

    Args:
        content: a GraphProto.
    """

    def __init__(self, content: bytes):
        self.content = content


def node(
    operator: str, inputs: Sequence[str], outputs: Sequence[str], attributes: Mapping[str, Any]
) -> bytes:
    """Return a NodeProto."""
    written = [_attribute(name, value) for name, value in attributes.items()]
    return _message((1, inputs), (2, outputs), (3, outputs[0]), (4, operator), (5, written))


def graph(
    name: str,
    nodes: Sequence[bytes],
    tensors: Sequence[bytes],
    inputs: Sequence[bytes],
    outputs: Sequence[bytes],
) -> bytes:
    """Return a GraphProto."""
    return _message((1, nodes), (2, name), (5, tensors), (11, inputs), (12, outputs))


def model(content: bytes, version: str, opset: int, metadata: Mapping[str, str]) -> bytes:
    """Return a ModelProto, which is what an ONNX file holds.

    Args:
        content: a GraphProto.
        version: of digitvae.
        opset: the version of the operators.
        metadata: what else to say, in metadata_props.
    """
    entries = [_message((1, key), (2, value)) for key, value in metadata.items()]
    # 8 is the version of the format itself, of 2022.
    return _message(
        (1, 8), (2, "digitvae"), (3, version), (7, content), (8, _message((1, ""), (2, opset))), (14, entries)
    )
