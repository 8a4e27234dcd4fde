"""A run that is interrupted and killed ends as it would have without: to the last bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from digitvae.runs import Run, load

pytestmark = pytest.mark.backend

EPOCHS = 3
SETTINGS = {
    "architecture": "dense", "width": 16, "blocks": 1, "latent_dim": 4, "prior": "flow", "flow_hidden": 8,
    "epochs": EPOCHS, "precision": "float32", "warmup_epochs": 1.5, "batch_size": 4,
}  # fmt: skip
# The process sends itself the signal, in the middle of the epoch that its two first arguments name, or before
# its first checkpoint: sent from here, it would come too early or too late on a busy or a fast machine.
# A shell starts background jobs with interrupts ignored, and children inherit it: CI may be such a job.
COMMAND = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from digitvae.cli import main
from digitvae.cli.common import start_backend
start_backend(None)
from digitvae.runs import Run
from digitvae.callbacks import RunWriter
name, epoch = sys.argv[1:3]
del sys.argv[1:3]
on_train_batch_end = RunWriter.on_train_batch_end
def with_signal(self, batch, logs=None):
    on_train_batch_end(self, batch, logs)
    if str(self.epoch + 1) == epoch and 0 < batch < len(self.batches) - 1:
        os.kill(os.getpid(), getattr(signal, name))
RunWriter.on_train_batch_end = with_signal
if epoch == "start":
    Run.save_checkpoint = lambda *_: os.kill(os.getpid(), getattr(signal, name))
sys.exit(main())
"""


@pytest.fixture(scope="module")
def command(environment, digits, tmp_path_factory):
    """Runs `digitvae train`, sends it a signal inside an epoch; returns code, stdout and stderr."""
    folder = tmp_path_factory.mktemp("resume")
    (folder / "settings.json").write_text(json.dumps(SETTINGS))

    def run(*arguments, signal_name="none", epoch=0):
        done = subprocess.run(
            [sys.executable, "-c", COMMAND, signal_name, str(epoch), "train", *arguments, "--json"],
            cwd=folder, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    run.folder = folder
    run.fresh = ("--config", "settings.json", "--data", str(digits), "--run")
    return run


@pytest.fixture(scope="module")
def runs(command):
    """Runs of one config: A in one go; B killed at the start, interrupted in epoch 2, killed in epoch 3."""
    outputs = {"A": command(*command.fresh, "A")}
    assert outputs["A"][0] == 0, outputs["A"]

    b = command.folder / "B"
    outputs["early"] = command(*command.fresh, "B", signal_name="SIGKILL", epoch="start")
    assert outputs["early"][0] == -signal.SIGKILL
    assert not (b / "checkpoint" / "state.npz").exists()

    outputs["interrupted"] = command("--resume", "B", signal_name="SIGINT", epoch=2)
    rows = [len(Run.open(b).history()["epoch"])]
    usable = load(b).generate(3)

    outputs["killed"] = command("--resume", "B", signal_name="SIGKILL", epoch=3)
    assert outputs["killed"][0] == -signal.SIGKILL
    rows.append(len(Run.open(b).history()["epoch"]))

    outputs["B"] = command("--resume", "B")
    assert outputs["B"][0] == 0, outputs["B"]
    return outputs, rows, usable


def test_the_signals_came_inside_an_epoch(runs):
    assert runs[1] == [1, 2]


def test_an_interruption_is_one_line_and_code_130(runs):
    code, out, err = runs[0]["interrupted"]
    assert code == 130
    assert out == ""
    last = err.splitlines()[-1]
    assert last == "digitvae: interrupted; 1 of 3 epochs are kept in B, --resume B goes on from there"
    assert "Traceback" not in err
    assert all(line.startswith("epoch ") for line in err.splitlines()[:-1])


def test_an_interrupted_run_is_usable(runs):
    assert runs[2].shape == (3, 28, 28)


def test_the_histories_are_equal(runs, command):
    rows = [(command.folder / name / "history.csv").read_text().splitlines() for name in "AB"]
    without_seconds = [[row.rsplit(",", 1)[0] for row in table] for table in rows]
    assert rows[0][0].endswith(",seconds")
    assert without_seconds[0] == without_seconds[1]
    assert len(rows[0]) == EPOCHS + 1


def test_the_checkpoints_are_equal(runs, command):
    with (
        np.load(command.folder / "A" / "checkpoint" / "state.npz") as a,
        np.load(command.folder / "B" / "checkpoint" / "state.npz") as b,
    ):
        assert a.files == b.files
        for name in a.files:
            np.testing.assert_array_equal(a[name], b[name])


def test_the_models_are_equal(runs, command):
    for a, b in zip(*(load(command.folder / name).weights for name in "AB"), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_the_evaluations_are_equal(runs):
    a, b = (json.loads(runs[0][name][1]) for name in "AB")
    assert a["test"] == b["test"]


def test_nothing_half_written_is_left(runs, command):
    names = {name for _, _, files in os.walk(command.folder / "B") for name in files}
    assert not [name for name in names if name.startswith(".")]
