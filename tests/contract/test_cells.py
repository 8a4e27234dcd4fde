"""One contract for every model that a config can describe, compiled and trained as the package does it.

All combinations would be hundreds. The models here are chosen such that any two choices meet in at least one
of them, because most faults need no more than two choices to show.
"""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
import pytest

from digitvae.building import build
from digitvae.config import ARCHITECTURES, LIKELIHOODS, OBJECTIVES, OPTIMIZERS, PRIORS

pytestmark = pytest.mark.backend

CHOICES: dict[str, tuple[Any, ...]] = {
    "prior": (*PRIORS, "labelled flow", "labelled autoregressive"),
    "likelihood": LIKELIHOODS,
    # Odd sides, which are padded; MNIST's, which are not; above 32, where patches are larger.
    "image_shape": ((9, 13), (28, 28), (33, 40)),
    "architecture": ARCHITECTURES,
    "objective": OBJECTIVES,
    "optimizer": OPTIMIZERS,
    "precision": ("float32", "bfloat16"),
}


def pairs(cell: dict[str, Any]) -> set[Any]:
    """Return the pairs of choices that meet in a cell."""
    return set(itertools.combinations(cell.items(), 2))


def covering(choices: dict[str, tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Return few cells in which all pairs meet: always the next one with the most pairs that are missing."""
    every = [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]
    missing = set().union(*map(pairs, every))
    cells = []
    while missing:
        cells.append(max(every, key=lambda cell: len(pairs(cell) & missing)))
        missing -= pairs(cells[-1])
    return cells


CELLS = covering(CHOICES)
# Settings that not every prior or objective takes, and the smallest code.
OTHERS: list[dict[str, Any]] = [
    {"free_bits": 0.2, "draws": 2},
    {"beta": 4.0, "warmup_epochs": 0.5, "prior": "flow"},
    {"latent_dim": 1},
    {"blocks": 0, "prior": "vamp"},
]


def some_labels(vae, count):
    return np.arange(count) % vae.labels if vae.labels else None


def test_every_choice_meets_every_other():
    for (name, values), (other, others) in itertools.combinations(CHOICES.items(), 2):
        met = {(cell[name], cell[other]) for cell in CELLS}
        assert met == set(itertools.product(values, others)), f"{name} and {other}"


@pytest.fixture(scope="module", params=CELLS + OTHERS, ids=lambda cell: "-".join(map(str, cell.values())))
def trained(request, tiny, blobs):
    """A model of one cell after three steps: model, images, weights before, history, evaluation."""
    changes = {**request.param}
    shape = changes.pop("image_shape", (9, 13))
    if changes.get("precision") == "bfloat16":
        request.getfixturevalue("with_bfloat16")
    images, labels = blobs(24, *shape), None
    if changes.get("prior", "").startswith("labelled"):
        changes["prior"] = changes["prior"].split()[1]
        labels = np.arange(24) % 4 - 1  # a quarter has none
    vae = build(tiny(**changes), shape, steps_per_epoch=3, images=images, labels=labels)
    before = [weight.numpy().copy() for weight in vae.trainable_weights]
    # Three steps, because a flow that starts as the identity moves its inner layers from the second one on.
    history = vae.fit(images, labels, batch_size=8, shuffle=False, verbose=0).history
    return vae, images, before, history, vae.evaluate(images, batch_size=8, verbose=0, return_dict=True)


def test_training_reports_finite_nats_that_add_up(trained):
    _, _, _, history, measured = trained
    for numbers in ({name: values[0] for name, values in history.items()}, measured):
        assert set(numbers) == {"loss", "elbo", "reconstruction", "kl"}
        assert np.isfinite(list(numbers.values())).all()
        assert numbers["elbo"] == pytest.approx(-(numbers["reconstruction"] + numbers["kl"]), rel=1e-5)


def test_every_weight_learns(trained):
    vae, _, before, _, _ = trained
    still = [
        weight.path
        for weight, old in zip(vae.trainable_weights, before, strict=True)
        if np.array_equal(weight.numpy(), old)
    ]
    assert not still
    assert all(np.isfinite(weight.numpy()).all() for weight in vae.weights)


def test_users_get_arrays_of_the_documented_shapes(trained):
    vae, images, *_ = trained
    few = images[:5]
    latents = vae.encode(few)
    for values, shape, dtype in [
        (latents, (5, vae.latent_dim), "float32"),
        (vae.encode(few, sample=True), (5, vae.latent_dim), "float32"),
        (vae.decode(latents), few.shape, "uint8"),
        (vae.reconstruct(few), few.shape, "uint8"),
        (vae.generate(5), few.shape, "uint8"),
        (vae.latents_from_noise(latents, some_labels(vae, 5)), latents.shape, "float32"),
        (vae.noise_from_latents(latents), latents.shape, "float32"),
    ]:
        assert isinstance(values, np.ndarray)
        assert (values.shape, values.dtype) == (shape, dtype)
        assert np.isfinite(values).all()


def test_results_repeat(trained):
    vae, images, _, _, measured = trained
    np.testing.assert_array_equal(vae.encode(images), vae.encode(images))
    np.testing.assert_array_equal(vae.generate(6, seed=3), vae.generate(6, seed=3))
    assert vae.evaluate(images, batch_size=8, verbose=0, return_dict=True) == measured


def test_a_saved_model_is_the_same_model(trained, tmp_path):
    vae, images, _, _, measured = trained
    vae.save(tmp_path / "model.keras")
    twin = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    for ours, theirs in zip(vae.weights, twin.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    np.testing.assert_array_equal(twin.encode(images), vae.encode(images))
    np.testing.assert_array_equal(twin.generate(6), vae.generate(6))
    # Loss and nats are those of the same prior, likelihood, objective and binarization.
    assert twin.evaluate(images, batch_size=8, verbose=0, return_dict=True) == measured
    assert twin.seed == vae.seed


def test_the_latent_path_comes_back(trained):
    vae, *_ = trained
    noise = np.random.default_rng(0).standard_normal((20, vae.latent_dim), "float32")
    labels = some_labels(vae, 20)
    latents = vae.latents_from_noise(noise, labels)
    np.testing.assert_allclose(vae.noise_from_latents(latents, labels), noise, atol=5e-3)
