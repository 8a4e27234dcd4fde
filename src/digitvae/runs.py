"""The run folder: everything a training leaves behind, written whole and read back with checks."""

from __future__ import annotations

import csv
import json
import math
import platform
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from importlib import metadata
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import digitvae
from digitvae.backends import backend_needed
from digitvae.config import Config
from digitvae.files import leftovers, read_json, written_whole
from digitvae.markup import html_table

if TYPE_CHECKING:
    from digitvae.data import Dataset
    from digitvae.light import LightVAE
    from digitvae.model import VAE
    from digitvae.onnx import Model

RUNS = Path("runs")
SHIPPED = Path(__file__).parent / "models"
"""Folders of trained models that come with the package: runs without a checkpoint."""
ALIASES = {"best": "mnist"}
"""Other names of shipped models: the first one was called best."""
# A run with figures and checkpoint takes about 30 MB with the default recipe; less than this cannot work.
LEAST_FREE_BYTES = 200_000_000
_CONFIG = "config.json"
_TAKEN = "Expected a new or empty folder, or --resume to go on with it. Received: {}"
VERSIONED = ("digitvae", "keras", "tensorflow", "tensorflow-cpu", "jax", "torch", "numpy")


class Run:
    """One run folder; as text, its path as commands take it (`./best`, where `best` names a shipped model).

    Attributes:
        folder: where it is.
        config: what was trained.
        image_shape: (height, width) of its images.
        data_sha256: the hash of the data it was trained on.
    """

    def __init__(self, folder: Path, config: Config, image_shape: tuple[int, int], data_sha256: str):
        self.folder, self.config = folder, config
        self.image_shape, self.data_sha256 = image_shape, data_sha256

    def __str__(self) -> str:
        return f"./{self.folder}" if str(self.folder) in run_names() else str(self.folder)

    def _repr_html_(self) -> str:
        """Say in a notebook what was trained."""
        height, width = self.image_shape
        facts = {
            "recipe": self.config.recipe,
            "data": f"{self.config.data}, {height} x {width} pixels",
            "epochs": self.config.epochs,
            "seed": self.config.seed,
        }
        return html_table(f"Run {self}", facts.items())

    @staticmethod
    def check_free(folder: str | Path) -> None:
        """Refuse a folder that cannot become a new run.

        What a process left that was killed before it had made a run there does not count.

        Raises:
            FileExistsError: it holds something already.
        """
        folder = Path(folder)
        if not folder.exists():
            return
        if not folder.is_dir() or set(folder.iterdir()) - set(leftovers(folder / _CONFIG)):
            raise FileExistsError(_TAKEN.format(folder))

    @classmethod
    def create(
        cls, config: Config, image_shape: tuple[int, int], data_sha256: str, folder: str | Path | None = None
    ) -> Run:
        """Make a new run folder, which no other process gets, and write its `config.json`.

        Args:
            config: the resolved config.
            image_shape: (height, width).
            data_sha256: identifies the data.
            folder: where, always a path; by default `runs/<time>-<recipe>/`.

        Raises:
            FileExistsError: the folder holds something already.
            OSError: the folder cannot be made or written, or the disk is nearly full.
        """
        stored = {
            "config": config.to_dict(),
            "image_shape": list(image_shape),
            "data_sha256": data_sha256,
            "versions": versions(VERSIONED),
            "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        }
        try:
            chosen = _claim([Path(folder)] if folder is not None else _names_for(config.recipe), stored)
        except FileExistsError:
            raise
        except OSError as error:
            raise OSError(
                f"Expected a folder for the run that can be written. Received: {folder or RUNS} ({error})"
            ) from error
        return cls(chosen, config, image_shape, data_sha256)

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """Open an existing run by its folder; `find_run` opens what a user names.

        Raises:
            FileNotFoundError: no such folder.
            ValueError: a folder that is no run, or a damaged one.
        """
        folder, stored = Path(folder), None
        if not folder.is_dir():
            raise FileNotFoundError(
                f"Expected a run folder, latest or a shipped model ({', '.join(shipped_models())}). "
                f"Received: {folder} (no such folder)"
            )
        try:
            stored = read_json(folder / _CONFIG)
            config, (height, width) = Config.from_dict(stored["config"]), stored["image_shape"]
            return cls(folder, config, (height, width), stored["data_sha256"])
        except FileNotFoundError:
            raise ValueError(
                f"Expected a run folder with a config.json. Received: {folder} (it has none)"
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            version = written_by(stored)
            other = f"; a run of digitvae {version}" if version != digitvae.__version__ else ""
            raise ValueError(
                f"Expected a readable config.json. Received: {folder / _CONFIG} ({error}{other})"
            ) from error

    def has_checkpoint(self) -> bool:
        """Tell whether there is a checkpoint; a run that was killed before its first has none.

        Raises:
            ValueError: there is none although epochs were done.
        """
        found = self._checkpoint.is_file()
        if not found and self.history():
            raise ValueError(f"Expected a run with a checkpoint. Received: {self.folder} (it has none)")
        return found

    def check_data(self, dataset: Dataset) -> None:
        """Refuse data other than those the run was trained on.

        Raises:
            ValueError: with the beginnings of both hashes.
        """
        if dataset.sha256 != self.data_sha256:
            raise ValueError(
                f"Expected the data that {self.folder} was trained on (sha256 {self.data_sha256[:12]}...). "
                f"Received: {dataset.name} (sha256 {dataset.sha256[:12]}...)"
            )

    def read_json(self, name: str) -> Any:
        """Read a JSON file of the run folder.

        Raises:
            OSError: the file is missing or cannot be read.
            ValueError: it holds no JSON.
        """
        return read_json(self.folder / name)

    def write_json(self, name: str, value: Any) -> Path:
        """Write a JSON file into the run folder and return its path."""
        path = self.folder / name
        with written_whole(path) as temporary:
            _dump(value, temporary)
        return path

    def history(self) -> dict[str, list[float]]:
        """Read `history.csv`: one list per column, one value per epoch; empty before the first epoch ends."""
        path = self.folder / "history.csv"
        if not path.is_file():
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
        size = sum(math.prod(weight.shape) * 4 for weight in vae.weights)
        with written_whole(self.folder / "model.keras", size) as temporary:
            vae.save(temporary, overwrite=True)

    def load_model(self) -> VAE:
        """Read `model.keras` (safe mode: no code, no pickles).

        Raises:
            ModuleNotFoundError: the backend is not installed.
            ValueError: the file is missing or damaged.
        """
        with backend_needed():
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
        # The optimizer's state is in the checkpoint; here a fresh one makes fit and evaluate work.
        vae.compile(optimizer=keras.optimizers.Adam(), jit_compile=vae.encoder.jit_compile)
        return vae

    def load_light(self) -> LightVAE:
        """Read `model.keras` without Keras, for all but training and measuring.

        Raises:
            NeedsKeras: a `ValueError`: a model that only Keras can run.
            ValueError: the file is missing or damaged.
        """
        from digitvae.light import read_model

        return read_model(self.folder / "model.keras")

    def onnx_model(self) -> Model:
        """Read `model.keras` without Keras, to write it as ONNX graphs.

        Raises:
            NeedsKeras: a `ValueError`: a model that only Keras can run.
            ValueError: the file is missing or damaged.
        """
        from digitvae.light.archive import Archive
        from digitvae.onnx import Model

        return Model(Archive(self.folder / "model.keras"))

    def save_checkpoint(self, epoch: int, variables: list[Any]) -> None:
        """Write all that a resume needs.

        Args:
            epoch: epochs done.
            variables: every variable of model and optimizer, in a fixed order.
        """
        import keras

        arrays = {f"variable_{i}": keras.ops.convert_to_numpy(v) for i, v in enumerate(variables)}
        self._checkpoint.parent.mkdir(exist_ok=True)
        with written_whole(self._checkpoint, sum(array.nbytes for array in arrays.values())) as temporary:
            np.savez(temporary, epoch=np.int64(epoch), **arrays)

    def read_checkpoint(self, variables: list[Any]) -> tuple[int, list[np.ndarray]]:
        """Return the number of epochs done and a value for each of the variables.

        Raises:
            ValueError: the checkpoint is missing, damaged or of another model.
        """
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
        return epoch, [arrays[f"variable_{i}"] for i in range(len(arrays))]

    @property
    def _checkpoint(self) -> Path:
        return self.folder / "checkpoint" / "state.npz"


def find_run(name: str | Path) -> Run:
    """Find the run that a user names.

    Args:
        name: "latest" for the newest run in `runs/`; the name of a shipped model, or an alias; all other
            text, and any `Path`, is a run folder: `./latest` is the folder of that name.

    Raises:
        FileNotFoundError: no such run.
        ValueError: the folder is no run, or a damaged one; or the name is also that of a run folder here.
    """
    if isinstance(name, Path) or name not in run_names():
        return Run.open(name)
    shipped = SHIPPED / ALIASES.get(name, name)
    if (Path(name) / _CONFIG).exists():
        other = "the newest run in runs/" if name == "latest" else f"the shipped model, {shipped}"
        raise ValueError(
            f"Expected ./{name} for the run folder here, or the path of {other}. "
            f"Received: {name}, which names both"
        )
    return Run.open(_latest() if name == "latest" else shipped)


def load(name: str | Path) -> VAE:
    """Load the model of a run, ready to encode, decode, generate, evaluate or train on.

    Args:
        name: as for `find_run`.

    Raises:
        FileNotFoundError: no such run.
        ModuleNotFoundError: the backend is not installed.
        ValueError: as `find_run`, or the model is missing or damaged.
    """
    return find_run(name).load_model()


def load_light(name: str | Path) -> LightVAE:
    """Load the model of a run without Keras: it starts at once, and does all but train and measure.

    Args:
        name: as for `find_run`.

    Raises:
        FileNotFoundError: no such run.
        ValueError: as `load`; or, as `digitvae.light.NeedsKeras`, a model that only Keras can run.
    """
    return find_run(name).load_light()


def shipped_models() -> list[str]:
    """Return the names of the trained models that come with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{_CONFIG}"))


def run_names() -> list[str]:
    """Return the names that stand for a run and are not paths: latest, the shipped models and aliases."""
    return ["latest", *shipped_models(), *ALIASES]


def _names_for(recipe: str) -> Iterator[Path]:
    stem = f"{datetime.now():%Y%m%d-%H%M%S}-{recipe}"
    return (RUNS / (stem if i == 1 else f"{stem}-{i}") for i in count(1))


def _claim(folders: Iterable[Path], stored: dict[str, Any]) -> Path:
    """Make the first of these folders that is new or empty a run, by writing its `config.json`."""
    for folder in folders:
        new = not folder.exists()
        try:
            Run.check_free(folder)
            folder.mkdir(parents=True, exist_ok=True)
            try:
                free = shutil.disk_usage(folder).free
                if free < LEAST_FREE_BYTES:
                    raise OSError(f"{free / 1e6:.0f} MB free, {LEAST_FREE_BYTES / 1e6:.0f} MB needed")
                # Several processes may have come here with this folder: only one of them can make this file.
                with written_whole(folder / _CONFIG, new=True) as temporary:
                    _dump(stored, temporary)
            except BaseException:
                if new:
                    # Unless it is another's by now.
                    with suppress(OSError):
                        folder.rmdir()
                raise
        except FileExistsError:
            continue
        return folder
    raise FileExistsError(_TAKEN.format(folder))


def _dump(value: Any, path: Path) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _latest() -> Path:
    candidates = [path.parent for path in RUNS.glob(f"*/{_CONFIG}")]
    if not candidates:
        raise FileNotFoundError(f"Expected a run in {RUNS}/ for latest. Received: none there")
    return max(candidates, key=lambda folder: (folder / _CONFIG).stat().st_mtime)


def written_by(stored: Any) -> str:
    """Return the version of digitvae that wrote a `config.json`, as far as it says so."""
    try:
        return str(stored["versions"]["digitvae"])
    except (KeyError, TypeError):
        return digitvae.__version__


def versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of Python and of those of some packages that are installed."""
    found = {"python": platform.python_version()}
    for name in names:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found
