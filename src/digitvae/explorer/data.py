"""What the page shows beside the model: the map of the test images, the latents' order, usual likelihoods.

The data of a run are made once and kept in its folder, `explorer/`; shipped models have theirs.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from digitvae.config import Config
from digitvae.data import Dataset
from digitvae.explorer.projection import map_of_neighbours
from digitvae.explorer.rounding import rounded
from digitvae.files import DiskFull, read_json, written_whole
from digitvae.runs import Run
from digitvae.streaming import load_dataset, training_and_validation
from digitvae.trained import TrainedModel

FOLDER = "explorer"
"""In the run folder."""
FACTS, MAP = "explorer.json", "map.bin"
FORMAT = 2
POINTS = 2_000
"""Test images on the map, where there are as many: with NumPy a matter of seconds."""
NO_LABEL = 255
_QUANTILES = np.linspace(0, 1, 101)
_BATCH = 250


def prepare(run: Run, model: TrainedModel, points: int = POINTS) -> dict[str, bytes]:
    """Return the data of a run: those that its folder keeps, or new ones, which it then keeps if it can.

    Args:
        run: the run.
        model: its model.
        points: how many test images new data have on the map at most.

    Returns:
        The files by name, `explorer.json` and `map.bin`.

    Raises:
        FileNotFoundError: the data that the run was trained on are gone.
        ValueError: other data stand in their place.
    """
    sha256 = hashlib.sha256((run.folder / "model.keras").read_bytes()).hexdigest()
    kept = _kept(run.folder / FOLDER, sha256)
    if kept is not None:
        return kept
    dataset = load_dataset(run.config.data)
    run.check_data(dataset)
    found = _made(model, dataset, run.config, points, sha256)
    # A run of somebody else, or a full disk: then the data are made again the next time.
    with suppress(PermissionError, DiskFull, OSError):
        (run.folder / FOLDER).mkdir(exist_ok=True)
        for name in (MAP, FACTS):  # the facts last: they tell that the map is there
            with written_whole(run.folder / FOLDER / name, len(found[name])) as temporary:
                temporary.write_bytes(found[name])
    return found


def _kept(folder: Path, sha256: str) -> dict[str, bytes] | None:
    """Return the data in a folder if they are whole and of this model."""
    try:
        facts = read_json(folder / FACTS)
        found = {name: (folder / name).read_bytes() for name in (FACTS, MAP)}
        same = (facts["format"], facts["model_sha256"]) == (FORMAT, sha256)
        whole = len(found[MAP]) == _map_bytes(facts["points"], facts["latent_dim"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if same and whole else None


def _made(
    model: TrainedModel, dataset: Dataset, config: Config, points: int, sha256: str
) -> dict[str, bytes]:
    from tqdm import tqdm  # only new data take long

    images = dataset.test_images[:points]
    _, usual = training_and_validation(dataset)
    means, log_scales, nats = [], [], []
    count = min(len(usual.images), max(1, points // 4))
    with tqdm(total=len(images) + count, desc="map of the test images", disable=None, leave=False) as bar:
        for start in range(0, len(images), _BATCH):
            mean, log_scale = model.encode_posterior(images[start : start + _BATCH])
            means.append(mean)
            log_scales.append(log_scale)
            bar.update(len(mean))
        for start in range(0, count, _BATCH):
            nats.append(_nats(model, usual.images[start : min(start + _BATCH, count)]))
            bar.update(len(nats[-1]))
    latents, log_scale = np.concatenate(means), np.concatenate(log_scales)
    places = map_of_neighbours(latents, config.seed)
    labels = _labels(dataset.test_labels, len(images))
    # Var(z) = Var(E[z|x]) + E[Var(z|x)]
    scale = np.sqrt(latents.var(axis=0, dtype="float64") + np.exp(2.0 * log_scale).mean(axis=0))
    # I(x; z_i) <= h of a Gaussian of that variance - h(z_i|x), nats
    information = np.log(scale) - log_scale.mean(axis=0, dtype="float64")
    facts: dict[str, Any] = {
        "format": FORMAT,
        "model_sha256": sha256,
        "points": len(images),
        "latent_dim": model.latent_dim,
        "map": MAP,
        "map_labels": bool((labels != NO_LABEL).any()),
        "set": f"test images of {'MNIST' if dataset.name == 'mnist' else dataset.name}",
        "information": np.argsort(-information, kind="stable").tolist(),
        "information_nats": _rounded(information),
        "latent_mean": _rounded(latents.mean(axis=0, dtype="float64")),
        "latent_scale": _rounded(scale),
        "calibration": _rounded(np.quantile(np.concatenate(nats), _QUANTILES)),
    }
    return {FACTS: json.dumps(facts).encode(), MAP: _map(places, labels, latents)}


def _nats(model: TrainedModel, images: np.ndarray) -> np.ndarray:
    """Return -log p(x|z) - log p(z) at the posterior mean z, float64 (n,): how unusual an image is.

    Without noise, so that the page can compute the same number of a drawing.
    """
    z = model.encode(images)
    return -(model.log_likelihood(images, z).astype("float64") + model.log_prior(z))


def _labels(labels: np.ndarray | None, count: int) -> np.ndarray:
    if labels is None:
        return np.full(count, NO_LABEL, "uint8")
    known = labels[:count]
    return np.where((known >= 0) & (known < NO_LABEL), known, NO_LABEL).astype("uint8")


def _map(places: np.ndarray, labels: np.ndarray, latents: np.ndarray) -> bytes:
    """Return x, y (float32), labels (uint8) and, from the next multiple of 4 on, one latent after the other.

    Each latent has a float32 scale and for every point a multiple of it, int8: less than what the encoder is
    unsure of.
    """
    content = np.ascontiguousarray(places.T, "<f4").tobytes() + labels.tobytes()
    return content + bytes(-len(content) % 4) + rounded(np.ascontiguousarray(latents.T), "i1")


def _map_bytes(points: int, latent_dim: int) -> int:
    return 9 * points + -9 * points % 4 + (4 + points) * latent_dim


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in values]
