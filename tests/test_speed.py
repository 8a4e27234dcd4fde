"""What is done for speed: it changes no number, can be turned off, and leaves the process as it was."""

from __future__ import annotations

import importlib
import os
import platform
import sys

import keras
import numpy as np
import pytest

from digitvae import speed
from digitvae.speed.process import fewer_imports, onednn_everywhere
from digitvae.training import train

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"

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


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({}, "1"), ({"DIGITVAE_OFF": "onednn"}, None), ({ONEDNN: "0"}, "0")],
    ids=["by itself", "turned off", "the user says no"],
)
def test_the_choice_of_kernels_leaves_the_process_as_it_was(monkeypatch, settings, expected):
    for name in (ONEDNN, "DIGITVAE_OFF"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with onednn_everywhere():
        assert os.environ.get(ONEDNN) == expected
    assert os.environ.get(ONEDNN) == settings.get(ONEDNN)


_KERNELS = """
import os, sys
os.environ.pop("TF_ENABLE_ONEDNN_OPTS", None)
os.environ.update(argument.split("=") for argument in sys.argv[1:])
from digitvae.cli.common import start_backend
start_backend("tensorflow")
import tempfile
from pathlib import Path
import tensorflow as tf
x, kernel = tf.ones((2, 4, 4, 8)), tf.ones((3, 3, 8, 8))
convolve = tf.function(lambda x: tf.nn.conv2d(x, kernel, 1, "SAME"), autograph=False)
convolve(x)
with tempfile.TemporaryDirectory() as folder:
    with tf.profiler.experimental.Profile(folder):
        convolve(x).numpy()
    profile = b"".join(path.read_bytes() for path in Path(folder).rglob("*.pb"))
print("NativeConv2D" in str(profile))
"""


@pytest.mark.parametrize(("settings", "by_onednn"), [([], True), ([f"{ONEDNN}=0"], False)])
def test_tensorflow_computes_by_onednn_unless_the_user_says_no(python, tmp_path, settings, by_onednn):
    if platform.machine().lower() not in ("x86_64", "amd64") or sys.platform == "darwin":
        pytest.skip("TensorFlow has oneDNN's kernels for x86 on Linux and Windows")
    done = python("-c", _KERNELS, *settings, cwd=tmp_path)
    assert done.stdout.strip() == str(by_onednn), done.stderr
