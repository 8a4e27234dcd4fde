"""The coupling flow: invertible, with the right determinant, saved whole."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from scipy import stats

from digitvae.couplings import CouplingFlow
from digitvae.distributions import FlowDistribution

pytestmark = pytest.mark.backend

to_numpy = keras.ops.convert_to_numpy


def randomised(latent_dim: int, couplings: int = 4, seed: int = 0, scale: float = 0.4) -> CouplingFlow:
    """Returns a flow with random weights throughout, hence far from the identity."""
    flow = CouplingFlow(latent_dim, couplings=couplings, hidden=8, seed=seed)
    rng = np.random.default_rng(seed)
    for weight in flow.weights:
        weight.assign(rng.normal(scale=scale, size=weight.shape))
    return flow


def test_a_new_flow_is_the_identity():
    u = np.random.default_rng(0).normal(size=(20, 5)).astype("float32")
    flow = CouplingFlow(5, seed=1)
    for method in (flow.forward, flow.inverse):
        value, log_det = map(to_numpy, method(u))
        np.testing.assert_array_equal(value, u)
        np.testing.assert_array_equal(log_det, np.zeros(20))
    expected = stats.norm.logpdf(u).sum(-1)
    np.testing.assert_allclose(to_numpy(FlowDistribution(flow).log_prob(u)), expected, rtol=1e-5)


@pytest.mark.parametrize("latent_dim", [2, 5])
@pytest.mark.parametrize("couplings", [1, 4, 5])
def test_inverse_undoes_forward(latent_dim, couplings):
    flow = randomised(latent_dim, couplings)
    u = np.random.default_rng(1).normal(size=(20, latent_dim)).astype("float32")
    z, log_det = flow.forward(u)
    back, back_log_det = flow.inverse(z)
    assert np.abs(to_numpy(z) - u).max() > 0.1
    np.testing.assert_allclose(to_numpy(back), u, atol=1e-4)
    np.testing.assert_allclose(to_numpy(back_log_det), -to_numpy(log_det), atol=1e-4)


@pytest.mark.parametrize("latent_dim", [2, 5])
@pytest.mark.parametrize("method", ["forward", "inverse"])
def test_log_det_is_that_of_the_jacobian(latent_dim, method, gradient):
    function = getattr(randomised(latent_dim), method)
    point = np.random.default_rng(2).normal(size=latent_dim).astype("float32")
    jacobian = np.array([gradient(lambda v, i=i: function(v)[0][i], point) for i in range(latent_dim)])
    np.testing.assert_allclose(
        to_numpy(function(point)[1]), np.linalg.slogdet(jacobian.astype("float64"))[1], atol=1e-4
    )


@pytest.mark.parametrize("latent_dim", [2, 3, 8])
def test_every_coordinate_moves_with_every_other(latent_dim, gradient):
    flow = randomised(latent_dim, couplings=2 * latent_dim)
    point = np.random.default_rng(3).normal(size=latent_dim).astype("float32")
    jacobian = np.array(
        [gradient(lambda v, i=i: flow.forward(v)[0][i], point) for i in range(latent_dim)], "float64"
    )
    assert np.all(jacobian != 0)


def test_two_couplings_move_every_coordinate_by_another_one(gradient):
    flow = randomised(5, couplings=2)
    point = np.random.default_rng(4).normal(size=5).astype("float32")
    jacobian = np.array([gradient(lambda v, i=i: flow.forward(v)[0][i], point) for i in range(5)])
    assert np.all(np.count_nonzero(jacobian, axis=1) > 1)
    assert np.all(np.count_nonzero(jacobian, axis=0) > 1)


@pytest.mark.parametrize(
    ("couplings", "moved"), [(1, {2, 3}), (2, {0, 1}), (3, {1, 3}), (4, {0, 2}), (5, {2, 3})]
)
def test_which_coordinates_a_coupling_moves_never_changes(couplings, moved):
    # Weights of released models depend on it: a change here needs another class.
    flow = CouplingFlow(4, couplings=couplings, hidden=2)
    flow.weights[-1].assign([0.5, 0.5, 1.0, 1.0])
    u = np.full((20, 4), 0.25, "float32")
    assert set(np.flatnonzero(to_numpy(flow.forward(u)[0])[0] != u[0])) == moved


def test_density_integrates_to_one_and_is_that_of_the_draws():
    distribution = FlowDistribution(randomised(2, scale=0.3))
    axis = np.linspace(-12, 12, 400, dtype="float32")
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    mass = np.exp(to_numpy(distribution.log_prob(grid)).astype("float64")) * (axis[1] - axis[0]) ** 2
    assert mass.sum() == pytest.approx(1, abs=5e-3)
    z = to_numpy(distribution.from_noise(np.random.default_rng(5).normal(size=(20_000, 2))))
    drawn = np.histogram2d(*z.T, bins=[[-12, 0, 12]] * 2)[0] / len(z)
    expected = mass.reshape(2, 200, 2, 200).sum(axis=(1, 3))
    np.testing.assert_allclose(drawn, expected, atol=0.02)


def test_distribution_goes_through_the_flow_both_ways():
    distribution = FlowDistribution(randomised(3))
    u = np.random.default_rng(6).normal(size=(20, 3)).astype("float32")
    z = distribution.from_noise(u)
    assert np.abs(to_numpy(z) - u).max() > 0.1
    np.testing.assert_allclose(to_numpy(distribution.to_noise(z)), u, atol=1e-4)


def test_leading_axes_are_free():
    flow = randomised(3)
    u = np.random.default_rng(8).normal(size=(4, 5, 3)).astype("float32")
    z, log_det = map(to_numpy, flow.forward(u))
    assert z.shape == (4, 5, 3)
    assert log_det.shape == (4, 5)
    for i in range(4):
        for j in range(5):
            alone, alone_log_det = flow.forward(u[i, j])
            np.testing.assert_allclose(z[i, j], to_numpy(alone), atol=1e-5)
            np.testing.assert_allclose(log_det[i, j], to_numpy(alone_log_det), atol=1e-5)


def test_config_and_weights_rebuild_the_flow():
    flow = randomised(5, couplings=3)
    config = keras.saving.serialize_keras_object(flow)
    twin = keras.saving.deserialize_keras_object(config)
    assert isinstance(twin, CouplingFlow)
    assert twin.get_config() == flow.get_config()
    assert len(twin.weights) == len(flow.weights) == 3 * 6 + 2
    twin.set_weights(flow.get_weights())
    u = np.random.default_rng(9).normal(size=(20, 5)).astype("float32")
    for one, other in zip(flow.forward(u), twin.forward(u), strict=True):
        np.testing.assert_array_equal(to_numpy(one), to_numpy(other))


@keras.saving.register_keras_serializable("digitvae-tests")
class Holder(keras.Model):
    """A model that owns a flow as a prior would be owned, never calling it through `__call__`."""

    def __init__(self, flow, **kwargs):
        super().__init__(**kwargs)
        self.flow = flow

    def call(self, u):
        return self.flow.forward(u)[0]

    def get_config(self):
        return {**super().get_config(), "flow": keras.saving.serialize_keras_object(self.flow)}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config.pop("flow")), **config)


def test_a_saved_model_brings_its_flow_back(tmp_path):
    holder = Holder(randomised(5))
    u = np.random.default_rng(10).normal(size=(20, 5)).astype("float32")
    expected = to_numpy(holder(u))
    assert len(holder.trainable_variables) == 4 * 6 + 2
    holder.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(to_numpy(loaded(u)), expected)


@pytest.mark.usefixtures("mixed_policy")
def test_everything_is_float32_under_a_mixed_policy():
    flow = randomised(5)
    assert {weight.dtype for weight in flow.weights} == {"float32"}
    u = np.random.default_rng(11).normal(size=(20, 5)).astype("float32")
    outside = flow.forward(u)
    results = (*outside, *flow.inverse(keras.ops.cast(u, "bfloat16")), FlowDistribution(flow).log_prob(u))
    assert {keras.backend.standardize_dtype(tensor.dtype) for tensor in results} == {"float32"}
    # Inside the call of a mixed layer every other weight is read as bfloat16: not the flow's.
    inside = Holder(flow, autocast=False)(u)
    assert keras.backend.standardize_dtype(inside.dtype) == "float32"
    np.testing.assert_array_equal(to_numpy(inside), to_numpy(outside[0]))


def test_seed_repeats_the_weights_and_no_two_layers_share_them():
    one, same, other = (CouplingFlow(4, hidden=2, seed=seed) for seed in (3, 3, 4))
    for first, second in zip(one.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)
    kernels = [w for w in one.get_weights() if w.shape == (2, 2)]
    assert len({kernel.tobytes() for kernel in kernels}) == len(kernels) == 8
    assert any((a != b).any() for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


def test_gradients_are_finite_far_out(gradient):
    distribution = FlowDistribution(randomised(3, scale=1.0))
    slope = gradient(distribution.log_prob, np.array([[0.0, 0.0, 0.0], [300.0, -300.0, 300.0]]))
    assert np.isfinite(slope).all()


def test_every_weight_learns():
    flow = randomised(3)

    class Fit(keras.Model):
        def __init__(self):
            super().__init__()
            self.flow = flow

        def call(self, z):
            return FlowDistribution(self.flow).log_prob(z)

    model = Fit()
    before = [weight.copy() for weight in flow.get_weights()]
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss=lambda _, log_prob: -keras.ops.mean(log_prob))
    z = np.random.default_rng(12).normal(2.0, 0.5, size=(20, 3)).astype("float32")
    model.fit(z, np.zeros(20), batch_size=20, epochs=1, verbose=0)
    assert all((old != new).any() for old, new in zip(before, flow.get_weights(), strict=True))


@pytest.mark.parametrize(
    "arguments", [{"latent_dim": 1}, {"latent_dim": 4, "couplings": 0}, {"latent_dim": 4, "hidden": 0}]
)
def test_impossible_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match=r"Expected .* Received: "):
        CouplingFlow(**arguments)


def test_latents_of_another_size_are_refused():
    flow = CouplingFlow(2)
    for method in (flow.forward, flow.inverse):
        with pytest.raises(
            ValueError, match=r"Expected 2 entries on the last axis. Received: shape=\(3, 4\)"
        ):
            method(np.zeros((3, 4)))
