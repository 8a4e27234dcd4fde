"""A graph of ONNX operators that grows while formulas run on its symbols."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from digitvae.onnx import protobuf
from digitvae.onnx.scope import Node, Scope

OPSET = 18
"""Version of the operators, of 2022: old enough for every runtime, new enough for all that is used."""

N = -1
"""In a shape: the number of rows, which only the caller of a model knows."""

FLOAT, WHOLE, BOOL = np.dtype("float32"), np.dtype("int64"), np.dtype("bool")


class Graph:
    """A graph that grows.

    Args:
        name: of the graph.
    """

    def __init__(self, name: str):
        self._scopes = [Scope(name)]
        self._constants: dict[tuple[Any, ...], tuple[str, np.ndarray]] = {}
        self._count = 0

    def input(self, name: str, *shape: int) -> Symbol:
        """Add an input, float32 (n, *shape)."""
        self._scopes[0].inputs.append((name, FLOAT, ("n", *shape)))
        return Symbol(self, name, (N, *shape), FLOAT)

    def output(self, name: str, value: Symbol | np.ndarray, *shape: int) -> None:
        """Let a value be an output, (n, *shape).

        Raises:
            ValueError: the value has another shape.
        """
        value = self.symbol(value)
        if value.shape != (N, *shape):
            raise ValueError(f"Expected {name} of shape {(N, *shape)}. Received: shape={value.shape}")
        self._scopes[0].nodes.append(Node("Identity", (value.name,), (name,), {}))
        self._scopes[0].outputs.append((name, value.dtype, ("n", *shape)))

    def symbol(self, value: Any, dtype: np.dtype = FLOAT) -> Symbol:
        """Return a symbol for a symbol, an array or a number; equal arrays are stored once."""
        if isinstance(value, Symbol):
            return value
        array = np.asarray(value, dtype)
        key = (array.shape, array.dtype.str, array.tobytes())
        name, _ = self._constants.setdefault(key, (f"constant_{len(self._constants)}", array))
        return Symbol(self, name, array.shape, dtype)

    def add(
        self,
        operator: str,
        inputs: Sequence[Symbol],
        *shapes: tuple[int, ...],
        dtype: np.dtype = FLOAT,
        **attributes: Any,
    ) -> Any:
        """Add a node.

        Args:
            operator: its name in ONNX.
            inputs: what it takes.
            shapes: of its outputs.
            dtype: of its outputs.
            attributes: of the operator.

        Returns:
            The symbol of the output, or a list of them for several. The same node is added once.
        """
        names = tuple(symbol.name for symbol in inputs)
        key = (operator, names, len(shapes), tuple(attributes.items()))
        for scope in self._scopes:
            if key in scope.known:
                return _one(scope.known[key])
        found = [Symbol(self, self._new_name(operator), shape, dtype) for shape in shapes]
        here = self._scopes[-1]
        here.nodes.append(Node(operator, names, [symbol.name for symbol in found], attributes))
        here.known[key] = found
        return _one(found)

    def loop(
        self, times: int, body: Callable[[Symbol, tuple[Any, ...]], tuple[Any, ...]], state: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        """Add a loop.

        Args:
            times: how often the body runs.
            body: maps (iteration, state) to the next state of as many symbols, arrays or numbers.
            state: before the first iteration.

        Returns:
            The state after the last one.
        """
        # What the body hands on as it came is no state, but seen from within.
        trial = Scope("trial")
        self._scopes.append(trial)
        carried = [self._placeholder(self.symbol(value)) for value in state]
        after = body(self._placeholder(self.symbol(0, WHOLE)), tuple(carried))
        self._scopes.pop()
        moves = [new is not old for new, old in zip(after, carried, strict=True)]

        before = [self.symbol(value) for value, move in zip(state, moves, strict=True) if move]
        scope = Scope(self._new_name("body"))
        self._scopes.append(scope)
        iteration, going = (self._placeholder(self.symbol(0, dtype)) for dtype in (WHOLE, BOOL))
        inside = [self._placeholder(value) for value in before]
        scope.inputs = [_end(symbol) for symbol in (iteration, going, *inside)]
        placed = iter(inside)
        within = [next(placed) if move else value for value, move in zip(state, moves, strict=True)]
        after = body(iteration, tuple(within))
        results = [self.symbol(value) for value, move in zip(after, moves, strict=True) if move]
        ends = [self.add("Identity", [value], value.shape, dtype=value.dtype) for value in (going, *results)]
        scope.outputs = [_end(symbol) for symbol in ends]
        self._scopes.pop()

        outputs = [Symbol(self, self._new_name("loop"), s.shape, s.dtype) for s in results]
        inputs = [self.symbol(times, WHOLE), self.symbol(True, BOOL), *before]
        self._scopes[-1].nodes.append(
            Node("Loop", [s.name for s in inputs], [s.name for s in outputs], {}, scope)
        )
        found = iter(outputs)
        return tuple(next(found) if move else value for value, move in zip(state, moves, strict=True))

    def finished(self) -> tuple[Scope, dict[str, np.ndarray]]:
        """Return the nodes that the outputs need, and the constants that these need, by name."""
        (scope,) = self._scopes
        scope.prune()
        needed = scope.needs()
        return scope, {name: array for name, array in self._constants.values() if name in needed}

    def content(self, version: str, metadata: Mapping[str, str]) -> bytes:
        """Return the content of an ONNX file.

        Args:
            version: of digitvae.
            metadata: what else to say, in metadata_props.
        """
        scope, constants = self.finished()
        tensors = [protobuf.tensor(name, array) for name, array in constants.items()]
        return protobuf.model(scope.content(tensors), version, OPSET, metadata)

    def _placeholder(self, like: Symbol) -> Symbol:
        return Symbol(self, self._new_name("state"), like.shape, like.dtype)

    def _new_name(self, stem: str) -> str:
        self._count += 1
        return f"{stem}_{self._count}"


def _end(symbol: Symbol) -> tuple[str, np.dtype, tuple[int, ...] | None]:
    """Return an input or output of a loop's body: rows have no known number, so only scalars have a shape."""
    return symbol.name, symbol.dtype, None if symbol.shape else ()


def _one(symbols: Sequence[Symbol]) -> Any:
    return symbols[0] if len(symbols) == 1 else symbols


class Symbol:
    """A tensor of a graph, with the operators that arrays have.

    Args:
        graph: whose tensor it is.
        name: in the graph.
        shape: its sizes, `N` for the number of rows.
        dtype: of its numbers.

    Attributes:
        channels_first: for images (n, height, width, channels), the same (n, channels, height, width).
    """

    # Or NumPy would take it for a number, and make arrays of symbols.
    __array_ufunc__ = None

    def __init__(self, graph: Graph, name: str, shape: tuple[int, ...], dtype: np.dtype):
        self.graph, self.name, self.shape, self.dtype = graph, name, tuple(shape), dtype
        self.channels_first: Symbol | None = None

    def binary(self, operator: str, other: Any, swapped: bool = False, dtype: np.dtype = FLOAT) -> Symbol:
        """Add an operator of two tensors that are broadcast."""
        pair = [self, self.graph.symbol(other, self.dtype)]
        shape = broadcast(pair[0].shape, pair[1].shape)
        return self.graph.add(operator, pair[::-1] if swapped else pair, shape, dtype=dtype)

    def __add__(self, other: Any) -> Symbol:
        return self.binary("Add", other)

    def __radd__(self, other: Any) -> Symbol:
        return self.binary("Add", other, True)

    def __sub__(self, other: Any) -> Symbol:
        return self.binary("Sub", other)

    def __rsub__(self, other: Any) -> Symbol:
        return self.binary("Sub", other, True)

    def __mul__(self, other: Any) -> Symbol:
        return self.binary("Mul", other)

    def __rmul__(self, other: Any) -> Symbol:
        return self.binary("Mul", other, True)

    def __truediv__(self, other: Any) -> Symbol:
        return self.binary("Div", other)

    def __rtruediv__(self, other: Any) -> Symbol:
        return self.binary("Div", other, True)

    def __neg__(self) -> Symbol:
        return self.graph.add("Neg", [self], self.shape)

    def __gt__(self, other: Any) -> Symbol:
        return self.binary("Greater", other, dtype=BOOL)

    def __ge__(self, other: Any) -> Symbol:
        return self.binary("GreaterOrEqual", other, dtype=BOOL)

    def __lt__(self, other: Any) -> Symbol:
        return self.binary("Less", other, dtype=BOOL)

    def __matmul__(self, other: Any) -> Symbol:
        other = self.graph.symbol(other)
        return self.graph.add("MatMul", [self, other], (*self.shape[:-1], other.shape[-1]))

    def __getitem__(self, key: Any) -> Symbol:
        """Take parts: whole numbers, slices without steps, an ellipsis and new axes."""
        keys = list(key if isinstance(key, tuple) else (key,))
        given = sum(part is not None and part is not Ellipsis for part in keys)
        rest = [slice(None)] * (len(self.shape) - given)
        place = keys.index(Ellipsis) if Ellipsis in keys else len(keys)
        keys[place : place + 1] = rest
        value, axis, added = self, 0, []
        for position, part in enumerate(keys):
            if part is None:
                added.append(position - sum(isinstance(before, int) for before in keys[:position]))
            elif isinstance(part, int):
                value = value._index(axis, part)
            else:
                value = value._slice(axis, part)
                axis += 1
        return value.expand_dims(added) if added else value

    def _index(self, axis: int, position: int) -> Symbol:
        shape = (*self.shape[:axis], *self.shape[axis + 1 :])
        where = self.graph.symbol(position % self.shape[axis], WHOLE)
        return self.graph.add("Gather", [self, where], shape, dtype=self.dtype, axis=axis)

    def _slice(self, axis: int, part: slice) -> Symbol:
        if part == slice(None):
            return self
        start, stop, step = part.indices(self.shape[axis])
        shape = (*self.shape[:axis], len(range(start, stop, step)), *self.shape[axis + 1 :])
        ends = [self.graph.symbol([value], WHOLE) for value in (start, stop, axis)]
        return self.graph.add("Slice", [self, *ends], shape, dtype=self.dtype)

    def expand_dims(self, axes: Sequence[int]) -> Symbol:
        """Add axes of size 1 at these places of the result."""
        sizes = iter(self.shape)
        count = len(self.shape) + len(axes)
        shape = tuple(1 if axis in axes else next(sizes) for axis in range(count))
        inputs = [self, self.graph.symbol(list(axes), WHOLE)]
        return self.graph.add("Unsqueeze", inputs, shape, dtype=self.dtype)

    def transpose(self, axes: Sequence[int]) -> Symbol:
        """Put the axes into another order."""
        shape = tuple(self.shape[axis] for axis in axes)
        return self.graph.add("Transpose", [self], shape, perm=tuple(axes))


def broadcast(first: Sequence[int], second: Sequence[int]) -> tuple[int, ...]:
    """Return the shape that two shapes have in common."""
    length = max(len(first), len(second))
    pairs = zip(*((1,) * (length - len(shape)) + tuple(shape) for shape in (first, second)), strict=True)
    shape = []
    for one, other in pairs:
        if one != other and 1 not in (one, other):
            raise ValueError(
                f"Expected shapes that go together. Received: {tuple(first)} and {tuple(second)}"
            )
        shape.append(other if one == 1 else one)
    return tuple(shape)
