"""`digitvae info`: what a trained model is."""

from __future__ import annotations

import argparse
import json
from typing import Any

import digitvae
from digitvae.cli.common import add_common_arguments

CARD = "MODEL_CARD.md"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `digitvae info`."""
    parser.description = (
        "Say what a trained model is: its recipe, data and sizes, what was measured, its files."
    )
    parser.add_argument("model", metavar="MODEL", help="a run folder, latest, or a shipped model")
    add_common_arguments(parser)


def work(arguments: argparse.Namespace) -> None:
    """Read the run folder and print."""
    run = digitvae.find_run(arguments.model)
    stored = run.read_json("config.json")
    files = {
        str(path.relative_to(run.folder)): path.stat().st_size
        for path in sorted(run.folder.rglob("*"))
        if path.is_file()
    }
    found: dict[str, Any] = {
        "model": arguments.model,
        "folder": str(run.folder),
        **stored,
        "epochs_done": len(run.history().get("epoch", [])),
        "evaluation": run.read_json("evaluation.json") if "evaluation.json" in files else None,
        "files": files,
        "card": (run.folder / CARD).read_text(encoding="utf-8") if CARD in files else None,
    }
    print(json.dumps(found, indent=2) if arguments.json else _report(run, found))


def _report(run: digitvae.Run, found: dict[str, Any]) -> str:
    config, evaluation = run.config, found["evaluation"]
    height, width = run.image_shape
    changed = [f"{name} {value}" for name, value in found["config"].items() if name not in _SAID]
    lines = [
        f"{run}: recipe {config.recipe}, {found['epochs_done']} of {config.epochs} epochs",
        f"  data        {config.data} (sha256 {run.data_sha256[:12]}...), {height}x{width} pixels",
        f"  settings    {', '.join(changed)}",
        f"  versions    {', '.join(f'{name} {version}' for name, version in found['versions'].items())}",
        f"  created     {found['created']}",
    ]
    if evaluation:
        test = evaluation["test"]
        lines.append(
            f"  test        {test['images']:,} images, protocol {evaluation['protocol']}: -ELBO "
            f"{-test['elbo']:.2f}, NLL {test['nll']:.2f} nats (k={test['nll_k']}), MSE {test['mse']:.5f}"
        )
    lines += [f"  file        {name}, {size:,} bytes" for name, size in found["files"].items()]
    if found["card"]:
        lines += ["", found["card"].rstrip()]
    return "\n".join(lines)


_SAID = ("recipe", "data", "epochs")
