"""Operations on symbols, run by ONNX Runtime, give what NumPy gives."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from scipy import special

from digitvae.distributions.operations import computed_by, numpy_operations, ops
from digitvae.light.networks import Steps
from digitvae.onnx.graph import Graph
from digitvae.onnx.networks import LAYERS
from digitvae.onnx.operations import _OWN, graph_operations
from digitvae.onnx.runtime import session

X = np.random.default_rng(0).normal(scale=3, size=(5, 3, 4)).astype("float32")
TABLE = np.random.default_rng(1).normal(size=(4, 6)).astype("float32")


def traced(function, x=X):
    """Returns what the graph of a function of x gives, and the graph as `onnx` reads it."""
    graph = Graph("test")
    with computed_by(graph_operations):
        value = graph.symbol(function(graph.input("x", *x.shape[1:])))
        graph.output("y", value, *value.shape[1:])
    content = graph.content("0", {})
    proto = onnx.load_from_string(content)
    onnx.checker.check_model(proto, full_check=True)
    return session(content).run(["y"], {"x": x})[0], proto


FUNCTIONS = {
    "abs": lambda x, o: o.abs(x),
    "broadcast_to": lambda x, o: o.broadcast_to(x[:, :1], o.shape(x)),
    "cast": lambda x, o: o.cast(x, "float32") + o.cast(TABLE[0, 0], "float32"),
    "clip": lambda x, o: o.clip(x, -1.0, 2.0),
    "concatenate": lambda x, o: o.concatenate([x[:, :, :0], x, x[:, :, 1:3], x[:, :, 4:]], axis=-1),
    "convert_to_tensor": lambda x, o: o.convert_to_tensor(x) + o.convert_to_tensor(TABLE[0, :4]),
    "erfc": lambda x, o: o.erfc(x),
    "exp": lambda x, o: o.exp(x),
    "log_softmax": lambda x, o: o.log_softmax(x, axis=-1),
    "logsumexp": lambda x, o: o.logsumexp(x, axis=1) + o.logsumexp(x, axis=-1, keepdims=True)[:, 0],
    "matmul": lambda x, o: o.matmul(x, TABLE),
    "max": lambda x, o: o.max(x, axis=-1),
    "maximum": lambda x, o: o.maximum(x, 0.5) + o.maximum(x[:, :1], x),
    "min": lambda x, o: o.min(x, axis=(1, 2)),
    "reshape": lambda x, o: o.reshape(o.reshape(x, (-1, 12)), o.shape(x)),
    "shape": lambda x, o: o.reshape(x, (*o.shape(x)[:-1], 2, 2)),
    "sigmoid": lambda x, o: o.sigmoid(x),
    "silu": lambda x, o: o.silu(x),
    "softplus": lambda x, o: o.softplus(10 * x),
    "split": lambda x, o: o.split(x, 2, axis=-1)[1] - o.split(x, 3, axis=1)[2][:, :, :2],
    "square": lambda x, o: o.square(x),
    "stack": lambda x, o: o.stack([x[..., 0], x[..., 3], TABLE[0, 0] * x[..., 1]], axis=-1),
    "stop_gradient": lambda x, o: o.stop_gradient(x),
    "sum": lambda x, o: o.sum(x, axis=(-2, -1), keepdims=True) + o.sum(x, axis=1, keepdims=True),
    "take": lambda x, o: o.take(x, [3, 0, 0], axis=2),
    "tanh": lambda x, o: o.tanh(x),
    "where": lambda x, o: o.where(x > 0.5, x, 2.0) + o.where(x[:, :1] < 0, -1.0, 1.0),
    "zeros_like": lambda x, o: o.zeros_like(x) + o.zeros_like(x[:, :1]),
    "arithmetic": lambda x, o: (1 - x) / (2 + o.square(x)) - (-x) * 3 + 1 / (x * x + 1) - (x - 2),
    "comparison": lambda x, o: o.where(TABLE[0, :4] * x >= 0, 1.0, 0.0),
    "indices": lambda x, o: x[:, 1, None, 2:] + x[..., None, -1, :2] + x[:, 0, 1, None, None],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_operation_is_that_of_numpy(name):
    function = FUNCTIONS[name]
    found, _ = traced(lambda x: function(x, ops))
    # The sides of a graph's shapes may be unknown; NumPy's are not.
    expected = function(X, numpy_operations)
    assert found.dtype == expected.dtype == np.float32
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)


def test_every_operation_is_tested():
    assert set(_OWN) - {"fori_loop"} <= set(FUNCTIONS)


def test_tails_are_exact_far_out():
    x = np.linspace(-9, 9, 4001, dtype="float32")[:, None]
    found, _ = traced(lambda x: ops.erfc(x), x)
    expected = special.erfc(x.astype("float64"))
    # The exponential of x^2 multiplies the rounding of x^2 by up to 81.
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    near = np.abs(x) < 2
    np.testing.assert_allclose(found[near], expected[near], rtol=1e-6)


def test_a_loop_carries_its_state_and_sees_what_is_around_it():
    def step(_, state):
        total, x, factor, power = state
        return total + power, x, factor, power * (x * factor)

    def function(x):
        return ops.fori_loop(0, 4, step, (0.0 * x, x, np.float32(0.5), 1.0 + 0 * x))[0]

    found, proto = traced(function)
    np.testing.assert_allclose(found, 1 + X / 2 + X**2 / 4 + X**3 / 8, rtol=1e-5)
    (loop,) = (node for node in proto.graph.node if node.op_type == "Loop")
    assert len(loop.output) == 2  # what stays is not carried


def test_a_loop_on_arrays_alone_is_computed():
    found, proto = traced(lambda x: x + ops.fori_loop(0, 3, lambda i, s: s + (i + 1), np.float32(0)))
    np.testing.assert_allclose(found, X + 6, rtol=1e-6)
    assert [node.op_type for node in proto.graph.node] == ["Add", "Identity"]


def test_equal_nodes_and_constants_stand_once_and_unused_ones_not_at_all():
    def function(x):
        ops.tanh(x)  # nobody takes it
        return ops.exp(x) * TABLE[0, :4] + ops.exp(x) * TABLE[0, :4].copy()

    _, proto = traced(function)
    assert [node.op_type for node in proto.graph.node] == ["Exp", "Mul", "Add", "Identity"]
    assert len(proto.graph.initializer) == 1


def test_shapes_that_do_not_go_together_are_errors():
    graph = Graph("test")
    x = graph.input("x", 4)
    with pytest.raises(
        ValueError, match=r"Expected shapes that go together\. Received: \(-1, 4\) and \(3,\)"
    ):
        x + np.zeros(3, "float32")
    with pytest.raises(ValueError, match=r"Expected y of shape \(-1, 5\)"):
        graph.output("y", x, 5)
    with pytest.raises(ValueError, match="Expected rows to broadcast to rows"), computed_by(graph_operations):
        ops.broadcast_to(x[0], (-1, 4))
    with pytest.raises(ValueError, match="Expected tensors that are int32 already"):
        graph_operations.cast(x, "int32")


def test_arrays_without_symbols_are_computed_by_numpy():
    with computed_by(graph_operations):
        assert isinstance(ops.exp(TABLE), np.ndarray)


def test_numbers_are_written_as_protocol_buffers_want_them():
    # Negative and large whole numbers take several bytes.
    found, proto = traced(lambda x: ops.reshape(x, (-1, 12)))
    assert found.shape == (5, 12)
    (shape,) = proto.graph.initializer
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(shape), [-1, 12])


class _Layers:
    """A saved network of these layers, (class, settings, weights), in a row."""

    def __init__(self, input_shape, *layers):
        described = [("InputLayer", {"batch_shape": [None, *input_shape]}), *layers]
        names = [f"layer{i}" for i in range(len(described))]
        self._weights = {name: layer[2] for name, layer in zip(names, described, strict=True) if layer[2:]}
        inbound = [[]] + [[{"args": [{"config": {"keras_history": [name, 0, 0]}}]}] for name in names]
        self.config = {
            "network": {
                "class_name": "Functional",
                "config": {
                    "name": "network",
                    "input_layers": [names[0], 0, 0],
                    "output_layers": [names[-1], 0, 0],
                    "layers": [
                        {"class_name": kind, "config": {"name": name, **settings}, "inbound_nodes": nodes}
                        for (kind, settings, *_), name, nodes in zip(
                            described, names, inbound[: len(names)], strict=True
                        )
                    ],
                },
            }
        }

    def by_name(self, folder):
        return self._weights


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("strides", [[1, 1], [2, 3]])
@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_is_that_of_light_models(padding, strides, bias):
    from digitvae.light.networks import _LAYERS

    rng = np.random.default_rng(2)
    kernel = rng.normal(size=(4, 2, 2, 5)).astype("float32")
    weights = [kernel, rng.normal(size=5).astype("float32")] if bias else [kernel]
    plain = {"data_format": "channels_last", "groups": 1, "dilation_rate": [1, 1], "activation": "silu"}
    conv = ("Conv2D", {**plain, "padding": padding, "strides": strides}, weights)
    permute = ("Permute", {"dims": [3, 1, 2]})
    archive = _Layers((7, 9, 2), conv, ("Activation", {"activation": "relu"}), permute)
    x = rng.normal(size=(4, 7, 9, 2)).astype("float32")
    found, _ = traced(Steps(archive, "network", LAYERS).run, x)
    np.testing.assert_allclose(found, Steps(archive, "network", _LAYERS).run(x), atol=1e-5)
