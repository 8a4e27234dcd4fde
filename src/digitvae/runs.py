"""The run folder: everything a training leaves behind, written whole and read back with checks."""

from __future__ import annotations

import csv
import json
import platform
import shutil
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from digitvae.config import Config
from digitvae.files import written_whole

if TYPE_CHECKING:
    from digitvae.model import VAE

RUNS = Path("runs")
SHIPPED = Path(__file__).parent / "models"
"""Folders of trained models that come with the package: runs without a checkpoint."""
# A run with figures and checkpoint takes about 30 MB with the default recipe; less than this cannot work.
LEAST_FREE_BYTES = 200_000_000
VERSIONED = ("digitvae", "keras", "tensorflow", "tensorflow-cpu", "jax", "torch", "numpy")


class Run:
    """One run folder.

    Attributes:
        folder: where it is.
        config: what was trained.
        image_shape: (height, width) of its images.
    """

    def __init__(self, folder: Path, config: Config, image_shape: tuple[int, int]):
        self.folder, self.config, self.image_shape = folder, config, image_shape

    @classmethod
    def create(
        cls, config: Config, image_shape: tuple[int, int], data_sha256: str, folder: str | Path | None = None
    ) -> Run:
        """Make a new run folder and write its `config.json`.

        Args:
            config: the resolved config.
            image_shape: (height, width).
            data_sha256: identifies the data.
            folder: where; by default `runs/<time>-<recipe>/`.

        Raises:
            FileExistsError: the folder holds something already.
            OSError: the folder cannot be made or written, or the disk is nearly full.
        """
        chosen = Path(folder) if folder is not None else _fresh_name(config.recipe)
        if chosen.exists() and (not chosen.is_dir() or any(chosen.iterdir())):
            raise FileExistsError(
                f"Expected a new or empty folder, or --resume to go on with it. Received: {chosen}"
            )
        fresh = not chosen.exists()
        try:
            (chosen / "checkpoint").mkdir(parents=True, exist_ok=True)
            (chosen / "figures").mkdir(exist_ok=True)
            free = shutil.disk_usage(chosen).free
            if free < LEAST_FREE_BYTES:
                raise OSError(f"{free / 1e6:.0f} MB free, {LEAST_FREE_BYTES / 1e6:.0f} MB needed")
            run = cls(chosen, config, image_shape)
            run.write_json(
                "config.json",
                {
                    "config": config.to_dict(),
                    "image_shape": list(image_shape),
                    "data_sha256": data_sha256,
                    "versions": _versions(),
                    "created": datetime.now().astimezone().isoformat(timespec="seconds"),
                },
            )
        except OSError as error:
            if fresh:
                shutil.rmtree(chosen, ignore_errors=True)
            raise OSError(
                f"Expected a folder for the run that can be written. Received: {chosen} ({error})"
            ) from error
        return run

    @classmethod
    def open(cls, name: str | Path) -> Run:
        """Open an existing run.

        Args:
            name: a run folder, "latest" for the newest one in `runs/`, or the name of a shipped model.

        Raises:
            FileNotFoundError: no such run.
            ValueError: a folder that is no run, or a damaged one.
        """
        if str(name) == "latest":
            folder = _latest()
        else:
            folder = SHIPPED / name if str(name) in shipped_models() else Path(name)
        if not folder.is_dir():
            raise FileNotFoundError(
                f"Expected a run folder, latest or a shipped model ({', '.join(shipped_models())}). "
                f"Received: {folder} (no such folder)"
            )
        try:
            stored = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            config, image_shape = Config.from_dict(stored["config"]), tuple(stored["image_shape"])
        except FileNotFoundError:
            raise ValueError(
                f"Expected a run folder with a config.json. Received: {folder} (it has none)"
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"Expected a readable config.json. Received: {folder / 'config.json'} ({error})"
            ) from error
        return cls(folder, config, image_shape)

    @property
    def results_folder(self) -> Path:
        """Where evaluations go: into the run folder, but into `runs/NAME` for a shipped model."""
        return RUNS / self.folder.name if self.folder.parent == SHIPPED else self.folder

    def read_json(self, name: str) -> Any:
        """Read a JSON file of the run folder.

        Raises:
            OSError: the file is missing or cannot be read.
            ValueError: it holds no JSON.
        """
        return json.loads((self.folder / name).read_text(encoding="utf-8"))

    @property
    def data_sha256(self) -> str:
        """The hash of the data the run was trained on."""
        return self.read_json("config.json")["data_sha256"]

    def write_json(self, name: str, value: Any) -> Path:
        """Write a JSON file into the run folder and return its path."""
        path = self.folder / name
        with written_whole(path) as temporary:
            temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
        return path

    def history(self) -> dict[str, list[float]]:
        """Read `history.csv`: a list a column, one value an epoch; empty before the first epoch ends."""
        path = self.folder / "history.csv"
        if not path.exists():
            return {}
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        columns = {name: [float(row[name]) for row in rows] for name in rows[0]} if rows else {}
        if columns:
            columns["epoch"] = [int(epoch) for epoch in columns["epoch"]]
        return columns

    def write_history(self, history: dict[str, list[float]]) -> None:
        """Write `history.csv`, every number with all its digits."""
        with written_whole(self.folder / "history.csv") as temporary, temporary.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(history)
            writer.writerows(zip(*history.values(), strict=True))

    def save_model(self, vae: VAE) -> None:
        """Write `model.keras`."""
        with written_whole(self.folder / "model.keras") as temporary:
            vae.save(temporary, overwrite=True)

    def load_model(self) -> VAE:
        """Read `model.keras` (safe mode: no code, no pickles).

        Raises:
            ValueError: the file is missing or damaged.
        """
        import keras

        import digitvae.model  # noqa: F401 - registers the classes that the file names

        path = self.folder / "model.keras"
        if not path.is_file():
            raise ValueError(
                f"Expected a run folder with a model.keras. Received: {self.folder} (it has none)"
            )
        try:
            vae = keras.saving.load_model(path, compile=False, safe_mode=True)
        except Exception as error:  # Keras raises many kinds for a damaged archive
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ValueError(f"Expected a whole model.keras. Received: {path} ({reason})") from error
        # The optimiser's state is in the checkpoint; here a fresh one makes fit and evaluate work.
        vae.compile(optimizer=keras.optimizers.Adam(), jit_compile=vae.encoder.jit_compile)
        return vae

    def save_checkpoint(self, epoch: int, variables: list[Any]) -> None:
        """Write all that a resume needs.

        Args:
            epoch: epochs done.
            variables: every variable of model and optimiser, in a fixed order.
        """
        import keras

        arrays = {f"variable_{i}": keras.ops.convert_to_numpy(v) for i, v in enumerate(variables)}
        with written_whole(self._checkpoint) as temporary:
            np.savez(temporary, epoch=np.int64(epoch), **arrays)

    def load_checkpoint(self, variables: list[Any]) -> int:
        """Put the checkpoint's values into the variables and return the number of epochs done.

        Raises:
            ValueError: the checkpoint is missing, damaged or of another model.
        """
        if not self._checkpoint.is_file():
            raise ValueError(f"Expected a run with a checkpoint. Received: {self.folder} (it has none)")
        try:
            with self._checkpoint.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            epoch = int(arrays.pop("epoch"))
        except Exception as error:  # zipfile, zlib and NumPy each have their own errors for damaged bytes
            raise ValueError(
                f"Expected a whole checkpoint. Received: {self._checkpoint} ({error})"
            ) from error
        if [arrays[f"variable_{i}"].shape for i in range(len(arrays))] != [tuple(v.shape) for v in variables]:
            raise ValueError(f"Expected a checkpoint of the run's own model. Received: {self._checkpoint}")
        for i, variable in enumerate(variables):
            variable.assign(arrays[f"variable_{i}"])
        return epoch

    @property
    def _checkpoint(self) -> Path:
        return self.folder / "checkpoint" / "state.npz"


def load(name: str | Path) -> VAE:
    """Load the model of a run, ready to encode, decode, generate, evaluate or train on.

    Args:
        name: a run folder, "latest" for the newest one in `runs/`, or the name of a shipped model.

    Raises:
        FileNotFoundError: no such run.
        ValueError: the folder is no run, or a damaged one.
    """
    return Run.open(name).load_model()


def shipped_models() -> list[str]:
    """Return the names of the trained models that come with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob("*/config.json"))


def _fresh_name(recipe: str) -> Path:
    stem = f"{datetime.now():%Y%m%d-%H%M%S}-{recipe}"
    names = [stem, *(f"{stem}-{i}" for i in range(2, 100))]
    return next(RUNS / name for name in names if not (RUNS / name).exists())


def _latest() -> Path:
    candidates = [path.parent for path in RUNS.glob("*/config.json")]
    if not candidates:
        raise FileNotFoundError(f"Expected a run in {RUNS}/ for latest. Received: none there")
    return max(candidates, key=lambda folder: (folder / "config.json").stat().st_mtime)


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in VERSIONED:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
