"""Saved runs of tiny models of 28x28 digits, and the command line in this process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from digitvae.building import build
from digitvae.data import load_dataset
from digitvae.runs import Run


def _saved(config, folder, labelled):
    dataset = load_dataset()
    images, labels = dataset.train_images[:100], dataset.train_labels[:100]
    run = Run.create(config, (28, 28), dataset.sha256, folder)
    run.save_model(build(config, (28, 28), images=images, labels=labels if labelled else None))
    return run.folder


@pytest.fixture(scope="session")
def labelled(tiny, tmp_path_factory) -> Path:
    """The run folder of a model whose prior depends on the digit."""
    config = tiny(architecture="dense", prior="flow", condition="label")
    return _saved(config, tmp_path_factory.mktemp("labelled") / "run", True)


@pytest.fixture(scope="session")
def plain(tiny, tmp_path_factory) -> Path:
    """The run folder of a model without labels."""
    return _saved(tiny(architecture="dense"), tmp_path_factory.mktemp("plain") / "run", False)


@pytest.fixture
def digitvae(monkeypatch, tmp_path, capsys):
    """Return a runner of `digitvae ARGS --json` in an empty folder that gives the JSON object."""
    from digitvae import cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("warnings.showwarning", None)

    def run(*arguments):
        code = cli.main([*map(str, arguments), "--json"])
        out, err = capsys.readouterr()
        assert code == 0, err
        return json.loads(out)

    return run
