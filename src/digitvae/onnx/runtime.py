"""An exported model, run by ONNX Runtime and NumPy."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt

from digitvae.distributions import LIKELIHOODS
from digitvae.distributions.operations import by_numpy, ops
from digitvae.files import read_json
from digitvae.machine import usable_cores
from digitvae.onnx.model import PARTS, Model
from digitvae.trained import TrainedModel

MANIFEST = "model.json"
"""The file of an exported folder that says what it holds."""
FORMAT = 1
"""The version of what stands in it."""


def import_runtime() -> Any:
    """Return the module `onnxruntime`.

    Raises:
        ModuleNotFoundError: it is not installed; says how to do that.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"Expected ONNX Runtime to be installed (pip install 'digitvae[onnx]'). "
            f"Received: no module {error.name}",
            name=error.name,
        ) from None
    return onnxruntime


def session(content: bytes) -> Any:
    """Return an `InferenceSession` for the content of an ONNX file.

    Raises:
        ModuleNotFoundError: ONNX Runtime is not installed.
    """
    runtime = import_runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = usable_cores()
    options.log_severity_level = 3  # errors; a warning may stand on stderr between a verb's lines
    return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


@final
class OnnxVAE(TrainedModel):
    """A trained model behind the methods of `digitvae.VAE` but training and measuring, run by ONNX Runtime.

    Results are those of `digitvae.VAE` up to rounding, from the same seeds. Graphs are loaded when they are
    first needed.

    Args:
        facts: what `Model.facts` says.
        read: returns the content of the file of one of `PARTS`.
    """

    def __init__(self, facts: Mapping[str, Any], read: Callable[[str], bytes]):
        height, width = facts["image_shape"]
        self.image_shape = (height, width)
        self.latent_dim, self.labels = facts["latent_dim"], facts["labels"]
        self.likelihood, self.prior_name = LIKELIHOODS[facts["likelihood"]], facts["prior"]
        self._shares = np.asarray(facts["label_log_probabilities"], "float32")
        self._read = read
        self._sessions: dict[str, Any] = {}

    def run(self, part: str, inputs: Mapping[str, np.ndarray], *outputs: str) -> list[np.ndarray]:
        """Run a graph.

        Args:
            part: one of `PARTS`.
            inputs: float32 arrays by name.
            outputs: names of what is wanted, float32 arrays.
        """
        if part not in self._sessions:
            self._sessions[part] = session(self._read(part))
        given = {name: np.asarray(array, "float32") for name, array in inputs.items()}
        return self._sessions[part].run(outputs, given)

    # What computes for `TrainedModel`.

    def _encoded(self, x: npt.NDArray[np.float32]) -> np.ndarray:
        return np.concatenate(self.run("encoder", {"images": x}, "mean", "log_scale"), axis=1)

    def _decoded(self, z: npt.NDArray[np.float32]) -> np.ndarray:
        return self.run("decoder", {"latents": z}, "parameters")[0]

    def _prior(self) -> Any:
        return _LabelledPrior(self, self._shares) if self.labels else _Prior(self)

    def _run(self, function: Callable[..., Any], *arrays: np.ndarray) -> np.ndarray:
        with by_numpy():
            return np.asarray(function(*arrays))


class _Prior:
    """p(z), or p(z|y) for weights of labels, by the graphs of a model."""

    def __init__(self, model: OnnxVAE, weights: np.ndarray | None = None):
        self._model = model
        self._labels = {} if weights is None else {"labels": weights}

    def from_noise(self, u: np.ndarray) -> np.ndarray:
        return self._model.run("prior_sample", {"noise": u, **self._labels}, "latents")[0]

    def to_noise(self, z: np.ndarray) -> np.ndarray:
        return self._model.run("prior_noise", {"latents": z, **self._labels}, "noise")[0]

    def log_prob(self, z: np.ndarray) -> np.ndarray:
        return self._model.run("prior_noise", {"latents": z, **self._labels}, "log_density")[0]


class _LabelledPrior:
    """p(z) = sum_y p(y) p(z|y), as `digitvae.distributions.Labelled`."""

    def __init__(self, model: OnnxVAE, log_probabilities: np.ndarray):
        self._model, self.log_probabilities = model, log_probabilities

    def given(self, weights: np.ndarray) -> _Prior:
        return _Prior(self._model, weights)

    def log_joint(self, z: np.ndarray) -> np.ndarray:
        labels = len(self.log_probabilities)
        weights = np.tile(np.eye(labels, dtype="float32"), (len(z), 1))
        log_prob = self.given(weights).log_prob(np.repeat(z, labels, axis=0))
        return self.log_probabilities + log_prob.reshape(len(z), labels)

    def log_prob(self, z: np.ndarray) -> np.ndarray:
        return ops.logsumexp(self.log_joint(z), axis=-1)


def from_model(model: Model, version: str) -> OnnxVAE:
    """Return a saved model, run by ONNX Runtime, without a file being written.

    Args:
        model: the saved model.
        version: of digitvae.

    Raises:
        ModuleNotFoundError: ONNX Runtime is not installed.
    """
    import_runtime()
    return OnnxVAE(model.facts(), lambda part: model.graph(part).content(version, {}))


def is_export(folder: Path) -> bool:
    """Tell whether there is a folder that `digitvae export` wrote, in whatever format."""
    return (folder / MANIFEST).is_file()


class Export:
    """A folder that `digitvae export --format onnx` wrote.

    Args:
        folder: where it is.

    Attributes:
        folder: where it is.
        image_shape: (height, width) of the images.

    Raises:
        ValueError: a damaged folder, or one of another format or a later version.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        try:
            self._facts = read_json(folder / MANIFEST)
            version, kind, by = (self._facts[name] for name in ("format", "kind", "digitvae"))
            if (version, kind) == (FORMAT, "onnx"):
                height, width = self._facts["image_shape"]
                self.image_shape = (height, width)
                self._files = {part: folder / self._facts["files"][part] for part in PARTS}
                self._hashes = {part: self._facts["sha256"][path.name] for part, path in self._files.items()}
                return
        except (OSError, KeyError, TypeError, ValueError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else error
            raise ValueError(
                f"Expected a folder with the {MANIFEST} of an export. "
                f"Received: {folder / MANIFEST} ({reason})"
            ) from error
        raise ValueError(
            f"Expected an export of the format onnx, version {FORMAT}. "
            f"Received: {folder}, of the format {kind}, version {version}, by digitvae {by}"
        )

    def __str__(self) -> str:
        return str(self.folder)

    def load(self) -> OnnxVAE:
        """Return the model.

        Raises:
            ModuleNotFoundError: ONNX Runtime is not installed.
            ValueError: a likelihood that is not known here; later, a file that was changed.
        """
        import_runtime()
        if self._facts["likelihood"] not in LIKELIHOODS:
            raise ValueError(
                f"Expected a likelihood of {', '.join(LIKELIHOODS)}. Received: {self._facts['likelihood']}"
            )
        return OnnxVAE(self._facts, self._content)

    def _content(self, part: str) -> bytes:
        content = self._files[part].read_bytes()
        if hashlib.sha256(content).hexdigest() != self._hashes[part]:
            raise ValueError(
                f"Expected the file that was exported. Received: {self._files[part]}, which was changed"
            )
        return content
