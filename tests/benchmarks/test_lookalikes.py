"""Generated garments are data sets that digitvae reads and trains on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from digitvae.data import load_dataset

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def lookalikes(python, tmp_path):
    counts = ["--count", 120, "--test-count", 20, "--folder-count", 70]
    done = python(FOLDER / "lookalikes.py", "out", *counts, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return tmp_path / "out"


def test_both_sets_are_read_with_their_labels(lookalikes):
    files, folder = load_dataset(lookalikes / "garments"), load_dataset(lookalikes / "folder")
    assert (files.train_images.shape, len(files.test_images)) == ((120, 28, 28), 20)
    assert (folder.train_images.shape, len(folder.test_images)) == ((60, 33, 47), 10)
    assert np.bincount(files.train_labels).tolist() == [12] * 10
    assert set(folder.train_labels) == set(range(10))
    for images in (files.train_images, folder.train_images):
        assert (images.min(), (images > 0).mean((1, 2)).min() > 0.03) == (0, True)
        assert len(np.unique(images, axis=0)) == len(images)


@pytest.mark.slow
@pytest.mark.parametrize("data", ["garments", "folder"])
def test_they_are_trained_on_from_the_command_line(lookalikes, python, data):
    arguments = ["--data", data, "--recipe", "quick", "--epochs", 1, "--run", "run"]
    done = python("-m", "digitvae", "train", *arguments, cwd=lookalikes)
    assert done.returncode == 0, done.stderr
    run = lookalikes / "run"
    assert {path.name for path in run.iterdir()} >= {"model.keras", "evaluation.json"}
    assert list((run / "figures").glob("*.png"))
