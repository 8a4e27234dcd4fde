"""The training as a film: after every epoch the same samples, the same reconstructions, the same points."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, final

import numpy as np

from digitvae import seeds
from digitvae.data.arrays import Part
from digitvae.explorer.projection import fitted, plane
from digitvae.files import read_json, written_whole
from digitvae.trained import TrainedModel

NAME = "film.json"
FORMAT = 1
_FOLDER = "film"
_BASE = f"{_FOLDER}/base.bin"
_FRAME = re.compile(rf"{_FOLDER}/(base|e\d{{3,}})\.bin")
_SAMPLES, _RECONSTRUCTIONS, _POINTS = 20, 10, 512
_MOST_BYTES = 8_000_000
"""Of all frames: where they would take more, every second, third ... epoch has one."""
_NO_LABEL = 255


@final
class Film:
    """The film of a run, in its folder `film/`: `film.json`, `base.bin` and a file for each frame.

    `base.bin` holds the images that are reconstructed (uint8) and the labels of the points (uint8, 255 for
    none); a frame `e012.bin` x and y of the points (float32, in [0, 1]), samples and reconstructions (uint8).

    Args:
        run: the run folder.
    """

    def __init__(self, run: Path):
        self._run = run

    def frames(self) -> list[dict[str, Any]]:
        """Return `epoch`, `elbo` and `file` of every frame there is; none of a run without a film."""
        try:
            return [frame for frame in read_json(self._run / _FOLDER / NAME)["epochs"] if frame["epoch"] > 0]
        except (OSError, ValueError, KeyError, TypeError):
            return []

    def names(self) -> list[str]:
        """Return the names of its files; none if nothing was filmed."""
        frames = self.frames()
        return [NAME, _BASE, *(frame["file"] for frame in frames)] if frames else []

    def read(self, name: str, live: bool = False) -> bytes | None:
        """Return one of its files, None if there is no such.

        Args:
            name: as `names` says, of files that may have come since.
            live: what `film.json` shall say: whether frames may be added.
        """
        try:
            if name == NAME:
                facts = read_json(self._run / _FOLDER / NAME)
                return json.dumps({**facts, "live": live}).encode()
            return (self._run / name).read_bytes() if _FRAME.fullmatch(name) else None
        except (OSError, ValueError, TypeError):
            return None


@final
class Camera:
    """Records the film of a training. It draws from streams of its own: training does not notice it.

    Args:
        run: the run folder.
        part: the validation images, whose places and reconstructions are shown, uint8, and their labels.
        epochs: how many there will be.
        seed: of the noise of the samples.
    """

    def __init__(self, run: Path, part: Part, epochs: int, seed: int):
        images, labels = part
        self._folder, self._epochs, self._seed = run / _FOLDER, epochs, seed
        self._images = images[:_POINTS]
        self._labels = None if labels is None else np.asarray(labels[:_POINTS])
        self._originals = self._images[:_RECONSTRUCTIONS]
        height, width = images.shape[1:]
        bytes_ = 8 * len(self._images) + (_SAMPLES + len(self._originals)) * height * width
        self._stride = -(-epochs * bytes_ // _MOST_BYTES)
        self._frames: list[dict[str, Any]] = []
        self._places: np.ndarray | None = None

    def start(self, done: int) -> None:
        """Begin, or go on after so many epochs."""
        self._folder.mkdir(exist_ok=True)
        film = Film(self._folder.parent)
        self._frames = [frame for frame in film.frames() if frame["epoch"] <= done]
        if self._frames:
            content = film.read(self._frames[-1]["file"])
            points = len(self._images)
            if content is not None and len(content) >= 8 * points:
                self._places = np.frombuffer(content, "<f4", 2 * points).reshape(2, points).T
        self._write("base.bin", self._originals.tobytes() + self._shown_labels().tobytes())
        self._write_facts()

    def record(self, model: TrainedModel, epoch: int, elbo: float) -> None:
        """Add the frame of an epoch.

        Args:
            model: as it is after the epoch.
            epoch: from 1.
            elbo: of the validation images, nats per image.
        """
        if epoch % self._stride and epoch not in (1, self._epochs):
            return
        latents = _finite(model.encode(self._images))
        places = plane(latents, self._labels, self._places)
        self._places = fitted(places)
        rng = seeds.stream(self._seed, "film")
        noise = rng.standard_normal((_SAMPLES, model.latent_dim), "float32")
        labels = np.arange(_SAMPLES) % model.labels if model.labels else None
        samples = model.latents_from_noise(noise, labels)
        # A flow that has just begun may throw single samples very far; a film must not end a training.
        shown = _finite(np.concatenate([samples, latents[: len(self._originals)]]))
        name = f"e{epoch:03d}.bin"
        self._write(
            name, np.ascontiguousarray(self._places.T, "<f4").tobytes() + model.decode(shown).tobytes()
        )
        self._frames.append({"epoch": epoch, "elbo": round(elbo, 4), "file": f"{_FOLDER}/{name}"})
        self._write_facts()

    def _shown_labels(self) -> np.ndarray:
        labels = self._labels if self._labels is not None else np.full(len(self._images), -1)
        return np.where((labels >= 0) & (labels < _NO_LABEL), labels, _NO_LABEL).astype("uint8")

    def _write_facts(self) -> None:
        facts = {
            "format": FORMAT,
            "epochs_planned": self._epochs,
            "image_shape": list(self._images.shape[1:]),
            "samples": _SAMPLES,
            "reconstructions": len(self._originals),
            "points": len(self._images),
            "base": _BASE,
            "epochs": self._frames,
        }
        self._write(NAME, json.dumps(facts).encode())

    def _write(self, name: str, content: bytes) -> None:
        with written_whole(self._folder / name, len(content)) as temporary:
            temporary.write_bytes(content)


def _finite(latents: np.ndarray) -> np.ndarray:
    return np.clip(np.nan_to_num(latents), -1000, 1000)
