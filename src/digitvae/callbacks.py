"""What training does beside its steps: it writes the run folder, shows progress, stops where it diverges."""

from __future__ import annotations

import math
import sys
import time
import warnings
from contextlib import ExitStack
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from digitvae.batches import ShuffledBatches
from digitvae.distributed import Processes, alone
from digitvae.explorer.film import Camera
from digitvae.model import METRICS, VAE
from digitvae.optimizers import averaged_weights
from digitvae.runs import Run

# Below this, in nats, the latents carry nothing of the image; a healthy model is above 10.
COLLAPSED_KL = 0.1


class TrainingDiverged(RuntimeError):
    """The loss is not finite, or far above its first value."""


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
        self.measuring = ExitStack()

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

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Let averages of the weights be measured, where there are any."""
        self.measuring.enter_context(averaged_weights(self.model))

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """Go on with the weights themselves."""
        self.measuring.close()

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
        # All processes exchange the weights, since they are one array of all.
        with averaged_weights(self.model):
            if self.job.first:
                with alone():
                    self.twin.set_weights(self.model.get_weights())
                    self.run.save_model(self.twin)
        if self.job.first:
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


def tensorboard_events(run: Run) -> keras.callbacks.Callback:
    """Return what writes TensorBoard events into the run folder.

    Raises:
        ImportError: as `summary_writer`.
    """
    writer = summary_writer()(str(run.folder / "tensorboard"))

    def write(epoch: int, logs: dict[str, Any]) -> None:
        for name, value in logs.items():
            part = "validation" if name.startswith("val_") else "train"
            writer.add_scalar(f"{name.removeprefix('val_')}/{part}", float(value), epoch + 1)
        writer.flush()

    return keras.callbacks.LambdaCallback(on_epoch_end=write, on_train_end=lambda logs: writer.close())


def summary_writer() -> type:
    """Return the class that writes TensorBoard events.

    Raises:
        ImportError: its package is not installed.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise ImportError(
            "Expected the package tensorboardX for --tensorboard (pip install 'digitvae[tensorboard]'). "
            "Received: it is not installed"
        ) from error
    return SummaryWriter
