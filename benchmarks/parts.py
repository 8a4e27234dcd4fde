"""What each part of `digitvae.speed` gains: training processes with it and without it, in alternating pairs.

    python benchmarks/parts.py                                       # all: half an hour, nothing else running
    python benchmarks/parts.py --systems classic --parts adam steps --pairs 5

Every pair is added to those in `parts.json` of this processor's folder in `results/`, and the table, also
written as `parts.md`, is of all of them. Delete the file to measure anew.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import machine
import numpy as np
from contestants import Variant
from report_files import write_json, write_report

from digitvae.data import load_dataset
from digitvae.speed import NAMES, SWITCH

HERE = Path(__file__).parent


class Setting(NamedTuple):
    """How a system is measured: long enough for a median of epochs, short enough for many pairs."""

    variant: Variant
    images: int
    """Training images, of which 5,000 validate."""
    epochs: int
    """The first one warms up."""
    parts: tuple[str, ...]
    """Those that it uses."""


SETTINGS = {
    "default": Setting(Variant("default"), 13_000, 2, ("onednn", "threads", "imports", "pipeline", "steps")),
    "classic": Setting(Variant("classic"), 60_000, 3, NAMES),
    "classic@jax": Setting(Variant("classic", "jax"), 60_000, 3, ("imports", "steps")),
}


def main() -> None:
    """Measure, add to the file and print the table."""
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "parts.json"
    if path.exists():
        result = json.loads(path.read_text(encoding="utf-8"))
    else:
        result = {"machine": machine.facts(), "pairs": []}
    for system in options.systems:
        for number in range(options.pairs):
            for part in (name for name in SETTINGS[system].parts if name in options.parts):
                # Whoever is first alternates: the second finds files cached and a warmer processor.
                order = ("", part) if number % 2 == 0 else (part, "")
                measured = {off: train(system, off) for off in order}
                pair = {"system": system, "part": part, "with": measured[""], "without": measured[part]}
                result["pairs"].append(pair)
                write_json(result, path)
                print(f"{system} without {part}: {_gains(pair)}", file=sys.stderr, flush=True)
    text = table(result["pairs"])
    write_report(result, text, options.out, "parts")
    print(text)


def train(system: str, off: str) -> dict[str, float]:
    """Train in a fresh process.

    Args:
        system: of `SETTINGS`.
        off: the part to turn off; empty for none.

    Returns:
        `step_seconds`, the median over the epochs but the first of an epoch's seconds per training step of
        128 images, `wall_seconds`, those of the process until the last weights, and its `cpu_seconds`.

    Raises:
        CalledProcessError: it failed; what it said stands on stderr.
    """
    setting = SETTINGS[system]
    variant = setting.variant
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "train.npy", load_dataset().train_images[: setting.images])
        environment = {
            **os.environ,
            SWITCH: off,
            "CUDA_VISIBLE_DEVICES": "",
            "JAX_PLATFORMS": "cpu",
            "KERAS_BACKEND": variant.backend,
            "SPEEDRUN_BEGAN": repr(time.time()),
        }
        command = [sys.executable, HERE / "systems/digitvae_recipe.py", "--seed", "0", "--folder", folder]
        command += ["--images", folder / "train.npy", "--probe", folder / "train.npy"]
        command += ["--recipe", variant.recipe, "--epochs", str(setting.epochs)]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([str(word) for word in command], env=environment, stdout=sys.stderr, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        epochs = json.loads((folder / "record.json").read_text(encoding="utf-8"))["epochs"]
    seconds = [128 * epoch["train_seconds"] / epoch["images"] for epoch in epochs[1:]]
    return {
        "step_seconds": statistics.median(seconds),
        "wall_seconds": epochs[-1]["seconds"],
        "cpu_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    }


def table(pairs: list[dict[str, Any]]) -> str:
    """Return the gains as Markdown: how much longer it takes without a part, medians over the pairs."""
    lines = [
        "| part | system | pairs | ms a step with it | a step without | the process without | its CPU time |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for part in NAMES:
        for system in SETTINGS:
            found = [pair for pair in pairs if (pair["part"], pair["system"]) == (part, system)]
            if not found:
                continue
            step = statistics.median(1000 * pair["with"]["step_seconds"] for pair in found)
            lines.append(
                f"| {part} | {system} | {len(found)} | {step:.2f} | {_change(found, 'step_seconds')} "
                f"| {_change(found, 'wall_seconds')} | {_change(found, 'cpu_seconds')} |"
            )
    return "\n".join(lines)


def _gains(pair: dict[str, Any]) -> str:
    return (
        f"a step {_change([pair], 'step_seconds')}, the process {_change([pair], 'wall_seconds')}, "
        f"its CPU time {_change([pair], 'cpu_seconds')}"
    )


def _change(pairs: list[dict[str, Any]], key: str) -> str:
    ratios = [100 * (pair["without"][key] / pair["with"][key] - 1) for pair in pairs]
    spread = f" ({min(ratios):+.0f} to {max(ratios):+.0f})" if len(ratios) > 1 else ""
    return f"{statistics.median(ratios):+.1f} %{spread}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure what each part of digitvae.speed gains.")
    parser.add_argument("--systems", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--parts", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--pairs", type=machine.positive, default=3, help="of each; default: 3")
    folder = HERE / "results" / machine.facts()["processor"]
    parser.add_argument(
        "--out", type=Path, default=folder, help="default: this processor's folder in results"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
