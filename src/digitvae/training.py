"""Training: seeded, resumable to the last bit, and safe to interrupt."""

from __future__ import annotations

import hashlib
import json
import math
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from digitvae.batches import ArrayRows, SharedRows, ShuffledBatches
from digitvae.building import build, resolve_auto
from digitvae.config import Config, ConfigError, with_changes
from digitvae.data import Dataset, fixed_bits
from digitvae.distributed import Processes, alone, losses_named, processes
from digitvae.explorer.film import Camera
from digitvae.files import DiskFull
from digitvae.model import METRICS, VAE
from digitvae.priors import FlowPrior
from digitvae.runs import Run, find_run
from digitvae.streaming import StreamedDataset, load_dataset, training_and_validation

VALIDATION_BATCH = 500
# Below this, in nats, the latents carry nothing of the image; a healthy model is above 10.
COLLAPSED_KL = 0.1


class TrainingDiverged(RuntimeError):
    """The loss is not finite, or far above its first value."""


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
        _summary_writer()  # a missing package must not leave a run folder behind
    dataset = dataset or load_dataset(config.data)
    config = resolve_auto(config, dataset.train_labels)
    if config.data != "mnist" and Path(config.data).exists():
        # A resume may happen in another working directory.
        config = with_changes(config, data=str(Path(config.data).resolve()))
    job = processes()
    _check_alike(job, config, dataset)
    name = str(Run.create(config, dataset.image_shape, dataset.sha256, folder).folder) if job.first else ""
    run = Run(Path(job.text_from_first(name)), config, dataset.image_shape, dataset.sha256)
    return _fit(run, dataset, progress, tensorboard, callbacks, started)


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
    _check_alike(processes(), run.config, dataset)
    return _fit(run, dataset, progress, tensorboard, callbacks, started)


def _check_alike(job: Processes, config: Config, dataset: Dataset) -> None:
    """Make sure that all processes train the same, before they wait for one another in vain."""
    settings = json.dumps([config.to_dict(), dataset.sha256], sort_keys=True)
    job.check_alike(hashlib.sha256(settings.encode()).hexdigest(), "settings and data")


def _fit(
    run: Run,
    dataset: Dataset,
    progress: bool,
    tensorboard: bool,
    callbacks: Sequence[keras.callbacks.Callback],
    started: Callable[[Run], None] | None,
) -> Run:
    config = run.config
    (images, labels), held_out = training_and_validation(dataset)
    validation = held_out.images
    if config.condition == "none":
        labels = None
    if config.binarization == "dynamic":
        validation = fixed_bits(validation)
    bits = config.binarization == "dynamic"
    job = processes()
    rows = dataset.rows if isinstance(dataset, StreamedDataset) else ArrayRows(images, labels)
    labelled = labels is not None
    batches = ShuffledBatches(rows, config.batch_size, config.seed, bits, labelled, config.augment, job.share)
    # The float32 twin holds the weights for everything after training, so that a saved model is portable and
    # its numbers do not depend on the precision of training.
    parts = run.image_shape, len(batches), images, labels
    with alone():
        twin = build(with_changes(config, precision="float32"), *parts)
    vae = build(config, *parts)
    began = bool(job.from_first(np.array(job.first and run.has_checkpoint())))
    if config.start_from and not began:
        _copy_weights(config.start_from, vae)
    vae.optimizer.build(vae.trainable_variables)
    writer = RunWriter(run, twin, batches, Camera(run.folder, held_out, config.epochs, config.seed), job)
    writer.set_model(vae)
    shown = Progress(progress, config.epochs)
    extras = [*([shown, *_tensorboard(run, tensorboard)] if job.first else []), *callbacks]
    size = min(VALIDATION_BATCH, len(validation))
    measured = (validation,) if job.count == 1 else SharedRows(validation, size, job.share)

    def kept() -> str:
        epochs = f"{writer.epochs_done} of {config.epochs} epochs are kept in {run.folder}"
        return f"{epochs}, --resume {run} goes on from there"

    try:
        done = writer.start(began)
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
                callbacks=[writer, *extras],
                verbose=0,
            )
    except (KeyboardInterrupt, DiskFull) as error:
        message = f"{str(error) or 'interrupted'}; {kept()}"
        raise (TrainingInterrupted if isinstance(error, KeyboardInterrupt) else DiskFull)(message) from None
    finally:
        shown.close()
    return run


def _copy_weights(name: str, vae: VAE) -> None:
    """Give a model the weights of a run; labels may be new to its prior.

    Raises:
        ConfigError: the run's model is another one.
    """
    other = find_run(name).load_model()
    try:
        vae.encoder.set_weights(other.encoder.get_weights())
        vae.decoder.set_weights(other.decoder.get_weights())
        if isinstance(vae.prior, FlowPrior) and isinstance(other.prior, FlowPrior) and not other.labels:
            vae.prior.flow.start_from(other.prior.flow)
        else:
            vae.prior.set_weights(other.prior.get_weights())
    except ValueError as error:
        raise ConfigError(
            f"Expected start_from to name a run of the same networks and prior. Received: {name} ({error})"
        ) from None


class RunWriter(keras.callbacks.Callback):
    """Writes history, checkpoint, model and film after every epoch, and stops a training that diverges.

    Of several processes the first one writes.
    """

    def __init__(
        self,
        run: Run,
        twin: VAE,
        batches: ShuffledBatches,
        camera: Camera,
        job: Processes = Processes(),  # noqa: B008 - it is frozen
    ):
        super().__init__()
        self.run, self.twin, self.batches, self.camera, self.job = run, twin, batches, camera, job
        self.history: dict[str, list[float]] = {}
        self.epochs_done = 0
        self.first_loss: float | None = None
        self.warned = False

    def start(self, began: bool) -> int:
        """Load the checkpoint, or keep the initial weights as the first; return the number of epochs done.

        Args:
            began: whether there is a checkpoint.
        """
        if began:
            variables = self._variables()
            values = [np.zeros(variable.shape, variable.dtype) for variable in variables]
            # What the run folder says, only the first process needs to see.
            done, values = self.run.read_checkpoint(variables) if self.job.first else (0, values)
            done, values = self.job.from_first((np.int64(done), values))
            for variable, value in zip(variables, values, strict=True):
                variable.assign(np.asarray(value))
            self.epochs_done = int(done)
            # After a kill between two renames the history may be one row ahead of the checkpoint.
            stored = self.run.history() if self.job.first else {}
            self.history = {name: column[: self.epochs_done] for name, column in stored.items()}
        else:
            self._keep(0)
        if self.job.first:
            self.camera.start(self.epochs_done)
        return self.epochs_done

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Shuffle the batches."""
        self.batches.start_epoch(epoch)
        self.began, self.epoch = time.perf_counter(), epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Stop before the weights of a diverged step are written."""
        loss = float((logs or {})["loss"])
        if self.first_loss is None:
            self.first_loss = loss
        self._check(loss)

    def _check(self, loss: float) -> None:
        # The limit is ten times the first loss, but at least 9 nats per pixel above it, since a density can
        # begin near 0 nats. The first loss is a mean of several steps and may have exploded itself, so it
        # counts as at most ten nats per pixel.
        pixels = math.prod(self.run.image_shape)
        first = min(self.first_loss or 0.0, 10.0 * pixels)
        limit = first + 9 * max(abs(first), pixels)
        if not math.isfinite(loss) or loss > limit:
            config = self.run.config
            raise TrainingDiverged(
                f"Expected a finite loss of at most {limit:.0f}, far above where it began. Received: "
                f"loss={loss:.4g} in epoch {self.epoch + 1}; the weights after epoch {self.epochs_done} are "
                f"kept in {self.run.folder}. A lower learning rate (now {config.learning_rate}) or a larger "
                f"batch (now {config.batch_size}) usually helps"
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add a row to the history, save model and checkpoint, then the frame of the film."""
        numbers = {name: float(value) for name, value in (logs or {}).items()}
        # A divergence in the last step shows only in the validation loss.
        self._check(numbers["val_loss"])
        row: dict[str, float] = {"epoch": epoch + 1}
        for name in ("loss", *METRICS, "val_loss", *(f"val_{name}" for name in METRICS)):
            row[name] = numbers[name]
        row["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        row["seconds"] = time.perf_counter() - self.began
        if self.job.first:
            for name, value in row.items():
                self.history.setdefault(name, []).append(value)
            self.run.write_history(self.history)
        self._keep(epoch + 1)
        if self.job.first:
            with alone():
                self.camera.record(self.twin, epoch + 1, row["val_elbo"])
        if self.job.first and row["val_kl"] < COLLAPSED_KL and not self.warned:
            self.warned = True
            warnings.warn(
                f"the posterior has collapsed to the prior: kl is {row['val_kl']:.3g} nats after epoch "
                f"{epoch + 1}, so the latents carry nothing; try warmup_epochs, free_bits, a lower beta or a "
                "lower learning rate",
                RuntimeWarning,
                stacklevel=2,
            )

    def _keep(self, epoch: int) -> None:
        if self.job.first:
            with alone():
                self.twin.set_weights(self.model.get_weights())
                self.run.save_model(self.twin)
            # Last, because a resume trusts the checkpoint.
            self.run.save_checkpoint(epoch, self._variables())
        self.epochs_done = epoch

    def _variables(self) -> list[Any]:
        return [*self.model.weights, self.model.seed_generator.state, *self.model.optimizer.variables]


class Progress(keras.callbacks.Callback):
    """One line per epoch and, if wanted and on a terminal, a bar while the epoch runs; both on stderr."""

    def __init__(self, bar: bool, epochs: int):
        super().__init__()
        self.with_bar, self.epochs = bar and sys.stderr.isatty(), epochs
        self.bar: tqdm | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Open the epoch's bar."""
        self.began = time.perf_counter()
        if self.with_bar:
            layout = "{desc} {percentage:3.0f}%|{bar:20}| {elapsed}<{remaining}{postfix}"
            self.bar = tqdm(
                total=self.params["steps"],
                desc=self._name(epoch),
                bar_format=layout,
                file=sys.stderr,
                dynamic_ncols=True,
                leave=False,
            )

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Move the bar."""
        if self.bar is not None:
            self.bar.set_postfix_str(_summary(logs or {}), refresh=False)
            # The last call may be of fewer steps than Keras counts.
            self.bar.update(min(batch + 1, self.params["steps"]) - self.bar.n)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Replace the bar by the epoch's line."""
        logs = logs or {}
        self.close()
        seconds = time.perf_counter() - self.began
        text = f"{_summary(logs)} | validation {_summary(logs, 'val_')}"
        print(f"{self._name(epoch)} {seconds:.0f}s {text}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Take the bar away, so that the next line begins where it stood."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def _name(self, epoch: int) -> str:
        return f"epoch {epoch + 1:{len(str(self.epochs))}}/{self.epochs}"


def _summary(logs: dict[str, Any], prefix: str = "") -> str:
    return " ".join(f"{name} {float(logs[prefix + name]):.2f}" for name in METRICS if prefix + name in logs)


def _tensorboard(run: Run, wanted: bool) -> list[keras.callbacks.Callback]:
    if not wanted:
        return []
    writer = _summary_writer()(str(run.folder / "tensorboard"))

    def write(epoch: int, logs: dict[str, Any]) -> None:
        for name, value in logs.items():
            part = "validation" if name.startswith("val_") else "train"
            writer.add_scalar(f"{name.removeprefix('val_')}/{part}", float(value), epoch + 1)
        writer.flush()

    return [keras.callbacks.LambdaCallback(on_epoch_end=write, on_train_end=lambda logs: writer.close())]


def _summary_writer() -> type:
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise ImportError(
            "Expected the package tensorboardX for --tensorboard (pip install 'digitvae[tensorboard]'). "
            "Received: it is not installed"
        ) from error
    return SummaryWriter
