"""Trains a recipe of digitvae, with its validation after every epoch and its run folder, as users get it."""

from __future__ import annotations

import shutil
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from recorder import Recorder, options

from digitvae.cli.common import start_backend
from digitvae.speed.process import tuned_for_training

tuned = ExitStack()
tuned.enter_context(tuned_for_training())  # as `digitvae train` and `vae.py` begin
start_backend(None)

import keras  # noqa: E402

import digitvae  # noqa: E402


class Snapshots(keras.callbacks.Callback):
    """Copies the model that each epoch leaves in the run folder.

    Args:
        recorder: takes the time.
        model_file: the run's `model.keras`.
        batch_size: images a step.
    """

    def __init__(self, recorder: Recorder, model_file: Path, batch_size: int):
        super().__init__()
        self.recorder, self.model_file, self.batch_size = recorder, model_file, batch_size

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the epoch's own clock."""
        self.began, self.trained = time.perf_counter(), 0.0

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Stop it where validation begins, which peers do not do."""
        self.trained = time.perf_counter() - self.began

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep what the run folder holds by now."""
        self.recorder.epoch_ends(
            self.params["steps"] * self.batch_size,
            self.trained,
            lambda stem: shutil.copyfile(self.model_file, stem.with_suffix(".keras")),
            since=time.perf_counter() - self.began - self.trained,
        )


def main() -> None:
    """Train."""
    chosen = options()
    recorder = Recorder(chosen.folder)
    config = digitvae.resolve(
        chosen.recipe, epochs=chosen.epochs, precision=chosen.precision, seed=chosen.seed
    )
    dataset = digitvae.load_dataset()
    count = len(np.load(chosen.images, mmap_mode="r"))
    if count < len(dataset.train_images):
        dataset = digitvae.Dataset(
            dataset.name,
            dataset.train_images[:count],
            None if dataset.train_labels is None else dataset.train_labels[:count],
            dataset.test_images,
            dataset.test_labels,
        )
    train_images, _ = digitvae.split_validation(dataset.train_images, dataset.train_labels)
    folder = chosen.folder / "run"
    snapshots = Snapshots(recorder, folder / "model.keras", min(config.batch_size, len(train_images.images)))
    run = digitvae.train(config, dataset, folder, progress=False, callbacks=[snapshots])
    packages = ["digitvae", "keras", "tensorflow", "tensorflow-cpu", "jax", "numpy"]
    recorder.finish(packages, precision=run.config.precision)


if __name__ == "__main__":
    main()
