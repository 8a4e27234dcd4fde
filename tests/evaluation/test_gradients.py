"""Gradients with respect to an input, the same on every backend."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from digitvae.evaluation.gradients import value_and_gradient

pytestmark = pytest.mark.backend


def rows(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, "float32")


def waves(z, weights):
    """A function with a known gradient: sum_i w_i sin z_i."""
    return ops.sum(weights * ops.sin(z), axis=1)


def test_values_and_gradients_are_the_closed_forms():
    z, weights = rows(5, 3), rows(5, 3, seed=1)
    values, gradients = value_and_gradient(waves)(z, weights)
    assert values.dtype == gradients.dtype == np.float32
    np.testing.assert_allclose(values, (weights * np.sin(z)).sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(gradients, weights * np.cos(z), rtol=1e-4, atol=1e-6)


def test_tensors_are_as_good_as_arrays():
    z, weights = rows(5, 3), rows(5, 3, seed=1)
    function = value_and_gradient(waves)
    for ours, theirs in zip(
        function(*map(ops.convert_to_tensor, (z, weights))), function(z, weights), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_a_decoders_gradients_are_finite_differences(make_vae):
    decoder = make_vae(architecture="dense").decoder
    weights = rows(9 * 13)

    def function(z):
        return ops.matmul(ops.reshape(decoder(z), (-1, 9 * 13)), weights)

    z = rows(3, 4)
    compiled = value_and_gradient(function)
    gradients = compiled(z)[1]
    for i in range(4):
        step = np.zeros((1, 4), "float32")
        step[0, i] = 0.02
        differences = (compiled(z + step)[0] - compiled(z - step)[0]) / 0.04
        np.testing.assert_allclose(gradients[:, i], differences, atol=0.01 * np.abs(gradients).max())


def test_rows_stay_apart():
    z, weights = rows(5, 3), rows(5, 3, seed=1)
    function = value_and_gradient(waves)
    before = function(z, weights)[1]
    z[2] += 1
    after = function(z, weights)[1]
    changed = (before != after).any(axis=1)
    np.testing.assert_array_equal(changed, [False, False, True, False, False])


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch runs eagerly")
def test_it_compiles_once_for_a_shape():
    traces = []

    def function(z):
        traces.append(z.shape)
        return ops.sum(z, axis=1)

    compiled = value_and_gradient(function)
    for seed in range(3):
        compiled(rows(5, 3, seed=seed))
    assert len(traces) == 1


def test_a_new_function_has_the_new_weights():
    dense = keras.layers.Dense(1)
    dense.build((None, 3))

    def gradients():
        return value_and_gradient(lambda z: dense(z)[:, 0])(rows(2, 3))[1]

    for value in (1.0, 2.0):
        dense.set_weights([np.full((3, 1), value), np.zeros(1)])
        np.testing.assert_allclose(gradients(), np.full((2, 3), value))
