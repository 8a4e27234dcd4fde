"""What an export says of the model: where it comes from, and how good it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import digitvae
from digitvae.runs import Run


def description(run: Run) -> dict[str, Any]:
    """Return version, name, recipe, data and metrics (those of the test images, if they were measured)."""
    evaluation = run.folder / "evaluation.json"
    return {
        "digitvae": digitvae.__version__,
        "name": run.folder.resolve().name,
        "recipe": run.config.recipe,
        "data": run.config.data,
        "data_sha256": run.data_sha256,
        "metrics": run.read_json("evaluation.json")["test"] if evaluation.is_file() else None,
    }


def texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Return values as texts, as the metadata of files want them: texts as they are, all else as JSON."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}
