"""What is measured of a training step's operations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "step.py"


def test_operations_of_a_step_are_measured(python, tmp_path):
    done = python(SCRIPT, "classic@float32", "--calls", 1, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    operations = result["operations"]
    # Four dense layers, forward and back: two products more of each, but none for the gradient of the images.
    products = sum(each["count"] for kind, each in operations.items() if "MatMul" in kind)
    assert products == pytest.approx(11, rel=0.05)
    assert result["cpu_ms"] == pytest.approx(sum(each["cpu_ms"] for each in operations.values()))
    assert 0 < result["least_ms"] <= result["cpu_ms"]
    assert result["step_ms"] > 0


@pytest.mark.parametrize("name", ["nonsense", "classic@jax", "classic@3"])
def test_what_is_no_recipe_on_tensorflow_is_refused(python, tmp_path, name):
    done = python(SCRIPT, name, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.strip() == f"Expected a recipe, or RECIPE@PRECISION. Received: {name}"
