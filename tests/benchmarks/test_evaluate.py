"""The benchmark of the likelihood runs, and its rates count what was decoded."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from digitvae.machine import usable_cores

FOLDER = Path(__file__).parents[2] / "benchmarks"


def test_the_rate_of_evaluation_is_measured(python, tmp_path):
    done = python(
        FOLDER / "evaluate.py", "--images", 3, "--k", 2, "--rounds", 1, "--json", cwd=tmp_path
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    (decoder,), (likelihood,) = result["decoder"], result["likelihood"]
    assert result["share"] == pytest.approx(likelihood / decoder)
    assert (result["images"], result["k"], result["cores"]) == (3, 2, usable_cores())


@pytest.mark.parametrize("k", [2, 300])
def test_rates_count_what_is_decoded(monkeypatch, load_script, capsys, k):
    evaluate = load_script("benchmarks/evaluate.py")
    seconds = 0.0

    def decode(latents):
        nonlocal seconds
        seconds += len(latents) / 1000

    def image_bounds(vae, images, draws):
        nonlocal seconds
        seconds += len(images) * draws / 250

    # A clock that stands still but for a millisecond per decode, and four of them in the likelihood.
    monkeypatch.setattr(evaluate, "time", SimpleNamespace(perf_counter=lambda: seconds))
    vae = SimpleNamespace(latent_dim=4, decoder=SimpleNamespace(predict_on_batch=decode))
    monkeypatch.setattr(evaluate.digitvae, "load", lambda run: vae)
    monkeypatch.setattr(evaluate, "image_bounds", image_bounds)
    command = ["evaluate.py", "--run", "mnist", "--images", "3", "--k", str(k), "--rounds", "2", "--json"]
    monkeypatch.setattr(sys, "argv", command)
    evaluate.main()
    result = json.loads(capsys.readouterr().out)
    assert result["decoder"] == pytest.approx([1000, 1000])
    assert result["likelihood"] == pytest.approx([250, 250])
    assert result["share"] == pytest.approx(0.25)
