"""What is measured of the machine, and the count of operations that it is measured by."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from digitvae.machine import tensorflow_bfloat16

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def machine(load_script):
    return load_script("benchmarks/machine.py")


def test_the_machine_is_measured(python, tmp_path):
    reduced = ["--starts", 1, "--size", 64, "--products", 1, "--windows", 1, "--steps", 1]
    done = python(FOLDER / "machine.py", *reduced, "--out", "all.json", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result == json.loads((tmp_path / "all.json").read_text())
    start = result["startup"]
    bare, *others = (start["seconds"][name][0] for name in ("python", "help", "import"))
    assert start["python"] == bare
    assert [start["help"] + bare, start["import"] + bare] == pytest.approx(others)
    assert set(result["gemm"]) == {"float32"} | ({"bfloat16"} if tensorflow_bfloat16() != "fatal" else set())
    training = result["training"]
    assert training["gflops"] * 1e9 == pytest.approx(training["step_flops"] / training["step_seconds"])
    roof = result["gemm"][training["precision"]]["gflops"]
    assert training["share_of_gemm"] == pytest.approx(training["gflops"] / roof)


def test_products_that_would_end_the_process_are_left_out(machine, monkeypatch):
    monkeypatch.setattr(machine, "tensorflow_bfloat16", lambda: "fatal")
    assert list(machine.gemm(8, 1)) == ["float32"]


def test_dense_layers_are_counted_by_hand(machine, make_vae):
    vae = make_vae(architecture="dense", width=7, blocks=0, latent_dim=4, prior="flow", flow_hidden=8)
    pixels, couplings = 9 * 13, 2
    flow = couplings * (2 * 8 + 8 * 8 + 8 * 4)
    assert machine.step_flops(vae, 5) == 6 * 5 * (pixels * 7 + 7 * 8 + 4 * 7 + 7 * pixels + flow)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_convolutions_are_counted_by_what_they_see(machine, stride, padding):
    import keras

    images = keras.Input((9, 14, 3))
    layer = keras.layers.Conv2D(5, 3, stride, padding, kernel_initializer="ones")
    network = keras.Model(images, layer(images))
    # With ones everywhere each product adds 1.
    assert machine._products(network) == np.asarray(network(np.ones((1, 9, 14, 3), "float32"))).sum()
