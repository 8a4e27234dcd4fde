"""The model as the page reads it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from digitvae.explorer import model_files as module
from digitvae.explorer.model_files import graph_content, model_files
from digitvae.onnx import PARTS
from digitvae.onnx.runtime import session


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


def test_large_constants_are_halved_and_equal_ones_stored_once(run, monkeypatch):
    monkeypatch.setattr(module, "_HALVED", 60)
    files = model_files(run.onnx_model())
    found = json.loads(files["graphs.json"])
    assert set(found["graphs"]) == set(PARTS)
    kinds = set()
    end = 0
    for stored in found["tensors"].values():
        size = int(np.prod(stored["shape"]))
        kinds.add(stored["type"])
        assert stored["type"] in ("i4", "b1") or stored["type"] == ("f2" if size >= 60 else "f4")
        assert stored["offset"] % 4 == 0
        assert stored["offset"] >= end
        end = stored["offset"] + size * {"f2": 2, "f4": 4, "i4": 4, "b1": 1}[stored["type"]]
    assert end == len(files["weights.bin"])
    assert {"f2", "f4"} <= kinds
    used = [json.dumps(graph) for graph in found["graphs"].values()]
    for name in found["tensors"]:
        assert any(f'"{name}"' in graph for graph in used)
    # The flow is in two graphs, and stored once.
    floats = [entry for entry in found["tensors"].values() if entry["type"] in ("f2", "f4")]
    total = sum(int(np.prod(entry["shape"])) for entry in floats)
    twice = sum(array.size for part in PARTS for array in run.onnx_model().graph(part).finished()[1].values())
    assert total < 0.9 * twice


def test_weights_that_float16_cannot_hold_are_refused():
    with pytest.raises(ValueError, match=r"Expected weights between -65504 and 65504.*Received: 1e"):
        module._Store().add(np.full(2000, 1e6, "float32"))
