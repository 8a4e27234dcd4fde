"""A job: a verb over all shards of a data set, one shard at a time, by whoever does it."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import digitvae
from digitvae.mapping.rows import FUNCTIONS, Columns, Options, results
from digitvae.onnx import Export
from digitvae.runs import versions
from digitvae.shards import BadRow, Place, Shard, ShardFile, decoded, encoded, encoded_table
from digitvae.trained import TrainedModel

THREADS = dict.fromkeys(
    (
        "MKL_NUM_THREADS",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "TF_NUM_INTEROP_THREADS",
        "TF_NUM_INTRAOP_THREADS",
    ),
    "1",
)
"""Environment of a worker: the rounding of a product may depend on the number of threads."""
_LIBRARIES = ("numpy", "keras", "onnxruntime", "constriction")


@dataclass(frozen=True)
class Settings:
    """What the results depend on besides the data; two jobs with the same settings are the same job.

    Attributes:
        verb: what is done.
        model_sha256: of the model's file.
        engine: what computes: `numpy`, `onnx`, the name of a backend of Keras, or `codec`.
        seed: of all noise.
        draws: posterior draws per image; 0 for verbs without.
        bits: whether grey images get bits.
        skip_bad_rows: whether bad rows are set aside, in place of an error.
    """

    verb: str
    model_sha256: str
    engine: str
    seed: int
    draws: int
    bits: bool
    skip_bad_rows: bool

    def as_json(self) -> dict[str, Any]:
        """Return them as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Job:
    """All that a worker must know; it can be sent to other processes and machines.

    Attributes:
        settings: what the results depend on.
        model: path of the model, which workers load, or the name of a shipped one; for `compress` the file.
        image_shape: (height, width) that the model takes.
        data: where the shards lie.
        output: where results go.
    """

    settings: Settings
    model: str
    image_shape: tuple[int, int]
    data: Place
    output: Place

    def output_name(self, shard: str) -> str:
        """Return the name of the file that is made of a shard."""
        return f"{shard}.dvc" if self.settings.verb == "compress" else shard


def manifest_name(shard: str) -> str:
    """Return the name of the file that says that a shard is done."""
    return f"{shard}.json"


def bad_rows_name(shard: str) -> str:
    """Return the name of the file that lists the rows of a shard that were set aside."""
    return f"{shard}.bad.json"


class Worker:
    """Does one shard after another of a job with a model that it loads once.

    Args:
        job: what to do.

    Raises:
        ValueError: the model is damaged, or another one by now.
    """

    def __init__(self, job: Job):
        self._job = job
        self._results = _compressing(job) if job.settings.engine == "codec" else _computing(job)
        self._versions = {"digitvae": digitvae.__version__, **versions(_LIBRARIES)}

    def __call__(self, shard: ShardFile) -> dict[str, Any]:
        """Do one shard: read it, compute, write the result, then the manifest, each file whole.

        Returns:
            The manifest.

        Raises:
            OSError: a file cannot be read or written.
            ValueError: the shard is damaged, or has a bad row that is not to be skipped.
        """
        job = self._job
        content = job.data.read(shard.name)
        bad: list[BadRow] | None = [] if job.settings.skip_bad_rows else None
        rows = decoded(content, f"{job.data}/{shard.name}", shard.first, job.image_shape, bad)
        output = self._results(rows, shard.name)
        name = job.output_name(shard.name)
        job.output.write(name, output)
        if bad:
            listed = [row._asdict() for row in bad]
            job.output.write(bad_rows_name(shard.name), _json({"shard": shard.name, "rows": listed}))
        manifest = {
            "shard": shard.name,
            "output": name,
            "rows": len(rows.ids),
            "bad_rows": len(bad or ()),
            "input_rows": shard.rows,
            "input_sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(output),
            "sha256": hashlib.sha256(output).hexdigest(),
            "model_sha256": job.settings.model_sha256,
            "versions": self._versions,
        }
        # Last, because it is what a second call believes.
        job.output.write(manifest_name(shard.name), _json(manifest))
        return manifest


def _computing(job: Job) -> Callable[[Shard, str], bytes]:
    """Return what turns rows into the content of a file by a model that encodes and decodes."""
    model, settings = load(job.model, job.settings.engine), job.settings
    options = Options(settings.seed, settings.draws, settings.bits)

    def content(rows: Shard, name: str) -> bytes:
        suffix = name[name.rindex(".") :]
        found: Columns = results(FUNCTIONS[settings.verb], model, rows, options)
        if "images" in found:
            return encoded(Shard(found["images"], rows.labels, rows.ids), suffix)
        return encoded_table(rows, found, suffix)

    return content


def _compressing(job: Job) -> Callable[[Shard, str], bytes]:
    from digitvae.codec import read_codec_model, write

    model = read_codec_model(Path(job.model))

    def content(rows: Shard, name: str) -> bytes:
        file = io.BytesIO()
        names = {"ids": rows.ids.tolist(), "labels": rows.labels.tolist()}
        write(file, [rows.images], model, names, workers=1)
        return file.getvalue()

    return content


def load(model: str, engine: str) -> TrainedModel:
    """Load a model for an engine.

    Args:
        model: path of a run or an export, or the name of a shipped model.
        engine: as in `Settings`.

    Raises:
        ValueError: a damaged model.
    """
    from digitvae.exporting import find_model

    found = find_model(model)
    if isinstance(found, Export):
        return found.load()
    if engine == "numpy":
        return found.load_light()
    os.environ["KERAS_BACKEND"] = engine
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return found.load_model()


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()
