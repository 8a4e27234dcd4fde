"""The benchmark of completions runs, and a trained model beats the simple methods."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
def test_a_trained_model_is_better_than_simple_methods(python, tmp_path):
    done = python(
        FOLDER / "completion_bars.py", "mnist", "--images", 6, "--draws", 16, "--json",
        "--bars", "inpaint", "denoise", cwd=tmp_path
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    inpaint, denoise = found["inpaint"], found["denoise"]
    assert 0 < inpaint["model"] < min(inpaint["mean filling"], inpaint["nearest neighbour"])
    assert 0 < denoise["model"] < min(denoise["median 3x3"], denoise["median 5x5"]) < denoise["noisy"]
