"""What is checked before the work, so that nothing wrong is found after hours."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from digitvae.exporting import codec_file, find_model
from digitvae.light import NeedsKeras
from digitvae.mapping.job import Job, Settings
from digitvae.mapping.rows import FUNCTIONS
from digitvae.onnx import Export
from digitvae.runs import run_names
from digitvae.shards import ShardedData, place

VERBS = (*FUNCTIONS, "compress")
JOB = "_job.json"


def prepare(
    verb: str,
    model: str,
    data: ShardedData,
    output: str,
    seed: int = 0,
    draws: int = 50,
    backend: str | None = None,
    skip_bad_rows: bool = False,
) -> Job:
    """Check everything and make the output folder.

    Args:
        verb: one of `VERBS`.
        model: a run folder, `latest`, a shipped model, or one exported as onnx; for `compress` one with a
            codec model.
        data: the shards; no id may be in two of them.
        output: path or URL of a new folder, or one of the same job.
        seed: of all noise.
        draws: posterior draws per image for `score`.
        backend: of Keras, to compute with it; by default NumPy, or ONNX Runtime for an exported model.
        skip_bad_rows: whether bad rows are set aside.

    Raises:
        OSError: the output cannot be written.
        ValueError: no such model, or a model that cannot do this; images of another size; ids that are not
            unique; or an output folder of something else.
    """
    if verb == "compress":
        from digitvae.codec import read_codec_model

        file = codec_file(model).resolve()
        image_shape, engine, bits = read_codec_model(file).image_shape, "codec", False
        name = str(file)
    else:
        image_shape, engine, bits, file = _model(verb, model, backend)
        # What `latest` names may change while workers start.
        name = model if model in run_names() and model != "latest" else str(file.resolve())
        file = file / "model.keras" if file.is_dir() and engine != "onnx" else file
    settings = Settings(
        verb, _sha256(file), engine, seed, draws if verb == "score" else 0, bits, skip_bad_rows
    )
    if not skip_bad_rows and data.image_shape != image_shape:
        wanted, found = (f"{height}x{width}" for height, width in (image_shape, data.image_shape))
        raise ValueError(
            f"Expected images of the model's size, {wanted} (height x width). "
            f"Received: {data.place} with {found}"
        )
    data.check_ids()
    job = Job(settings, name, image_shape, data.place, place(output))
    _claim(job, output)
    return job


def _model(verb: str, model: str, backend: str | None) -> tuple[tuple[int, int], str, bool, Path]:
    """Return size of images, engine, whether it is a model of bits, and the folder."""
    found = find_model(model)
    if isinstance(found, Export):
        if verb == "score" or backend:
            wanted = "--backend" if backend else verb
            raise ValueError(f"Expected a run for {wanted}. Received: {model}, an exported model")
        found.load()
        return found.image_shape, "onnx", False, found.folder
    engine = backend
    if engine is None:
        try:
            found.load_light()
            engine = "numpy"
        except NeedsKeras:
            engine = "tensorflow"
    return found.image_shape, engine, found.config.binarization == "dynamic", found.folder


def _sha256(path: Path) -> str:
    """Return the digest of a file, or of all files in a folder."""
    files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        if path.is_dir():
            digest.update(file.name.encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _claim(job: Job, output: str) -> None:
    """Make the output folder that of a job, or see that it is."""
    if job.output.url == job.data.url:
        raise ValueError(f"Expected another folder for the output than for the data. Received: {output}")
    job.output.make()
    try:
        stored: Any = json.loads(job.output.read(JOB))
    except (OSError, ValueError):
        stored = None
    if stored is None:
        present = job.output.names()
        if present:
            raise ValueError(
                "Expected a new or empty folder, or one of the same job. "
                f"Received: {output}, with {present[0]}"
            )
        job.output.write(JOB, (json.dumps(job.settings.as_json(), indent=1) + "\n").encode())
        return
    for name, value in job.settings.as_json().items():
        other = stored.get(name) if isinstance(stored, dict) else None
        if other != value:
            raise ValueError(
                f"Expected an output folder of the same job, {name}={value}. "
                f"Received: {output}, made with {name}={other}"
            )
