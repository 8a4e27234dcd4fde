"""Training: seeded, resumable to the last bit, and safe to interrupt."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from digitvae.batches import ArrayRows, SharedRows, ShuffledBatches
from digitvae.building import build, resolve_auto
from digitvae.callbacks import Progress, RunWriter, TrainingDiverged, summary_writer, tensorboard_events
from digitvae.config import Config, ConfigError, with_changes
from digitvae.data import Dataset, fixed_bits
from digitvae.data.arrays import Part
from digitvae.distributed import Processes, alone, losses_named, processes
from digitvae.explorer.film import Camera
from digitvae.files import DiskFull
from digitvae.model import VAE
from digitvae.networks import start_from_smaller
from digitvae.priors import FlowPrior
from digitvae.runs import Run, find_run
from digitvae.streaming import StreamedDataset, load_dataset, training_and_validation

__all__ = ["TrainingDiverged", "TrainingInterrupted", "resume", "train"]

VALIDATION_BATCH = 500


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C during training; the run keeps every finished epoch."""


def train(
    config: Config,
    dataset: Dataset | None = None,
    folder: str | Path | None = None,
    progress: bool = True,
    tensorboard: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    started: Callable[[Run], None] | None = None,
) -> Run:
    """Train a model and leave a run folder.

    Inside of `digitvae.distributed.joined` all processes of the job call it alike, and the first one writes.

    Args:
        config: what to train.
        dataset: the data, if it is loaded already; else `config.data` says what to load.
        folder: the run folder, always a path; by default `runs/<time>-<recipe>/`.
        progress: show a progress bar on stderr where that is a terminal, otherwise one line per epoch.
        tensorboard: also write TensorBoard events into the run folder.
        callbacks: more of Keras' callbacks; at the end of an epoch they find the run folder written.
        started: called with the run when its folder is there, before the first step.

    Returns:
        The run: `Run.load_model` gives its model, `Run.history` its numbers.

    Raises:
        ConfigError: the config is of another backend, wants labels where there are none, or starts from a run
            of another model.
        DiskFull: there is no more room; every finished epoch is kept.
        OSError: the folder cannot be written.
        TrainingDiverged: the loss exploded; the last good epoch is kept.
        TrainingInterrupted: Ctrl-C; every finished epoch is kept.
    """
    if tensorboard:
        summary_writer()  # a missing package must not leave a run folder behind
    dataset = dataset or load_dataset(config.data)
    config = resolve_auto(config, dataset.train_labels)
    if config.data != "mnist" and Path(config.data).exists():
        # A resume may happen in another working directory.
        config = with_changes(config, data=str(Path(config.data).resolve()))
    job = processes()
    _check_alike(job, config, dataset)
    if job.first and folder is not None:
        Run.check_free(folder)
    # A model that cannot start must not leave a run folder behind.
    prepared = _prepared(config, dataset, job, new=True)
    name = str(Run.create(config, dataset.image_shape, dataset.sha256, folder).folder) if job.first else ""
    run = Run(Path(job.text_from_first(name)), config, dataset.image_shape, dataset.sha256)
    return _fit(run, prepared, job, progress, tensorboard, callbacks, started)


def resume(
    run: Run | str | Path,
    dataset: Dataset | None = None,
    progress: bool = True,
    tensorboard: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    started: Callable[[Run], None] | None = None,
) -> Run:
    """Continue an unfinished run; the result is exactly that of an uninterrupted one.

    Args:
        run: the run, or what `find_run` takes.
        dataset: the data, if it is loaded already.
        progress: as in `train`.
        tensorboard: as in `train`.
        callbacks: as in `train`.
        started: as in `train`.

    Raises:
        ConfigError: the run began on another backend.
        ValueError: the run has lost its checkpoint, or the data are not those it began with.
    """
    run = run if isinstance(run, Run) else find_run(run)
    dataset = dataset or load_dataset(run.config.data)
    run.check_data(dataset)
    job = processes()
    _check_alike(job, run.config, dataset)
    began = bool(job.from_first(np.array(job.first and run.has_checkpoint())))
    prepared = _prepared(run.config, dataset, job, new=not began)
    return _fit(run, prepared, job, progress, tensorboard, callbacks, started)


def _check_alike(job: Processes, config: Config, dataset: Dataset) -> None:
    """Make sure that all processes train the same, before they wait for one another in vain."""
    settings = json.dumps([config.to_dict(), dataset.sha256], sort_keys=True)
    job.check_alike(hashlib.sha256(settings.encode()).hexdigest(), "settings and data")


class _Prepared(NamedTuple):
    """What a training needs before it has a run folder."""

    vae: VAE
    twin: VAE
    """Holds the weights in float32 for everything after training, so that a saved model is portable and its
    numbers do not depend on the precision of training."""
    batches: ShuffledBatches
    held_out: Part
    """What validates."""
    new: bool
    """Whether the weights are the first ones; else a checkpoint has others."""


def _prepared(config: Config, dataset: Dataset, job: Processes, new: bool) -> _Prepared:
    """Build the model and its batches.

    Raises:
        ConfigError: the config starts from a run of another model.
    """
    (images, labels), held_out = training_and_validation(dataset)
    if config.condition == "none":
        labels = None
    bits = config.binarization == "dynamic"
    rows = dataset.rows if isinstance(dataset, StreamedDataset) else ArrayRows(images, labels)
    labelled = labels is not None
    batches = ShuffledBatches(rows, config.batch_size, config.seed, bits, labelled, config.augment, job.share)
    parts = dataset.image_shape, len(batches), images, labels
    with alone():
        twin = build(with_changes(config, precision="float32"), *parts)
    vae = build(config, *parts)
    if config.start_from and new:
        _copy_weights(config.start_from, vae)
    vae.optimizer.build(vae.trainable_variables)
    return _Prepared(vae, twin, batches, held_out, new)


def _fit(
    run: Run,
    prepared: _Prepared,
    job: Processes,
    progress: bool,
    tensorboard: bool,
    callbacks: Sequence[keras.callbacks.Callback],
    started: Callable[[Run], None] | None,
) -> Run:
    config = run.config
    vae, twin, batches, held_out, new = prepared
    validation = held_out.images
    if config.binarization == "dynamic":
        validation = fixed_bits(validation)
    writer = RunWriter(run, twin, batches, Camera(run.folder, held_out, config.epochs, config.seed), job)
    writer.set_model(vae)
    shown = Progress(progress, config.epochs)
    own = [shown, *([tensorboard_events(run)] if tensorboard else [])] if job.first else []
    size = min(VALIDATION_BATCH, len(validation))
    measured = (validation,) if job.count == 1 else SharedRows(validation, size, job.share)

    def kept() -> str:
        epochs = f"{writer.epochs_done} of {config.epochs} epochs are kept in {run.folder}"
        return f"{epochs}, --resume {run} goes on from there"

    try:
        done = writer.start(began=not new)
        if started is not None:
            started(run)
        with losses_named(job, kept):
            vae.fit(
                batches.for_fit(),
                validation_data=measured,
                validation_batch_size=size,
                initial_epoch=done,
                epochs=config.epochs,
                # The batches are shuffled; Keras would shuffle them with a state that no resume restores.
                shuffle=False,
                callbacks=[writer, *own, *callbacks],
                verbose=0,
            )
    except (KeyboardInterrupt, DiskFull) as error:
        message = f"{str(error) or 'interrupted'}; {kept()}"
        raise (TrainingInterrupted if isinstance(error, KeyboardInterrupt) else DiskFull)(message) from None
    finally:
        shown.close()
    return run


def _copy_weights(name: str, vae: VAE) -> None:
    """Give a model the weights of a run, whose networks may be smaller; labels may be new to its prior.

    Raises:
        ConfigError: the run's model is another one.
    """
    other = find_run(name).load_model()
    try:
        start_from_smaller(vae.encoder, other.encoder)
        start_from_smaller(vae.decoder, other.decoder)
        if isinstance(vae.prior, FlowPrior) and isinstance(other.prior, FlowPrior) and not other.labels:
            vae.prior.flow.start_from(other.prior.flow)
        else:
            vae.prior.set_weights(other.prior.get_weights())
    except ValueError as error:
        raise ConfigError(
            "Expected start_from to name a run of the same networks, or smaller ones, and prior. "
            f"Received: {name} ({error})"
        ) from None
