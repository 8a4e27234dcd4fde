"""What `export` writes, replaces, refuses and leaves behind."""

from __future__ import annotations

import hashlib
import json

import keras
import numpy as np
import onnxruntime
import pytest

import digitvae
from digitvae import codec
from digitvae.building import build
from digitvae.codec import CodecModel
from digitvae.config import ConfigError
from digitvae.exporting import FORMATS, checking, find_model
from digitvae.onnx import Model
from digitvae.runs import Run

pytestmark = pytest.mark.backend

ON_TENSORFLOW = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the format is TensorFlow's"
)
OUTPUTS = {
    "encoder.mean",
    "encoder.log_scale",
    "decoder.pixels",
    "decoder.parameters",
    "prior_sample.latents",
    "prior_noise.noise",
    "prior_noise.log_density",
}


@pytest.fixture(scope="module")
def make_run(tiny, tmp_path_factory):
    """Returns a maker of runs of models of 9x13 images; its arguments are fields of the config."""

    def make(labels=None, **changes):
        config = tiny(architecture="dense", **changes)
        run = Run.create(config, (9, 13), "0" * 64, tmp_path_factory.mktemp("runs") / "mine")
        run.save_model(build(config, (9, 13), labels=labels))
        return run

    return make


@pytest.fixture(scope="module")
def run(make_run):
    """A run of a model without labels."""
    return make_run()


@pytest.fixture(scope="module")
def labelled(make_run):
    """A run of a model with three labels."""
    return make_run(np.arange(20) % 3, prior="flow", condition="label")


def names(folder):
    """The files of a folder, hidden ones too."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_manifest_says_what_the_folder_holds(labelled, tmp_path):
    labelled.write_json("evaluation.json", {"test": {"elbo": -80.5}})
    done = digitvae.export(labelled, tmp_path / "out")
    assert (done.folder, set(done.differences)) == (tmp_path / "out", OUTPUTS)
    assert max(done.differences.values()) < 1e-4
    manifest = json.loads((tmp_path / "out" / "model.json").read_text())
    expected = {
        "format": 1,
        "kind": "onnx",
        "digitvae": digitvae.__version__,
        "name": "mine",
        "recipe": labelled.config.recipe,
        "data": "mnist",
        "data_sha256": "0" * 64,
        "metrics": {"elbo": -80.5},
        "image_shape": [9, 13],
        "latent_dim": 4,
        "labels": 3,
        "likelihood": "bernoulli",
        "differences": done.differences,
    }
    assert {name: manifest[name] for name in expected} == expected
    np.testing.assert_allclose(np.exp(manifest["label_log_probabilities"]).sum(), 1, rtol=1e-5)
    files = {part: f"{part}.onnx" for part in ("encoder", "decoder", "prior_sample", "prior_noise")}
    assert manifest["files"] == files
    assert names(tmp_path) == sorted(f"out/{name}" for name in [*files.values(), "model.json"])
    assert done.files == {name: (done.folder / name).stat().st_size for name in done.files}
    for name in files.values():
        content = (done.folder / name).read_bytes()
        assert manifest["sha256"][name] == hashlib.sha256(content).hexdigest()
        metadata = onnxruntime.InferenceSession(content).get_modelmeta().custom_metadata_map
        assert metadata["name"] == "mine"
        assert json.loads(metadata["metrics"]) == {"elbo": -80.5}
        assert json.loads(metadata["image_shape"]) == [9, 13]


def test_an_exported_model_is_read_again(labelled, tmp_path, blobs):
    folder = digitvae.export(labelled, tmp_path / "out").folder
    light, images = labelled.load_light(), blobs(12)
    for found in (digitvae.load_onnx(folder), digitvae.load_onnx(str(folder))):
        np.testing.assert_allclose(found.encode(images), light.encode(images), atol=1e-5)
    found = digitvae.load_onnx(labelled.folder)  # a run is as good
    np.testing.assert_allclose(found.encode(images), light.encode(images), atol=1e-5)


def test_an_earlier_export_is_replaced_and_an_empty_folder_filled(run, tmp_path):
    (tmp_path / "out").mkdir()
    for _ in range(2):
        digitvae.export(run, tmp_path / "out")
    (tmp_path / "out" / "decoder.onnx").unlink()
    assert len(digitvae.export(run, tmp_path / "out").files) == 5
    assert len(names(tmp_path)) == 5


@pytest.mark.parametrize("what", ["another file", "a file with the name of a manifest", "folders", "a file"])
def test_what_is_not_an_export_is_never_replaced(run, tmp_path, what):
    folder = tmp_path / "out"
    if what == "another file":
        digitvae.export(run, folder)
        (folder / "notes.txt").write_text("mine")
    elif what == "a file with the name of a manifest":
        folder.mkdir()
        (folder / "model.json").write_text('{"sha256": ["decoder.onnx"]')
    elif what == "folders":
        (folder / "decoder.onnx").mkdir(parents=True)
    else:
        folder.write_text("mine")
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    with pytest.raises(FileExistsError, match="Expected a new or empty folder, or an earlier export"):
        digitvae.export(run, folder)
    assert {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")} == before


def test_a_result_that_differs_from_keras_leaves_nothing(run, tmp_path, monkeypatch):
    right = Model._prior_sample

    def wrong(self, graph):
        graph.output("latents", graph.input("noise", 4) + 2e-4, 4)

    monkeypatch.setattr(Model, "_prior_sample", wrong)
    with pytest.raises(RuntimeError, match=r"within 0\.0001 of Keras\. Received: prior_sample\.latents"):
        digitvae.export(run, tmp_path / "out")
    assert names(tmp_path) == []
    monkeypatch.setattr(Model, "_prior_sample", right)
    digitvae.export(run, tmp_path / "out")
    before = (tmp_path / "out" / "model.json").read_text()
    monkeypatch.setattr(Model, "_prior_sample", wrong)
    with pytest.raises(RuntimeError):
        digitvae.export(run, tmp_path / "out")
    assert (tmp_path / "out" / "model.json").read_text() == before
    assert len(names(tmp_path)) == 5


def test_a_result_that_is_no_number_is_refused(make_vae):
    vae = make_vae()
    parts = checking.functions(vae)

    def compute(part, inputs):
        found = checking._by_keras(parts[part], inputs)
        return {name: np.full_like(value, np.nan) for name, value in found.items()}

    with pytest.raises(RuntimeError, match=r"encoder\.mean, which is nan off"):
        checking.differences(vae, compute)


def test_the_model_is_loaded_once_and_not_where_the_folder_is_refused(run, tmp_path):
    loaded = []

    def load(run):
        loaded.append(run)
        return run.load_model()

    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError):
        digitvae.export(run, tmp_path / "file", load=load)
    assert loaded == []
    digitvae.export(run, tmp_path / "out", load=load)
    assert loaded == [run]


@pytest.mark.parametrize("likelihood", ["bernoulli", "discretised_logistic"])
def test_a_model_for_coding_codes(make_run, tmp_path, likelihood, blobs):
    run = make_run(prior="autoregressive", likelihood=likelihood)
    done = digitvae.export(run, tmp_path / "out", "codec")
    assert set(done.files) == {"codec.npz", "model.json"}
    assert set(done.differences) == {"encoder.mean", "encoder.log_scale", "decoder.pixels"}
    assert 0 < max(done.differences.values()) < 0.05
    images = run.load_light().generate(20, pixels="sample", seed=3)
    content = codec.compress(images, done.folder)
    np.testing.assert_array_equal(codec.decompress(content, done.folder), images)
    assert codec.find_model(done.folder).name == "mine"
    digitvae.export(run, tmp_path / "out", "codec")


def test_a_model_for_coding_that_codes_otherwise_is_refused(make_run, tmp_path, monkeypatch):
    right = CodecModel.posterior

    def wrong(self, numbers):
        found = right(self, numbers)
        return found._replace(means=found.means + 64)

    monkeypatch.setattr(CodecModel, "posterior", wrong)
    with pytest.raises(RuntimeError, match=r"within 0\.2 of Keras\. Received: encoder\.mean"):
        digitvae.export(make_run(prior="autoregressive"), tmp_path / "out", "codec")
    assert names(tmp_path) == []


def test_a_model_that_cannot_code_is_refused(labelled, tmp_path):
    with pytest.raises(ValueError, match=r"Expected a prior without labels .*Received: 3 labels"):
        digitvae.export(labelled, tmp_path / "out", "codec")
    assert names(tmp_path) == []


def test_an_unknown_format_is_refused(run, tmp_path):
    with pytest.raises(ConfigError, match=r"Expected a format of onnx, .*Received: coreml"):
        digitvae.export(run, tmp_path / "out", "coreml")


def test_every_format_has_its_module():
    from digitvae.exporting import writer

    for name in FORMATS:
        module = writer(name)
        assert module.BACKEND in (None, "tensorflow")
        assert callable(module.write)
        assert callable(module.check)


def test_a_run_of_a_later_version_is_refused_and_an_earlier_one_not(make_run, tmp_path):
    run = make_run()
    stored = run.read_json("config.json")
    for version, later in (("9.0.1", True), ("0.0.9", False), (digitvae.__version__, False)):
        run.write_json("config.json", {**stored, "versions": {"digitvae": version}})
        if later:
            with pytest.raises(ValueError, match=r"or earlier .*Received: .*mine, of digitvae 9\.0\.1"):
                digitvae.export(run, tmp_path / "out")
            assert names(tmp_path) == []
        else:
            digitvae.export(run, tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2, "digitvae": "9.0"}, r"of the format onnx, version 1\. .*version 2, by digitvae 9\.0"),
        ({"kind": "saved-model"}, r"of the format onnx, version 1\. Received: .*of the format saved-model"),
        ({"files": {}}, r"Expected a folder with the model\.json of an export.*no 'encoder'"),
        ({"likelihood": "poisson"}, r"Expected a likelihood of bernoulli, .*Received: poisson"),
    ],
)
def test_a_manifest_that_is_not_understood_is_one_error(run, tmp_path, changes, message):
    folder = digitvae.export(run, tmp_path / "out").folder
    manifest = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**manifest, **changes}))
    with pytest.raises(ValueError, match=message):
        digitvae.load_onnx(folder)


def test_a_file_that_was_changed_is_one_error(run, tmp_path):
    folder = digitvae.export(run, tmp_path / "out").folder
    content = bytearray((folder / "decoder.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "decoder.onnx").write_bytes(content)
    vae = digitvae.load_onnx(folder)
    with pytest.raises(ValueError, match=r"Expected the file that was exported\. Received: .*decoder\.onnx"):
        vae.generate(1)


def test_names_of_runs_are_no_exports(run, tmp_path, monkeypatch):
    digitvae.export(run, tmp_path / "mnist")
    monkeypatch.chdir(tmp_path)
    assert find_model("./mnist").image_shape == (9, 13)
    assert find_model("mnist").image_shape == (28, 28)


@ON_TENSORFLOW
@pytest.mark.parametrize("kind", ["labelled", "mixture"])
def test_a_saved_model_has_a_signature_for_each_part(labelled, make_run, tmp_path, kind):
    import tensorflow as tf

    run = labelled if kind == "labelled" else make_run(prior="mixture", likelihood="discretised_logistic")
    done = digitvae.export(run, tmp_path / "out", "saved-model")
    assert set(done.differences) == OUTPUTS
    assert max(done.differences.values()) < 1e-4
    signatures = tf.saved_model.load(str(done.folder)).signatures
    light = run.load_light()
    noise = np.random.default_rng(1).standard_normal((5, 4), "float32")
    labels = {"labels": tf.one_hot([2, 0, 1, 1, 2], 3)} if light.labels else {}
    found = signatures["prior_sample"](noise=tf.constant(noise), **labels)["latents"].numpy()
    expected = light.latents_from_noise(noise, [2, 0, 1, 1, 2] if light.labels else None)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    pixels = signatures["decoder"](latents=tf.constant(found))["pixels"].numpy()
    np.testing.assert_allclose(255 * pixels, light.decode(expected), atol=1)
    # An earlier one is replaced, folders and all.
    assert digitvae.export(run, tmp_path / "out", "saved-model").files.keys() == done.files.keys()


def test_a_saved_model_is_refused_on_other_backends(run, tmp_path):
    if keras.backend.backend() == "tensorflow":
        pytest.skip("on TensorFlow it is written")
    with pytest.raises(ConfigError, match=r"Expected Keras on TensorFlow .*Received: backend"):
        digitvae.export(run, tmp_path / "out", "saved-model")
    assert names(tmp_path) == []
