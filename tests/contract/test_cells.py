"""One contract for every cell: each architecture, prior, likelihood and objective, in all pairs of them.

The twelve pairs of prior and likelihood take turns with architectures, objectives and image sizes, such that
every pair of choices meets at least once.
"""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest

from digitvae.building import build
from digitvae.config import LIKELIHOODS, PRIORS

pytestmark = pytest.mark.backend

CELLS = [
    {
        "prior": prior,
        "likelihood": likelihood,
        "architecture": ("conv", "dense")[i % 2],
        "objective": ("elbo", "iwae")[i // 2 % 2],
        "image_shape": ((9, 13), (8, 8))[i // 3 % 2],
    }
    for i, (prior, likelihood) in enumerate(itertools.product(PRIORS, LIKELIHOODS))
]
# Choices inside the objective, which do not meet every prior.
CELLS += [
    {"free_bits": 0.2, "draws": 2},
    {"beta": 4.0, "warmup_epochs": 0.5, "prior": "flow"},
    {"latent_dim": 1},
    {"blocks": 0, "prior": "vamp"},
]


@pytest.fixture(scope="module", params=CELLS, ids=lambda cell: "-".join(map(str, cell.values())))
def trained(request, make_vae, blobs):
    """A model of one cell after three steps: model, images, weights before, history."""
    cell = {"architecture": "conv", "image_shape": (9, 13), **request.param}
    images = blobs(24, *cell["image_shape"])
    vae = make_vae(images=images, **cell)
    before = [weight.numpy().copy() for weight in vae.trainable_weights]
    # Three steps, because a flow that starts as the identity moves its inner layers from the second one on.
    history = vae.fit(images, batch_size=8, shuffle=False, verbose=0).history
    return vae, images, before, history


def test_training_reports_finite_nats_that_add_up(trained):
    vae, images, _, history = trained
    measured = vae.evaluate(images, batch_size=8, verbose=0, return_dict=True)
    for numbers in ({name: values[0] for name, values in history.items()}, measured):
        assert set(numbers) == {"loss", "elbo", "reconstruction", "kl"}
        assert np.isfinite(list(numbers.values())).all()
        assert numbers["elbo"] == pytest.approx(-(numbers["reconstruction"] + numbers["kl"]), rel=1e-5)


def test_every_weight_learns(trained):
    vae, _, before, _ = trained
    still = [
        weight.path
        for weight, old in zip(vae.trainable_weights, before, strict=True)
        if np.array_equal(weight.numpy(), old)
    ]
    assert not still
    assert all(np.isfinite(weight.numpy()).all() for weight in vae.weights)


def test_users_get_arrays_of_the_documented_shapes(trained):
    vae, images, _, _ = trained
    few = images[:5]
    latents = vae.encode(few)
    for values, shape, dtype in [
        (latents, (5, vae.latent_dim), "float32"),
        (vae.encode(few, sample=True), (5, vae.latent_dim), "float32"),
        (vae.decode(latents), few.shape, "uint8"),
        (vae.reconstruct(few), few.shape, "uint8"),
        (vae.generate(5), few.shape, "uint8"),
        (vae.latents_from_noise(latents), latents.shape, "float32"),
        (vae.noise_from_latents(latents), latents.shape, "float32"),
    ]:
        assert isinstance(values, np.ndarray)
        assert (values.shape, values.dtype) == (shape, dtype)
        assert np.isfinite(values).all()


def test_results_repeat(trained):
    vae, images, _, _ = trained
    np.testing.assert_array_equal(vae.encode(images), vae.encode(images))
    np.testing.assert_array_equal(vae.generate(6, seed=3), vae.generate(6, seed=3))
    first, second = (vae.evaluate(images, batch_size=8, verbose=0) for _ in range(2))
    assert first == second


def test_a_saved_model_is_the_same_model(trained, tmp_path):
    vae, images, _, _ = trained
    vae.save(tmp_path / "model.keras")
    twin = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    for name in ("encoder", "decoder"):
        getattr(twin, name).run_eagerly = getattr(vae, name).run_eagerly
    np.testing.assert_array_equal(twin.encode(images), vae.encode(images))
    np.testing.assert_array_equal(twin.generate(6), vae.generate(6))
    assert len(twin.weights) == len(vae.weights)
    for ours, theirs in zip(vae.weights, twin.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    ours, theirs = vae.get_config(), twin.get_config()
    for name in ("prior", "objective", "likelihood", "binarization", "seed"):
        assert theirs[name] == ours[name]


def test_the_latent_path_comes_back(trained):
    vae, _, _, _ = trained
    noise = np.random.default_rng(0).standard_normal((20, vae.latent_dim), "float32")
    np.testing.assert_allclose(vae.noise_from_latents(vae.latents_from_noise(noise)), noise, atol=5e-3)


@pytest.mark.parametrize("prior", ["mixture", "vamp", "flow"])
def test_the_step_compiles_as_the_package_compiles_it(tiny, blobs, prior):
    # Above, TensorFlow runs without a graph; here with XLA, as every dense model is trained.
    if keras.backend.backend() != "tensorflow":
        pytest.skip("compiled above already")
    images = blobs(16)
    vae = build(tiny(architecture="dense", prior=prior), (9, 13), 2, images)
    assert np.isfinite(vae.fit(images, batch_size=8, verbose=0).history["loss"][0])
