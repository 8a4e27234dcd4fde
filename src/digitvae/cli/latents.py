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
        float32 (n, d), and n different names that files can have: numbers where those of the file cannot be.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that holds no latents.
    """
    import numpy as np

    path = Path(text)
    if not path.is_file():
        reason = "a folder" if path.is_dir() else "no such file"
        raise FileNotFoundError(f"{_EXPECTED}. Received: {text} ({reason})")
    try:
        if path.suffix.lower() == ".csv":
            values, names = _read_table(path)
        else:
            with path.open("rb") as file:
                stored = np.load(file, allow_pickle=False)
                if isinstance(stored, np.ndarray):
                    values, names = stored, None
                else:
                    values, names = stored["latents"], stored.get("names")
    except Exception as error:  # zipfile, zlib, csv and NumPy each have their own errors for damaged files
        reason = "neither of them" if "pickle" in str(error) else str(error)
        raise ValueError(f"{_EXPECTED}. Received: {text} ({reason})") from error
    if values.ndim != 2 or not len(values) or values.dtype.kind not in "fiu":
        raise ValueError(f"{_EXPECTED}. Received: {text} ({values.dtype}, shape {values.shape})")
    # What single precision cannot hold becomes infinite, which the model refuses.
    with np.errstate(over="ignore"):
        latents = values.astype("float32")
    listed = [] if names is None else [str(name) for name in np.ravel(names)]
    if len(set(listed)) != len(latents) or not all(map(_names_a_file, listed)):
        listed = [f"{i:05}" for i in range(len(latents))]
    return latents, listed


def _read_table(path: Path) -> tuple[np.ndarray, list[str] | None]:
    import numpy as np

    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError("no rows")
    wanted = list(columns(np.empty((0, sum(name.startswith("z") for name in rows[0])))))
    if missing := [name for name in wanted for row in rows if not row.get(name)]:
        raise ValueError(f"no number in column {missing[0]}")
    values = np.array([[float(row[name]) for name in wanted] for row in rows])
    return values, [row["name"] for row in rows] if "name" in rows[0] else None


def _names_a_file(name: str) -> bool:
    """Tell whether a name can be that of a file, in the folder where it is written."""
    plain = Path(name).name == name and name.isprintable() and name.strip(". ") != ""
    return plain and len(name.encode()) <= 200
