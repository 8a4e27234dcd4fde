"""Training while it runs: divergence, collapse, and the lines and bars of epochs."""

from __future__ import annotations

import contextlib
import io
import re
import sys
import warnings

import numpy as np
import pytest

from digitvae.callbacks import Progress, RunWriter, TrainingDiverged
from digitvae.runs import Run, load
from digitvae.training import TrainingInterrupted, train

# After an epoch or two of a tiny model the code may say little; one test below is about that warning.
pytestmark = pytest.mark.filterwarnings("ignore:the posterior has collapsed:RuntimeWarning")


@pytest.mark.parametrize(("first", "stops"), [(1e3, False), (1e5, True), (float("nan"), True)])
def test_an_explosion_among_the_first_steps_is_seen(tmp_path, tiny, first, stops):
    writer = RunWriter(Run.create(tiny(), (9, 13), "", tmp_path / "run"), None, None, None)
    writer.epoch = 0
    with pytest.raises(TrainingDiverged) if stops else contextlib.nullcontext():
        writer.on_train_batch_end(9, {"loss": first})


def test_an_epoch_that_ends_broken_is_not_kept(tiny, dataset, tmp_path):
    # One batch an epoch: the loss before the step is fine, the weights after it are not.
    with pytest.raises(TrainingDiverged):
        train(tiny(learning_rate=1e9, batch_size=128, epochs=3), dataset, tmp_path / "run", progress=False)
    run = Run.open(tmp_path / "run")
    assert np.isfinite(list(run.history().values())).all()
    assert max(np.abs(weight.numpy()).max() for weight in load(run.folder).weights) < 100


def test_only_the_epochs_before_the_divergence_are_kept(tiny, dataset, tmp_path, monkeypatch):
    original = RunWriter.on_train_batch_end

    def break_second_epoch(self, batch, logs=None):
        original(
            self, batch, {**(logs or {}), "loss": float("nan")} if self.epoch == 1 and batch >= 2 else logs
        )

    monkeypatch.setattr(RunWriter, "on_train_batch_end", break_second_epoch)
    with pytest.raises(TrainingDiverged, match="in epoch 2; the weights after epoch 1 are kept"):
        train(tiny(prior="flow"), dataset, tmp_path / "run", progress=False)
    run = Run.open(tmp_path / "run")
    assert run.history()["epoch"] == [1]
    assert load(run.folder).generate(1).shape == (1, 9, 13)


def test_a_density_near_zero_at_the_start_is_no_reason_to_stop(tmp_path, tiny, dataset):
    # Nats of a density may be negative: ten times a first loss near zero is near zero too.
    writer = RunWriter(Run.create(tiny(), (9, 13), "", tmp_path / "run"), None, None, None)
    writer.epoch = 0
    for loss in (0.01, 2.0, -50.0):
        writer.on_train_batch_end(0, {"loss": loss})


@pytest.mark.parametrize(("beta", "said"), [(1000.0, True), (0.0, False)], ids=["collapsed", "healthy"])
def test_a_collapsed_posterior_is_said(tiny, dataset, tmp_path, beta, said):
    # Nothing pulls the healthy posterior to the prior: its KL is above 0.9 nats after the first epoch.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(tiny(beta=beta, learning_rate=0.03, epochs=4), dataset, tmp_path / "run", progress=False)
    warned = [str(w.message) for w in caught if issubclass(w.category, RuntimeWarning)]
    assert len(warned) == said
    assert all(text.startswith("the posterior has collapsed to the prior: kl is") for text in warned)


def test_without_a_terminal_progress_is_a_line_an_epoch(tiny, dataset, tmp_path, capsys):
    train(tiny(), dataset, tmp_path / "run")
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 2
    assert all(
        line.startswith(f"epoch {i + 1}/2") and "validation elbo" in line for i, line in enumerate(lines)
    )


def test_a_missing_tensorboard_is_said_before_anything_is_written(tiny, dataset, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match="Expected the package tensorboardX"):
        train(tiny(), dataset, tmp_path / "run", progress=False, tensorboard=True)
    assert not (tmp_path / "run").exists()


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_a_bar_runs_and_leaves_the_line_of_its_epoch(tiny, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stderr", Terminal())
    train(tiny(epochs=2), dataset, tmp_path / "run")
    shown = sys.stderr.getvalue()
    assert shown.count("%|") >= 2
    lines = [line for line in shown.split("\n") if " | validation elbo " in line]
    assert [line.split("\r")[-1].split()[:2] for line in lines] == [["epoch", "1/2"], ["epoch", "2/2"]]


def test_the_bar_is_full_after_the_last_of_several_steps_at_a_time(monkeypatch):
    monkeypatch.setattr("sys.stderr", Terminal())
    progress = Progress(True, 1)
    progress.set_params({"steps": 430})
    progress.on_epoch_begin(0)
    progress.bar.mininterval = 0
    for batch in (39, 439):  # as Keras counts calls of 40 steps
        progress.on_train_batch_end(batch)
    progress.close()
    assert re.findall(r"(\d+)%\|", sys.stderr.getvalue()) == ["0", "9", "100"]


def test_an_interruption_takes_the_bar_away(tiny, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stderr", Terminal())

    def interrupt(self, batch, logs=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(RunWriter, "on_train_batch_end", interrupt)
    with pytest.raises(TrainingInterrupted) as caught:
        train(tiny(), dataset, tmp_path / "run")
    # Its place is cleared and the cursor is at the beginning, while the error still holds all frames.
    assert re.search(r"\r +\r$", sys.stderr.getvalue())
    assert caught
