"""The benchmarks run; what they find is for people to read."""

from __future__ import annotations

import json
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "benchmarks"


def test_the_rate_of_evaluation_is_measured(python, tmp_path):
    done = python(
        FOLDER / "evaluate.py", "--images", 3, "--k", 2, "--rounds", 2, "--json", cwd=tmp_path
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert len(result["decoder"]) == len(result["likelihood"]) == 2
    assert min(result["decoder"] + result["likelihood"]) > 0
