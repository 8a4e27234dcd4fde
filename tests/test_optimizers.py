"""Muon: orthogonal steps for matrices, Adam's for the rest, on every backend."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from digitvae.optimizers import Muon, orthogonalised
from digitvae.speed.on_tensorflow import Adam

pytestmark = pytest.mark.backend


def moved(optimizer, values, gradients):
    """Returns a variable's values after steps along the gradients."""
    variable = keras.Variable(values)
    optimizer.build([variable])
    for gradient in gradients:
        optimizer.apply([ops.convert_to_tensor(gradient)])
    return ops.convert_to_numpy(variable)


@pytest.fixture
def rng():
    """A seeded generator."""
    return np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(20, 30), (30, 20), (25, 25), (1, 7)])
def test_singular_values_come_near_1_and_directions_stay(rng, shape):
    u, s, v = np.linalg.svd(rng.normal(size=shape), full_matrices=False)
    s = np.linspace(1, 0.1, len(s)) * 30
    found = ops.convert_to_numpy(
        orthogonalised(ops.convert_to_tensor((u * s @ v).astype("float32")[None]), 5)
    )[0]
    in_old_directions = u.T @ found @ v.T
    values = np.diag(in_old_directions)
    assert values.min() > 0.65
    assert values.max() < 1.25
    np.testing.assert_allclose(in_old_directions, np.diag(values), atol=1e-4)


def test_products_in_bfloat16_turn_no_direction(with_bfloat16, rng):
    matrix = ops.convert_to_tensor(rng.normal(size=(1, 40, 24)).astype("float32"))
    exact, coarse = (ops.convert_to_numpy(orthogonalised(matrix, 3, d))[0] for d in ("float32", "bfloat16"))
    assert coarse.dtype == np.float32
    assert (coarse != exact).any()
    # Four seeds: at most 0.031 where products are summed in float32, and 0.048 where their sums are rounded
    # too, as by TensorFlow without oneDNN.
    assert np.linalg.norm(coarse - exact) < 0.07 * np.linalg.norm(exact)


@pytest.mark.parametrize("shape", [(12, 8), (8, 12)])
def test_a_matrix_moves_as_by_the_muon_of_keras(rng, shape):
    values, *gradients = rng.normal(size=(5, *shape)).astype("float32")
    theirs = keras.optimizers.Muon(1e-2, weight_decay=0.0, ns_steps=3, rms_rate=0.2)
    ours = Muon(1e-2)
    np.testing.assert_allclose(moved(ours, values, gradients), moved(theirs, values, gradients), atol=1e-5)


def test_a_vector_moves_as_by_adam(rng):
    values, *gradients = rng.normal(size=(5, 9)).astype("float32")
    expected = moved(keras.optimizers.Adam(1e-2), values, gradients)
    np.testing.assert_allclose(moved(Muon(1e-2), values, gradients), expected, atol=1e-6)


def test_adam_moves_as_the_adam_of_keras(rng):
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    for shape in ((5,), (4, 6), (3, 3, 2, 2)):
        start = rng.normal(size=shape).astype("float32")
        gradients = rng.normal(size=(4, *shape)).astype("float32")
        expected = moved(keras.optimizers.Adam(schedule), start, gradients)
        np.testing.assert_allclose(moved(Adam(schedule), start, gradients), expected, rtol=1e-4, atol=1e-5)
        assert np.abs(expected - start).mean() > 0.05


def test_a_kernel_is_a_matrix_from_inputs_to_outputs(rng):
    values, gradient = rng.normal(size=(2, 3, 3, 4, 5)).astype("float32")
    flat = moved(Muon(1e-2), values.reshape(36, 5), [gradient.reshape(36, 5)])
    np.testing.assert_allclose(moved(Muon(1e-2), values, [gradient]), flat.reshape(values.shape), atol=1e-6)


def test_no_gradient_no_step_and_no_nan():
    values = np.ones((4, 3), "float32")
    np.testing.assert_array_equal(moved(Muon(1e-2), values, [np.zeros_like(values)]), values)


def test_it_survives_saving():
    optimizer = Muon(2e-3, momentum=0.9, newton_schulz_steps=4, newton_schulz_dtype="bfloat16")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert isinstance(again, Muon)
    assert again.get_config() == optimizer.get_config()
    assert (again.newton_schulz_steps, again.newton_schulz_dtype) == (4, "bfloat16")


def test_matrices_of_one_size_move_as_each_alone(rng):
    values, gradients = rng.normal(size=(2, 3, 6, 4)).astype("float32")
    values, gradients = [*values, np.ones(5, "float32")], [*gradients, np.ones(5, "float32")]
    together = [keras.Variable(value) for value in values]
    optimizer = Muon(1e-2)
    optimizer.build(together)
    for _ in range(2):
        optimizer.apply([ops.convert_to_tensor(gradient) for gradient in gradients])
    for variable, value, gradient in zip(together, values, gradients, strict=True):
        alone = moved(Muon(1e-2), value, [gradient] * 2)
        np.testing.assert_allclose(ops.convert_to_numpy(variable), alone, atol=1e-6)


def test_its_state_is_its_own(rng):
    matrix, vector = keras.Variable(rng.normal(size=(3, 4))), keras.Variable(np.zeros(3))
    optimizer = Muon(1e-2)
    optimizer.build([matrix, vector])
    # Steps and rate; a moment for the matrix and two for the vector; nothing of the model, nothing twice.
    assert sorted(tuple(v.shape) for v in optimizer.variables) == [(), (), (1, 3, 4), (3,), (3,)]
    assert not {id(matrix), id(vector)} & {id(v) for v in optimizer.variables}


def test_keras_trains_with_it(rng):
    start = [keras.initializers.GlorotUniform(seed) for seed in range(2)]
    layers = [keras.layers.Dense(units, kernel_initializer=s) for units, s in zip((4, 2), start, strict=True)]
    model = keras.Sequential([keras.Input((3,)), *layers])
    model.compile(optimizer=Muon(5e-2), loss="mse")
    x = rng.normal(size=(64, 3)).astype("float32")
    history = model.fit(x, x[:, :2], batch_size=16, epochs=30, shuffle=False, verbose=0).history
    assert history["loss"][-1] < 0.1 * history["loss"][0]


def two(optimizer, values, steps):
    """Returns the values of two variables after steps, each a pair of gradients or None."""
    variables = [keras.Variable(value) for value in values]
    optimizer.build(variables)
    for gradients in steps:
        optimizer.apply([None if g is None else ops.convert_to_tensor(g) for g in gradients], variables)
    return [ops.convert_to_numpy(variable) for variable in variables]


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.parametrize("shape", [(4, 3), (5,)], ids=["matrix", "vector"])
def test_a_variable_without_a_gradient_rests(rng, shape):
    a, b, *gradients = rng.normal(size=(5, *shape)).astype("float32")
    found = two(Muon(1e-2), [a, b], [(g, None) for g in gradients])
    np.testing.assert_array_equal(found[1], b)
    np.testing.assert_allclose(found[0], moved(Muon(1e-2), a, gradients), atol=1e-6)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_the_moment_of_a_resting_variable_rests_too(rng):
    a, b, first, second, third = rng.normal(size=(5, 4, 3)).astype("float32")
    found = two(Muon(1e-2), [a, b], [(first, first), (second, None), (third, third)])
    np.testing.assert_allclose(found[1], moved(Muon(1e-2), b, [first, third]), atol=1e-6)


def test_some_variables_may_step_in_another_order(rng):
    values, gradients = rng.normal(size=(2, 3, 4, 3)).astype("float32")
    variables = [keras.Variable(value) for value in values]
    optimizer = Muon(1e-2)
    optimizer.build(variables)
    optimizer.apply([ops.convert_to_tensor(gradients[i]) for i in (2, 0)], [variables[2], variables[0]])
    for i, variable in enumerate(variables):
        expected = values[i] if i == 1 else moved(Muon(1e-2), values[i], [gradients[i]])
        np.testing.assert_allclose(ops.convert_to_numpy(variable), expected, atol=1e-6)


@pytest.mark.parametrize(
    "clipping", [{"clipnorm": 0.5}, {"clipvalue": 0.1}, {"global_clipnorm": 0.5}], ids=lambda c: next(iter(c))
)
def test_what_is_clipped_is_the_gradient(rng, clipping):
    values, *gradients = rng.normal(size=(4, 3, 4)).astype("float32")

    def clipped(gradient):
        if "clipvalue" in clipping:
            return np.clip(gradient, -0.1, 0.1)
        return gradient * min(1, 0.5 / np.linalg.norm(gradient))

    expected = moved(Muon(1e-2), values, [clipped(gradient) for gradient in gradients])
    np.testing.assert_allclose(moved(Muon(1e-2, **clipping), values, gradients), expected, atol=1e-5)
    assert np.abs(expected - moved(Muon(1e-2), values, gradients)).max() > 1e-4


def test_weights_decay_beside_the_step(rng):
    values, gradient = rng.normal(size=(2, 3, 4)).astype("float32")
    step = moved(Muon(1e-2), values, [gradient]) - values
    found = moved(Muon(1e-2, weight_decay=0.1), values, [gradient])
    np.testing.assert_allclose(found, values * (1 - 1e-2 * 0.1) + step, atol=1e-6)


@pytest.mark.parametrize("optimizer", [Muon, Adam])
@pytest.mark.parametrize("eager", [False, True], ids=["graph", "eager"])
@pytest.mark.parametrize(
    "arguments",
    [
        {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 3},
        {"gradient_accumulation_steps": 2},
        {"global_clipnorm": 1.0, "weight_decay": 1e-3},
    ],
    ids=lambda a: next(iter(a)),
)
def test_keras_arguments_work_in_fit(rng, optimizer, eager, arguments):
    x, y = rng.normal(size=(2, 64, 6)).astype("float32")
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(6)])
    model.compile(optimizer=optimizer(1e-2, **arguments), loss="mse", run_eagerly=eager)
    losses = model.fit(x, y, batch_size=16, epochs=6, verbose=0).history["loss"]
    assert losses[-1] < losses[0] - 0.05
    again = optimizer.from_config(model.optimizer.get_config())
    assert again.get_config() == model.optimizer.get_config()
    assert {name: again.get_config()[name] for name in arguments} == arguments


def test_amsgrad_is_that_of_keras(rng):
    values, *gradients = (rng.normal(size=(6, 4, 3)) * 10.0 ** -np.arange(6)[:, None, None]).astype("float32")
    expected = moved(keras.optimizers.Adam(0.1, amsgrad=True), values, gradients)
    np.testing.assert_allclose(moved(Adam(0.1, amsgrad=True), values, gradients), expected, rtol=1e-5)
    assert np.abs(expected - moved(Adam(0.1), values, gradients)).max() > 1e-4
