"""What every training script shares: options, the clock from the start of the process, snapshots, the record.

It imports NumPy alone, so that a system starts no later than its own framework lets it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

BEGAN = "SPEEDRUN_BEGAN"
"""Environment variable with the time.time() just before the process was started."""


def options() -> argparse.Namespace:
    """Read the command line that `speedrun.py` calls a training script with."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=Path, required=True, help="training images, uint8 .npy")
    parser.add_argument("--probe", type=Path, required=True, help="test bits for the outputs, uint8 .npy")
    parser.add_argument("--folder", type=Path, required=True, help="where snapshots and record go")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--epochs", type=int, help="default: the system's own")
    parser.add_argument("--recipe", help="of digitvae")
    parser.add_argument("--precision", help="of digitvae's networks in training; default: the recipe's")
    return parser.parse_args()


def scaled(path: Path) -> np.ndarray:
    """Read images and scale them to float32 in [0, 1], (n, height, width)."""
    return np.load(path).astype("float32") / 255


def save_arrays(stem: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write named arrays to the path with the suffix .npz."""
    np.savez(stem.with_suffix(".npz"), **arrays)  # type: ignore[arg-type] # it could be `allow_pickle`


class Recorder:
    """Takes the time of every epoch and keeps its weights.

    The clock starts with the process and stands still while a snapshot is written or outputs are computed
    for the proof of the twin: both serve the benchmark alone.

    Args:
        folder: where everything goes.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._began, self._paused = float(os.environ[BEGAN]), 0.0
        self._epochs: list[dict[str, float]] = []

    def epoch_ends(
        self, images: int, train_seconds: float, save: Callable[[Path], Any], since: float = 0.0
    ) -> None:
        """Take the time, then write a snapshot.

        Args:
            images: images of the epoch's training steps.
            train_seconds: how long these steps took.
            save: writes the snapshot to a path, to which it adds a suffix.
            since: seconds that have gone by since the last of these steps.
        """
        now = time.time()
        self._epochs.append(
            {
                "epoch": len(self._epochs) + 1,
                "seconds": now - since - self._began - self._paused,
                "train_seconds": train_seconds,
                "images": images,
            }
        )
        save(self.folder / f"epoch-{len(self._epochs):03d}")
        self._paused += time.time() - now

    def finish(
        self,
        packages: Sequence[str],
        outputs: Callable[[], dict[str, np.ndarray]] | None = None,
        precision: str = "float32",
    ) -> None:
        """Write the record; it is there only when all else is.

        Args:
            packages: distributions whose versions are recorded, where they are installed.
            outputs: the trained model's own outputs for the probe: `mean` and `log_scale` of the posterior,
                (n, latent_dim), and `probabilities` of white at z = mean, (n, height, width).
            precision: of the networks' arithmetic in training.
        """
        now = time.time()
        memory = _peak_memory()
        if outputs is not None:
            save_arrays(self.folder / "outputs", outputs())
        record = {
            "epochs": self._epochs,
            "excluded_seconds": self._paused + time.time() - now,
            "peak_memory_bytes": memory,
            "precision": precision,
            "versions": _versions(packages),
        }
        temporary = self.folder / ".record.json"
        temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        temporary.replace(self.folder / "record.json")


def _versions(packages: Sequence[str]) -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _peak_memory() -> int:
    """Return the largest resident memory of this process, in bytes."""
    try:
        # On Linux getrusage also counts the process that started this one, up to the exec.
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else 1024 * most
