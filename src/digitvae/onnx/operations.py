"""The operations of formulas on symbols of a graph; on arrays they are NumPy's, so constants are computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from digitvae.distributions.operations import numpy_operations
from digitvae.onnx.graph import WHOLE, N, Symbol, broadcast


class _GraphOperations:
    """What `keras.ops` offers under the same names, as far as the formulas of trained models need it."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def operation(*arguments: Any, **options: Any) -> Any:
            if _symbols([*arguments, *options.values()]):
                return _OWN[name](*arguments, **options)
            return getattr(numpy_operations, name)(*arguments, **options)

        return operation


graph_operations = _GraphOperations()


def _symbols(values: Sequence[Any]) -> list[Symbol]:
    """Return the symbols among values and in lists of values."""
    found = []
    for value in values:
        if isinstance(value, Symbol):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += _symbols(value)
    return found


def _unary(operator: str) -> Callable[[Symbol], Symbol]:
    return lambda x: x.graph.add(operator, [x], x.shape)


def _cast(x: Symbol, dtype: str) -> Symbol:
    if x.dtype != np.dtype(dtype):
        raise ValueError(f"Expected tensors that are {dtype} already. Received: {x.dtype}")
    return x


def _silu(x: Symbol) -> Symbol:
    return x * x.graph.add("Sigmoid", [x], x.shape)


def _square(x: Symbol) -> Symbol:
    return x * x


def _reduced(operator: str) -> Callable[..., Symbol]:
    def reduce(x: Symbol, axis: int | tuple[int, ...], keepdims: bool = False) -> Symbol:
        axes = {a % len(x.shape) for a in (axis if isinstance(axis, tuple) else (axis,))}
        sides = [(1 if i in axes else side, i in axes) for i, side in enumerate(x.shape)]
        shape = tuple(side for side, gone in sides if keepdims or not gone)
        inputs = [x, x.graph.symbol(sorted(axes), WHOLE)]
        return x.graph.add(operator, inputs, shape, keepdims=int(keepdims))

    return reduce


_sum, _max, _min = map(_reduced, ("ReduceSum", "ReduceMax", "ReduceMin"))


def _logsumexp(x: Symbol, axis: int, keepdims: bool = False) -> Symbol:
    largest = _max(x, axis=axis, keepdims=True)
    total = largest + _unary("Log")(_sum(_unary("Exp")(x - largest), axis=axis, keepdims=True))
    return total if keepdims else _squeeze(total, axis)


def _squeeze(x: Symbol, axis: int) -> Symbol:
    axis %= len(x.shape)
    inputs = [x, x.graph.symbol([axis], WHOLE)]
    return x.graph.add("Squeeze", inputs, (*x.shape[:axis], *x.shape[axis + 1 :]))


def _log_softmax(x: Symbol, axis: int) -> Symbol:
    return x.graph.add("LogSoftmax", [x], x.shape, axis=axis)


def _where(condition: Symbol, x: Any, y: Any) -> Symbol:
    graph = condition.graph
    parts = [condition, graph.symbol(x), graph.symbol(y)]
    shape = broadcast(parts[0].shape, broadcast(parts[1].shape, parts[2].shape))
    return graph.add("Where", parts, shape)


def _clip(x: Symbol, least: float, most: float) -> Symbol:
    return x.graph.add("Clip", [x, *map(x.graph.symbol, (least, most))], x.shape)


def reshape(x: Symbol, shape: Sequence[int]) -> Symbol:
    """Return the numbers of a symbol in another shape, in which one side may be `N`."""
    shape = tuple(shape)
    if shape == x.shape:
        return x
    return x.graph.add("Reshape", [x, x.graph.symbol(shape, WHOLE)], shape, dtype=x.dtype)


def _broadcast_to(x: Symbol, shape: Sequence[int]) -> Symbol:
    shape = tuple(shape)
    if shape == x.shape:
        return x
    if N in shape and N not in x.shape[-len(shape) :]:
        raise ValueError(f"Expected rows to broadcast to rows. Received: shape={x.shape}")
    sides = [1 if side == N else side for side in shape]
    return x.graph.add("Expand", [x, x.graph.symbol(sides, WHOLE)], shape)


def _take(x: Symbol, indices: Sequence[int], axis: int) -> Symbol:
    shape = (*x.shape[:axis], len(indices), *x.shape[axis + 1 :])
    return x.graph.add("Gather", [x, x.graph.symbol(indices, WHOLE)], shape, axis=axis)


def _concatenate(parts: Sequence[Any], axis: int) -> Symbol:
    graph = _symbols(parts)[0].graph
    symbols = [graph.symbol(part) for part in parts]
    axis %= len(symbols[0].shape)
    before, after = symbols[0].shape[:axis], symbols[0].shape[axis + 1 :]
    total = sum(symbol.shape[axis] for symbol in symbols)
    return graph.add("Concat", symbols, (*before, total, *after), axis=axis)


def _stack(parts: Sequence[Any], axis: int) -> Symbol:
    graph = _symbols(parts)[0].graph
    symbols = [graph.symbol(part) for part in parts]
    place = axis % (len(symbols[0].shape) + 1)
    return _concatenate([symbol.expand_dims([place]) for symbol in symbols], place)


def split(x: Symbol, count: int, axis: int) -> list[Symbol]:
    """Cut a symbol into equal parts along an axis."""
    axis %= len(x.shape)
    size = x.shape[axis] // count
    shape = (*x.shape[:axis], size, *x.shape[axis + 1 :])
    return x.graph.add("Split", [x, x.graph.symbol([size] * count, WHOLE)], *[shape] * count, axis=axis)


def _matmul(x: Any, y: Any) -> Symbol:
    graph = _symbols([x, y])[0].graph
    return graph.symbol(x) @ y


# ONNX has erf alone, whose distance from 1 says nothing about tails in float32. Hence, for x >= 0,
# erfc(x) = t p(t) exp(-x^2)  with t = 1 / (1 + 0.4 x)  and a polynomial p: the least squares of the relative
# error at 4,000 Chebyshev points of t, which is below 7e-9 everywhere.
_TAIL = (
    *(0.225675833, 0.225676081, 0.207608054, 0.171802345, 0.118634124, 0.0852281596),
    *(-0.0497441426, 0.141435466, -0.238736199, 0.141926706, -0.0295064324),
)


def _erfc(x: Symbol) -> Symbol:
    size = _unary("Abs")(x)
    t = 1 / (1 + 0.4 * size)
    value: Any = _TAIL[-1]
    for coefficient in _TAIL[-2::-1]:
        value = value * t + coefficient
    tail = t * value * _unary("Exp")(-(size * size))
    # erfc(-x) = 2 - erfc(x)
    return _where(x < 0.0, 2.0 - tail, tail)


def _fori_loop(lower: int, upper: int, body_fun: Callable[[Any, Any], Any], init_val: tuple[Any, ...]) -> Any:
    return _symbols(init_val)[0].graph.loop(upper - lower, body_fun, init_val)


_OWN: dict[str, Callable[..., Any]] = {
    "abs": _unary("Abs"),
    "broadcast_to": _broadcast_to,
    "cast": _cast,
    "clip": _clip,
    "concatenate": _concatenate,
    "convert_to_tensor": lambda x: x,
    "erfc": _erfc,
    "exp": _unary("Exp"),
    "fori_loop": _fori_loop,
    "log_softmax": _log_softmax,
    "logsumexp": _logsumexp,
    "matmul": _matmul,
    "max": _max,
    "min": _min,
    "reshape": reshape,
    "shape": lambda x: x.shape,
    "sigmoid": _unary("Sigmoid"),
    "silu": _silu,
    "softplus": _unary("Softplus"),
    "split": split,
    "square": _square,
    "stack": _stack,
    "stop_gradient": lambda x: x,
    "sum": _sum,
    "take": _take,
    "tanh": _unary("Tanh"),
    "where": _where,
}
