"""A saved tiny model of 9 x 13 pixels with labels, and rows for it."""

from __future__ import annotations

import numpy as np
import pytest

from digitvae.building import build
from digitvae.runs import Run
from digitvae.shards import Shard, ShardedData, place, write_shards


@pytest.fixture(scope="session")
def run(tiny, blobs, tmp_path_factory):
    """A run folder."""
    config = tiny(architecture="conv", prior="flow", condition="label")
    made = Run.create(config, (9, 13), "0" * 64, tmp_path_factory.mktemp("mapping") / "run")
    made.save_model(build(config, (9, 13), images=blobs(20), labels=np.arange(20) % 3))
    return made


@pytest.fixture(scope="session")
def rows(blobs):
    """200 rows with consecutive ids that do not begin at a full batch."""
    return Shard(blobs(200), np.arange(200) % 4 - 1, 1000 + np.arange(200))


@pytest.fixture
def sharded(tmp_path, rows):
    """Return a maker of sharded data with so many rows in a shard, in `.npz`, which needs nothing else."""

    def make(size, suffix=".npz"):
        target = place(tmp_path / f"data-{size}{suffix}")
        target.make()
        list(write_shards(target, [rows], size, suffix))
        return ShardedData(target.url)

    return make
