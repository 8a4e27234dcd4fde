"""Several real processes train one model: as one process would, and none waits for one that is lost."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from digitvae.rows import Share
from digitvae.runs import Run

pytest.importorskip("jax")

SETTINGS = {
    "architecture": "dense", "width": 16, "blocks": 1, "latent_dim": 4, "prior": "flow", "flow_couplings": 2,
    "flow_hidden": 8, "augment": 0.5, "epochs": 12, "averaging_epochs": 4.0,
    # One batch an epoch: the history has the loss of every step. Two processes cannot share it evenly.
    "batch_size": 549,
}  # fmt: skip


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def start(environment, digits, tmp_path_factory):
    """Starts the processes of a training; index and count come by Keras' variables."""
    folder = tmp_path_factory.mktemp("jobs")
    (folder / "settings.json").write_text(json.dumps(SETTINGS))

    def run(count, *arguments, fresh=True, **more):
        port, options = free_port(), ["--config", "settings.json", "--data", str(digits)] if fresh else []
        job = [] if count == 1 else ["--distributed", "--job-addresses", f"127.0.0.1:{port}"]
        started = []
        for index in range(count):
            variables = {
                "KERAS_BACKEND": "jax",
                "KERAS_DISTRIBUTION_NUM_PROCESSES": str(count),
                "KERAS_DISTRIBUTION_PROCESS_ID": str(index),
            }
            command = [sys.executable, "-m", "digitvae", "train"]
            started.append(
                subprocess.Popen(
                    [*command, *job, *options, *arguments], cwd=folder, env={**environment, **variables},
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more,
                )
            )  # fmt: skip
        return started

    run.folder = folder
    return run


def history(folder):
    with (folder / "history.csv").open() as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.mark.distributed
def test_two_processes_compute_what_one_would(start):
    for count in (1, 2):
        processes = start(count, "--run", f"run{count}", "--json")
        outputs = [process.communicate() for process in processes]
        assert [process.returncode for process in processes] == [0] * count, outputs
        # The first process alone speaks.
        assert json.loads(outputs[0][0])["test"]["images"] == 100
        assert all(output == ("", "") for output in outputs[1:])
    for ours, theirs in zip(history(start.folder / "run2"), history(start.folder / "run1"), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-3)
    names = ["run1", "run2"]
    pictures = [Run.open(start.folder / name).load_light().decode(np.zeros((1, 4))) for name in names]
    assert np.abs(pictures[0].astype(int) - pictures[1]).max() <= 1


@pytest.mark.distributed
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_others_and_the_run_goes_on(start, victim):
    name = f"killed{victim}"
    started = start(2, "--run", name, "--epochs", "2000", start_new_session=True)
    path = start.folder / name / "history.csv"
    while not path.exists():
        assert all(process.poll() is None for process in started), started[victim].communicate()
        time.sleep(0.2)
    # The process that computes is a child of the one that was started; both are of one session.
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(started[victim].pid)], capture_output=True, text=True, check=True
    )
    os.kill(int(children.stdout), signal.SIGKILL)
    killed = time.monotonic()
    other = started[1 - victim]
    _, errors = other.communicate(timeout=120)
    assert time.monotonic() - killed < 60
    assert other.returncode == 1
    *_, last = errors.splitlines()
    assert last.startswith(
        "digitvae: error: Expected all 2 processes until the end. Received: one of them was"
    )
    assert f"--resume {name} goes on" in last
    _, errors = started[victim].communicate()
    assert started[victim].returncode == 1
    assert errors.splitlines()[-1].startswith("digitvae: error: Expected process")
    done = len(history(start.folder / name))
    assert 1 <= done < 2000

    # On another number of processes, with fewer epochs left to do.
    config = json.loads((start.folder / name / "config.json").read_text())
    config["config"]["epochs"] = done + 1
    (start.folder / name / "config.json").write_text(json.dumps(config))
    (resumed,) = start(1, "--resume", name, fresh=False)
    outputs = resumed.communicate()
    assert resumed.returncode == 0, outputs
    assert [row["epoch"] for row in history(start.folder / name)] == list(range(1, done + 2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--distributed"], "Expected --backend jax with --distributed. Received: tensorflow"),
        (["--num-processes", "2"], "Expected --num-processes with --distributed. Received: no --distributed"),
        (
            ["--distributed", "--backend", "jax", "--job-addresses", "here:1", "--num-processes", "2"],
            "Expected --process-id or KERAS_DISTRIBUTION_PROCESS_ID with --distributed. Received: neither",
        ),
        (
            ["--distributed", "--backend", "jax", "--job-addresses", "a:1,b:1,c:1", "--num-processes", "2",
             "--process-id", "0"],
            "Expected one address, or one for each of 2 processes. Received: 3",
        ),
        (
            ["--distributed", "--backend", "jax", "--job-addresses", "here", "--num-processes", "2",
             "--process-id", "0"],
            "Expected host:port as the address of process 0. Received: here",
        ),
        (
            ["--distributed", "--backend", "jax", "--job-addresses", "here:1", "--num-processes", "2",
             "--process-id", "2"],
            "Expected a process id from 0 to 1 of 2 processes. Received: 2",
        ),
    ],
)  # fmt: skip
def test_jobs_that_cannot_be_are_refused_at_once(arguments, message, capsys, monkeypatch):
    from digitvae.cli import main

    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    assert main(["train", *arguments]) == 2
    assert capsys.readouterr().err == f"digitvae: error: {message}\n"


@pytest.mark.parametrize(("size", "devices"), [(12, 1), (12, 2), (12, 4), (13, 2), (13, 4), (3, 4), (1, 4)])
def test_shares_cover_a_batch_and_weigh_it_evenly(size, devices):
    parts = [Share(index, devices, devices).rows(size) for index in range(devices)]
    values = np.random.default_rng(0).normal(size=size)
    found = [values[rows] * (1 if weights is None else weights) for rows, weights in parts]
    assert len({len(part) for part in found}) == 1
    assert np.concatenate(found).mean() == pytest.approx(values.mean())
    kept = [values[rows] if weights is None else values[rows][weights > 0] for rows, weights in parts]
    assert np.concatenate(kept).tolist() == values.tolist()
