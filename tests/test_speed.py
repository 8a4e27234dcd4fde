"""What is done for speed: it changes no number, can be turned off, and leaves the process as it was."""

from __future__ import annotations

import importlib
import sys

import keras
import numpy as np
import pytest

from digitvae import speed
from digitvae.speed.process import fewer_imports
from digitvae.training import train

pytestmark = pytest.mark.filterwarnings("ignore:the posterior has collapsed:RuntimeWarning")


@pytest.mark.backend
def test_training_has_the_same_numbers_without_it(tiny, dataset, tmp_path, monkeypatch):
    config = tiny(architecture="dense", optimizer="adam", prior="flow", batch_size=5, epochs=2)
    fast = train(config, dataset, tmp_path / "fast", progress=False)
    monkeypatch.setenv("DIGITVAE_OFF", "all")
    plain = train(config, dataset, tmp_path / "plain", progress=False)
    assert speed.steps_per_execution(keras.backend.backend(), "dense") == 1
    for a, b in zip(fast.load_model().weights, plain.load_model().weights, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-3, atol=1e-5)
    # The metrics of an epoch are those of all of its steps, but Keras reports the loss of the last call.
    for name in ("elbo", "kl", "val_elbo"):
        np.testing.assert_allclose(fast.history()[name], plain.history()[name], rtol=1e-4)


@pytest.mark.backend
@pytest.mark.parametrize("count", [24, 22], ids=["even batches", "a smaller last batch"])
def test_several_steps_in_one_call_are_the_same_steps(make_vae, blobs, count):
    if keras.backend.backend() == "torch":
        pytest.skip("Keras takes one step at a time on PyTorch")
    trained = []
    for steps in (1, 4):
        vae = make_vae(prior="flow", architecture="dense")
        jax = keras.backend.backend() == "jax"
        vae.compile(optimizer=keras.optimizers.Adam(1e-2), jit_compile=jax, steps_per_execution=steps)
        vae.fit(blobs(count) > 99, batch_size=4, epochs=2, shuffle=False, verbose=0)
        assert int(vae.optimizer.iterations) == 12
        trained.append([weight.numpy() for weight in vae.weights])
    for a, b in zip(*trained, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("value", "on"),
    [("", True), ("threads", True), ("adam", False), ("threads, adam", False), ("all", False)],
)
def test_the_switch_turns_parts_off(monkeypatch, value, on):
    monkeypatch.setenv("DIGITVAE_OFF", value)
    assert speed.is_on("adam") == on


def test_the_switch_refuses_what_it_does_not_know(monkeypatch):
    monkeypatch.setenv("DIGITVAE_OFF", "adam,turbo")
    with pytest.raises(ValueError, match=r"Expected DIGITVAE_OFF to be all or some of .*Received: turbo$"):
        speed.is_on("threads")


def test_hidden_packages_can_be_imported_afterwards(monkeypatch):
    monkeypatch.delitem(sys.modules, "sklearn", raising=False)
    with fewer_imports("tensorflow"), pytest.raises(ImportError):
        importlib.import_module("sklearn")
    assert importlib.import_module("sklearn").__name__ == "sklearn"
    monkeypatch.delitem(sys.modules, "sklearn")
    monkeypatch.setenv("DIGITVAE_OFF", "imports")
    with fewer_imports("tensorflow"):
        assert importlib.import_module("sklearn").__name__ == "sklearn"
