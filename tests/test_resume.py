"""A run that is interrupted and killed ends as it would have without: to the last bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from digitvae.runs import Run, load

pytestmark = pytest.mark.backend

EPOCHS = 3
SETTINGS = {
    "architecture": "dense", "width": 16, "blocks": 1, "latent_dim": 4, "prior": "flow", "flow_hidden": 8,
    "epochs": EPOCHS, "precision": "float32", "warmup_epochs": 1.5,
    # Enough steps an epoch that a signal after an epoch lands inside the next one.
    "batch_size": 4 if keras.backend.backend() == "torch" else 1,
}  # fmt: skip
# A shell starts background jobs with interrupts ignored, and children inherit it: CI may be such a job.
COMMAND = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from digitvae.cli import main
sys.exit(main())
"""


@pytest.fixture(scope="module")
def command(environment, digits, tmp_path_factory):
    """Starts `digitvae train` with more arguments in one folder, which it returns along with the process."""
    folder = tmp_path_factory.mktemp("resume")
    (folder / "settings.json").write_text(json.dumps(SETTINGS))

    def start(*arguments):
        return subprocess.Popen(
            [sys.executable, "-c", COMMAND, "train", *arguments, "--json"],
            cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    start.folder = folder
    start.fresh = lambda name: start("--config", "settings.json", "--data", str(digits), "--run", name)
    return start


def wait_into_epoch_after(run, done, process):
    """Waits until the checkpoint of `done` epochs is written and the next epoch is under way."""
    path = run / "checkpoint" / "state.npz"
    while process.poll() is None:
        if path.exists():
            with np.load(path) as stored:
                if stored["epoch"] == done:
                    break
        time.sleep(0.01)
    time.sleep(0.1)


@pytest.fixture(scope="module")
def runs(command):
    """Runs of one config: A in one go; B interrupted in epoch 2, killed in epoch 3, resumed each time."""
    process = command.fresh("A")
    outputs = {"A": process.communicate()}
    assert process.returncode == 0, outputs["A"]

    b = command.folder / "B"
    process = command.fresh("B")
    wait_into_epoch_after(b, 1, process)
    process.send_signal(signal.SIGINT)
    outputs["interrupted"] = (*process.communicate(), process.returncode)
    rows = [len(Run.open(b).history()["epoch"])]
    usable = load(b).generate(3)

    process = command("--resume", "B")
    wait_into_epoch_after(b, 2, process)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    rows.append(len(Run.open(b).history()["epoch"]))

    process = command("--resume", "B")
    outputs["B"] = process.communicate()
    assert process.returncode == 0, outputs["B"]
    return outputs, rows, usable


def test_the_signals_came_inside_an_epoch(runs):
    assert runs[1] == [1, 2]


def test_an_interruption_is_one_line_and_code_130(runs):
    out, err, code = runs[0]["interrupted"]
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
    a, b = (json.loads(runs[0][name][0]) for name in "AB")
    assert a["test"] == b["test"]


def test_nothing_half_written_is_left(runs, command):
    names = {name for _, _, files in os.walk(command.folder / "B") for name in files}
    assert not [name for name in names if name.startswith(".")]
