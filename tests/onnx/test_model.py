"""Every kind of model gives the same as ONNX graphs, and its files keep to the standard."""

from __future__ import annotations

import itertools
import subprocess
import sys

import keras
import numpy as np
import onnx
import pytest

import digitvae
from digitvae.building import build
from digitvae.config import ACTIVATIONS, ARCHITECTURES, LIKELIHOODS
from digitvae.exporting.checking import differences
from digitvae.latent import classify, restyle
from digitvae.light.archive import Archive
from digitvae.onnx import PARTS, Model, from_model
from digitvae.onnx.runtime import session
from digitvae.runs import shipped_models

PRIORS = {
    "normal": {},
    "mixture": {},
    "vamp": {},
    "flow": {"flow_components": 1},
    "flow of a mixture": {"prior": "flow", "flow_components": 3},
    "flow with labels": {"prior": "flow", "condition": "label"},
    "autoregressive": {},
    "autoregressive with labels": {"prior": "autoregressive", "condition": "label"},
}
SHAPES = [(9, 13), (28, 28), (33, 40)]
# Every prior meets every likelihood, and each pair one of the architectures, image sizes and activations.
CELLS = [
    (prior, likelihood, ARCHITECTURES[i % 2], SHAPES[i % 3], ACTIVATIONS[1 + i // 2 % 2])
    for i, (prior, likelihood) in enumerate(itertools.product(PRIORS, LIKELIHOODS))
]
VERSION = "9.8.7"


def disturb(vae):
    """Moves every weight away from where it starts."""
    rng = np.random.default_rng(0)
    for weight in [*vae.encoder.weights, *vae.decoder.weights, *vae.prior.weights]:
        value = keras.ops.convert_to_numpy(weight)
        weight.assign(value + rng.normal(scale=0.1, size=value.shape))


@pytest.fixture(scope="module", params=CELLS, ids=lambda cell: "-".join(map(str, cell)))
def both(request, tiny, tmp_path_factory):
    """A model, and what was saved of it."""
    prior, likelihood, architecture, shape, activation = request.param
    cell = {"likelihood": likelihood, "architecture": architecture, "activation": activation}
    config = tiny(**{"prior": prior, **PRIORS[prior]}, **cell)
    vae = build(config, shape, labels=np.arange(20) % 3 if config.condition == "label" else None)
    disturb(vae)
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    vae.save(path)
    return vae, Model(Archive(path))


def test_graphs_give_what_keras_gives(both):
    vae, model = both
    sessions = {part: session(model.graph(part).content(VERSION, {})) for part in PARTS}

    def compute(part, inputs):
        names = [output.name for output in sessions[part].get_outputs()]
        return dict(zip(names, sessions[part].run(names, inputs), strict=True))

    found = differences(vae, compute)
    outputs = ["encoder.mean", "encoder.log_scale", "decoder.pixels", "decoder.parameters"]
    assert list(found) == [*outputs, "prior_sample.latents", "prior_noise.noise", "prior_noise.log_density"]
    assert max(found.values()) < 5e-5


def test_files_keep_to_the_standard_and_say_what_they_are(both):
    vae, model = both
    height, width = vae.image_shape
    labels = [("labels", ["n", 3])] if vae.labels else []
    latents = ("latents", ["n", 4])
    channels = vae.likelihood.channels()
    expected = {
        "encoder": ([("images", ["n", height, width])], [("mean", ["n", 4]), ("log_scale", ["n", 4])]),
        "decoder": (
            [latents],
            [("pixels", ["n", height, width]), ("parameters", ["n", height, width, channels])],
        ),
        "prior_sample": ([("noise", ["n", 4]), *labels], [latents]),
        "prior_noise": ([latents, *labels], [("noise", ["n", 4]), ("log_density", ["n"])]),
    }
    for part in PARTS:
        proto = onnx.load_from_string(model.graph(part).content(VERSION, {"name": "mine", "größe": "28"}))
        onnx.checker.check_model(proto, full_check=True)
        assert {entry.key: entry.value for entry in proto.metadata_props} == {"name": "mine", "größe": "28"}
        assert (proto.producer_name, proto.producer_version) == ("digitvae", VERSION)
        sides = []
        for ends in (proto.graph.input, proto.graph.output):
            assert {end.type.tensor_type.elem_type for end in ends} == {onnx.TensorProto.FLOAT}
            sides.append(
                [
                    (end.name, [d.dim_param or d.dim_value for d in end.type.tensor_type.shape.dim])
                    for end in ends
                ]
            )
        assert tuple(sides) == expected[part]
        taken = {name for node in proto.graph.node for name in node.input}
        if not any(node.op_type == "Loop" for node in proto.graph.node):
            assert {tensor.name for tensor in proto.graph.initializer} <= taken


def test_methods_give_what_light_models_give(both, blobs):
    _, model = both
    light, found = model.light, from_model(model, VERSION)
    images = blobs(20, *light.image_shape)
    for name in ("image_shape", "latent_dim", "labels", "likelihood"):
        assert getattr(found, name) == getattr(light, name)
    np.testing.assert_allclose(found.encode(images), light.encode(images), atol=1e-4)
    codes = light.encode(images)
    np.testing.assert_allclose(found.log_prior(codes), light.log_prior(codes), rtol=1e-5, atol=1e-3)
    expected = light.log_likelihood(images, codes)
    np.testing.assert_allclose(found.log_likelihood(images, codes), expected, rtol=1e-4, atol=1e-3)
    for name, arguments, options in (
        ("decode", (codes,), {}),
        ("decode", (codes,), {"pixels": "sample", "seed": 1}),
        ("reconstruct", (images,), {}),
        ("generate", (30,), {"seed": 2, "temperature": 0.7}),
    ):
        pixels = [getattr(codec, name)(*arguments, **options) for codec in (found, light)]
        assert pixels[0].dtype == np.uint8
        difference = np.abs(pixels[0].astype(int) - pixels[1])
        assert (difference > (0 if "pixels" in options else 1)).mean() <= 1e-3
    if light.labels:
        assert_labels_are_the_same(found, light, images)


def assert_labels_are_the_same(found, light, images):
    np.testing.assert_allclose(classify(found, images), classify(light, images), atol=1e-4)
    np.testing.assert_allclose(found.label_shares(), light.label_shares(), rtol=1e-5)
    styles = [restyle(codec, images, [2, 0]).astype(int) for codec in (found, light)]
    assert np.abs(styles[0] - styles[1]).max() <= 1
    codes, weights = light.encode(images), np.tile([0.5, 0.25, 0.25], (20, 1))
    between = [codec.latents_from_noise(codes, weights) for codec in (found, light)]
    np.testing.assert_allclose(*between, atol=1e-4)


@pytest.mark.parametrize("name", shipped_models())
def test_a_shipped_model_is_the_same(name):
    light, found = digitvae.load_light(name), digitvae.load_onnx(name)
    images = digitvae.load_dataset().test_images[:300]
    codes = light.encode(images)
    np.testing.assert_allclose(found.encode(images), codes, atol=1e-4)
    np.testing.assert_allclose(found.log_prior(codes), light.log_prior(codes), atol=1e-2)
    np.testing.assert_allclose(found.noise_from_latents(codes), light.noise_from_latents(codes), atol=1e-3)
    pixels = [codec.generate(300).astype(int) for codec in (found, light)]
    assert np.abs(pixels[0] - pixels[1]).max() <= 1


def test_it_runs_without_keras_and_without_the_package_onnx():
    script = (
        "import sys, digitvae\n"
        "vae = digitvae.load_onnx('mnist')\n"
        "digitvae.classify(vae, vae.reconstruct(vae.generate(2, pixels='sample')))\n"
        "print(*{'keras', 'onnx', 'scipy', 'tensorflow', 'jax', 'torch', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
