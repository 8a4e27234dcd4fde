"""An exported model, run by ONNX Runtime and NumPy."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt

from digitvae.codec import Codec
from digitvae.distributions import LIKELIHOODS
from digitvae.distributions.operations import by_numpy, ops
from digitvae.files import read_json
from digitvae.machine import usable_cores
from digitvae.onnx.model import Model

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
class OnnxVAE(Codec):
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
        self.likelihood = LIKELIHOODS[facts["likelihood"]]
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

    # What computes for `Codec`.

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
    """p(z) = sum_y p(y) p(z|y), as `digitvae.distributions.LabelledFlow`."""

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


def read_export(folder: Path) -> OnnxVAE:
    """Read a folder that `digitvae export --format onnx` wrote.

    Raises:
        ModuleNotFoundError: ONNX Runtime is not installed.
        ValueError: no such folder, a damaged one, or one of another format.
    """
    import_runtime()
    manifest = read_manifest(folder)
    if manifest["kind"] != "onnx":
        raise ValueError(
            f"Expected an export of the format onnx. Received: {folder}, of the format {manifest['kind']}"
        )
    try:
        files, hashes = manifest["files"], manifest["sha256"]
        return OnnxVAE(manifest, lambda part: _verified(folder / files[part], hashes[files[part]]))
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(folder, error) from error


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the `model.json` of an export.

    Raises:
        ValueError: there is none, a damaged one, or one of a later version.
    """
    try:
        found = read_json(folder / MANIFEST)
        version, by, _ = found["format"], found["digitvae"], found["kind"]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise _damaged(folder, error) from error
    if version != FORMAT:
        raise ValueError(
            f"Expected an export with a {MANIFEST} of format {FORMAT}. "
            f"Received: {folder}, of format {version}, by digitvae {by}"
        )
    return found


def _damaged(folder: Path, error: Exception) -> ValueError:
    reason = f"no {error}" if isinstance(error, KeyError) else error
    return ValueError(
        f"Expected a folder with the {MANIFEST} of an export. Received: {folder / MANIFEST} ({reason})"
    )


def _verified(path: Path, sha256: str) -> bytes:
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"Expected the file that was exported. Received: {path}, which was changed")
    return content
