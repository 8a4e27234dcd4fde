"""What the film of a training costs: the share of its seconds that recording takes.

    python benchmarks/film.py                                # the recipe quick: one epoch
    python benchmarks/film.py --recipe default --epochs 2

Seconds of training are those of all epochs, compilation and validation included, without start-up and the
evaluation at the end.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import digitvae
from digitvae.config import resolve
from digitvae.explorer.film import Camera
from digitvae.trained import TrainedModel


def main() -> None:
    """Train, and print the seconds as a table and JSON."""
    parser = argparse.ArgumentParser(description="Measure what the film of a training costs.")
    parser.add_argument("--recipe", default="quick", help="the recipe (default: quick)")
    parser.add_argument("--epochs", type=int, help="epochs (default: those of the recipe)")
    options = parser.parse_args()
    changes = {} if options.epochs is None else {"epochs": options.epochs}
    seconds: list[float] = []
    record = Camera.record

    def timed(self: Camera, model: TrainedModel, epoch: int, elbo: float) -> None:
        start = time.perf_counter()
        record(self, model, epoch, elbo)
        seconds.append(time.perf_counter() - start)

    Camera.record = timed  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        config = resolve(options.recipe, **changes)
        run = digitvae.train(config, folder=Path(folder) / "run", progress=False)
        training = sum(run.history()["seconds"])
    found = {
        "recipe": options.recipe,
        "epochs": len(seconds),
        "training_seconds": round(training, 2),
        "film_seconds": [round(one, 3) for one in seconds],
        "share": round(sum(seconds) / (training + sum(seconds)), 4),
    }
    for name, value in found.items():
        print(f"{name:16} {value}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
