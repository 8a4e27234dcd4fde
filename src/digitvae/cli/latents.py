"""Files of latents, as `digitvae encode` writes them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_EXPECTED = "Expected latents: a .npz with an array latents, a .csv with columns z0, z1, ..., or a .npy file"


def columns(latents: np.ndarray) -> dict[str, np.ndarray]:
    """Return the columns of a table of latents (n, latent_dim)."""
    return {f"z{i}": values for i, values in enumerate(latents.T)}


def read_latents(text: str) -> tuple[np.ndarray, list[str]]:
    """Read latents and the names of their images.

    Args:
        text: path of a file.

    Returns:
        float32 (n, d), and n different names.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that holds no latents.
    """
    import numpy as np

    path = Path(text)
    if not path.is_file():
        raise FileNotFoundError(f"{_EXPECTED}. Received: {text} (no such file)")
    names = None
    try:
        if path.suffix.lower() == ".csv":
            with path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            wanted = columns(np.empty((0, sum(name.startswith("z") for name in rows[0]))))
            latents = np.array([[float(row[name]) for name in wanted] for row in rows], "float32")
            names = [row["name"] for row in rows] if "name" in rows[0] else None
        else:
            with path.open("rb") as file:
                stored = np.load(file, allow_pickle=False)
                if isinstance(stored, np.ndarray):
                    latents = stored.astype("float32")
                else:
                    latents = stored["latents"].astype("float32")
                    names = stored["names"].tolist() if "names" in stored else None
        if latents.ndim != 2 or not len(latents):
            raise ValueError(f"shape {latents.shape}")
    except Exception as error:  # zipfile, zlib, csv and NumPy each have their own errors for damaged files
        raise ValueError(f"{_EXPECTED}. Received: {text} ({error})") from error
    if names is None or len(set(names)) != len(latents):
        names = [f"{i:05}" for i in range(len(latents))]
    return latents, names
