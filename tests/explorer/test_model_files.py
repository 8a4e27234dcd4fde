"""The model as the page reads it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from digitvae import find_run
from digitvae.explorer import model_files as module
from digitvae.explorer.model_files import graph_content, model_files
from digitvae.explorer.rounding import rounded, widened
from digitvae.onnx import PARTS
from digitvae.onnx.runtime import session
from digitvae.runs import shipped_models


@pytest.mark.parametrize("prior", ["normal", "mixture", "flow", "autoregressive"])
def test_what_is_written_computes_what_the_model_computes(make_vae, tmp_path, prior):
    from digitvae.light.archive import Archive
    from digitvae.onnx import Model

    vae = make_vae(images=np.zeros((8, 9, 13), "uint8"), architecture="dense", prior=prior)
    vae.save(tmp_path / "model.keras")
    model = Model(Archive(tmp_path / "model.keras"))
    files = model_files(model)
    rng = np.random.default_rng(0)
    z = rng.standard_normal((5, 4), "float32")
    given = {"encoder": rng.random((5, 9, 13), "float32"), "decoder": z, "prior_sample": z, "prior_noise": z}
    for part in PARTS:
        written = session(graph_content(files, part, "1"))
        exact = session(model.graph(part).content("1", {}))
        inputs = {entry.name: given[part] for entry in exact.get_inputs()}
        for got, expected in zip(written.run(None, inputs), exact.run(None, inputs), strict=True):
            np.testing.assert_allclose(got, expected, atol=2e-3)


def test_large_constants_are_rounded_and_equal_ones_stored_once(run, monkeypatch):
    monkeypatch.setattr(module, "_ROUNDED", 60)
    files = model_files(run.onnx_model())
    found = json.loads(files["graphs.json"])
    assert set(found["graphs"]) == set(PARTS)
    kinds = set()
    end = 0
    for stored in found["tensors"].values():
        size = int(np.prod(stored["shape"]))
        kinds.add(stored["type"])
        assert stored["type"] in ("i4", "b1") or stored["type"] == ("r2" if size >= 60 else "f4")
        assert stored["offset"] % 4 == 0
        assert stored["offset"] >= end
        scales = 4 * (stored["shape"][0] if len(stored["shape"]) > 1 else 1)
        end = (
            stored["offset"]
            + {"r2": scales + 2 * size, "f4": 4 * size, "i4": 4 * size, "b1": size}[stored["type"]]
        )
    assert end == len(files["weights.bin"])
    assert {"r2", "f4"} <= kinds
    used = [json.dumps(graph) for graph in found["graphs"].values()]
    for name in found["tensors"]:
        assert any(f'"{name}"' in graph for graph in used)
    # The flow is in two graphs, and stored once.
    floats = [entry for entry in found["tensors"].values() if entry["type"] in ("r2", "f4")]
    total = sum(int(np.prod(entry["shape"])) for entry in floats)
    twice = sum(array.size for part in PARTS for array in run.onnx_model().graph(part).finished()[1].values())
    assert total < 0.9 * twice


def test_weights_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match=r"Expected finite weights\. Received: some that are not"):
        module._Store().add(np.full(2000, np.inf, "float32"))


@pytest.mark.parametrize("kind", ["i1", "i2"])
def test_numbers_are_rounded_to_half_a_step_of_their_row(kind):
    rng = np.random.default_rng(1)
    array = rng.standard_normal((4, 3, 5)).astype("float32") * np.float32([[[1e-3]], [[1]], [[1e6]], [[0]]])
    content = b"####" + rounded(array, kind)
    got = widened(content, kind, array.shape, offset=4)
    step = np.abs(array).max(axis=(1, 2), keepdims=True) / np.iinfo(kind).max
    assert (np.abs(got - array) <= 0.51 * step).all()
    assert len(np.unique(got[1])) > 10
    flat = array.reshape(-1)
    step = np.abs(flat).max() / np.iinfo(kind).max
    assert (np.abs(widened(rounded(flat, kind), kind, flat.shape) - flat) <= 0.51 * step).all()


@pytest.mark.parametrize("name", shipped_models())
def test_what_the_page_reads_of_shipped_models_decodes_as_they_do(name):
    run = find_run(name)
    model = run.onnx_model()
    light, rng = run.load_light(), np.random.default_rng(7)
    noise = rng.standard_normal((300, light.latent_dim), "float32")
    labels = rng.integers(light.labels, size=300) if light.labels else None
    latents = {"latents": light.latents_from_noise(noise, labels)}
    got = session(graph_content(model_files(model), "decoder", "1")).run(["pixels"], latents)[0]
    expected = session(model.graph("decoder").content("1", {})).run(["pixels"], latents)[0]
    assert np.abs(got - expected).max() < 5e-4
