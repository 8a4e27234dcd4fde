"""What a `model.keras` file holds, read without Keras: a zip archive of a description and an HDF5 file."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np


class NeedsKeras(ValueError):
    """A model that only Keras can run; `digitvae.load` loads it.

    Args:
        expected: what runs without Keras.
        received: what the model has in its place.
    """

    def __init__(self, expected: str, received: str):
        super().__init__(f"Expected {expected}, or the model loaded with Keras. Received: {received}")


class Archive:
    """A saved model.

    Args:
        path: of its `model.keras`.

    Attributes:
        config: what describes the model, as Keras serialised it.

    Raises:
        ValueError: the file is missing or damaged.
    """

    def __init__(self, path: Path):
        if not path.is_file():
            raise ValueError(
                f"Expected a run folder with a model.keras. Received: {path.parent} (it has none)"
            )
        import h5py

        self._layers: dict[str, tuple[str, list[np.ndarray]]] = {}
        try:
            with zipfile.ZipFile(path) as archive:
                self.config: dict[str, Any] = json.loads(archive.read("config.json"))["config"]
                content = archive.read("model.weights.h5")
            with h5py.File(io.BytesIO(content), "r") as file:
                self._read(file, "")
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ValueError(f"Expected a whole model.keras. Received: {path} ({reason})") from error

    def _read(self, group: Any, path: str) -> None:
        for key, child in group.items():
            if key == "vars":
                arrays = [child[str(i)][()] for i in range(len(child))]
                self._layers[path] = child.attrs["name"], arrays
            elif key != "optimizer":
                self._read(child, f"{path}/{key}" if path else key)

    def by_name(self, folder: str) -> dict[str, list[np.ndarray]]:
        """Return the arrays of the layers that lie in a folder of the file, by the name of the layer."""
        within = f"{folder}/"
        return {name: arrays for path, (name, arrays) in self._layers.items() if path.startswith(within)}

    def at(self, path: str) -> list[np.ndarray]:
        """Return the arrays of the layer at a path, in Keras' order.

        Raises:
            ValueError: there is no such layer.
        """
        if path not in self._layers:
            raise ValueError(f"Expected the weights of {path} in model.keras. Received: none")
        return self._layers[path][1]
