"""A saved model gives the same with and without Keras."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import digitvae
from digitvae.building import build
from digitvae.config import ARCHITECTURES, LIKELIHOODS
from digitvae.distributions import Gaussian
from digitvae.distributions.likelihoods import _OneLogit
from digitvae.light import LightVAE, NeedsKeras, read_model
from digitvae.runs import shipped_models

pytestmark = pytest.mark.backend

# Every prior meets every likelihood, and each pair one of the architectures, image sizes and activations.
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
CELLS = [
    (prior, likelihood, ARCHITECTURES[i % 2], SHAPES[i % 3])
    for i, (prior, likelihood) in enumerate(itertools.product(PRIORS, LIKELIHOODS))
] + [("flow with labels", "bernoulli", "conv", (28, 28)), ("normal", "bernoulli", "dense", (9, 13))]


def disturb(vae, seed=0):
    """Moves every weight away from where it starts."""
    rng = np.random.default_rng(seed)
    for weight in [*vae.encoder.weights, *vae.decoder.weights, *vae.prior.weights]:
        value = keras.ops.convert_to_numpy(weight)
        weight.assign(value + rng.normal(scale=0.1, size=value.shape))


@pytest.fixture(scope="module", params=CELLS, ids=lambda cell: "-".join(map(str, cell)))
def both(request, tiny, blobs, tmp_path_factory):
    """A model, the same one without Keras, and images."""
    prior, likelihood, architecture, shape = request.param
    config = tiny(**{"prior": prior, **PRIORS[prior]}, likelihood=likelihood, architecture=architecture)
    vae = build(config, shape, labels=np.arange(20) % 3 if config.condition == "label" else None)
    # Tracing a graph costs TensorFlow seconds.
    vae.encoder.run_eagerly = vae.decoder.run_eagerly = keras.backend.backend() == "tensorflow"
    disturb(vae)
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    vae.save(path)
    return vae, read_model(path), blobs(20, *shape)


def assert_same_pixels(found, expected):
    """Allows one grey level of difference in one pixel of a thousand."""
    assert found.dtype == expected.dtype == np.uint8
    difference = np.abs(found.astype(int) - expected.astype(int))
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 1e-3


def assert_same_samples(found, expected):
    """Allows a draw near a threshold to fall on the other side in one pixel of a thousand."""
    assert found.dtype == expected.dtype == np.uint8
    assert (found != expected).mean() <= 1e-3


def test_its_properties_are_the_same(both):
    vae, light, _ = both
    assert isinstance(light, LightVAE)
    for name in ("image_shape", "latent_dim", "labels", "likelihood"):
        assert getattr(light, name) == getattr(vae, name)


def test_codes_are_the_same(both):
    vae, light, images = both
    for found, expected in zip(light.encode_posterior(images), vae.encode_posterior(images), strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-4)
    for given in (images[:1], images / 255, images > 100, images.tolist()):
        np.testing.assert_allclose(light.encode(given), vae.encode(given), atol=1e-4)
    found, expected = (model.encode(images, sample=True, seed=3) for model in (light, vae))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_images_are_the_same(both):
    vae, light, images = both
    latents = vae.encode(images)
    assert_same_pixels(light.decode(latents), vae.decode(latents))
    assert_same_pixels(light.reconstruct(images), vae.reconstruct(images))
    assert_same_pixels(light.generate(30, seed=2), vae.generate(30, seed=2))
    assert_same_pixels(light.generate(30, temperature=0.5), vae.generate(30, temperature=0.5))
    samples = [model.decode(latents, pixels="sample", seed=1) for model in (light, vae)]
    assert_same_samples(*samples)


def test_noise_and_latents_are_the_same(both):
    vae, light, images = both
    noise = np.random.default_rng(0).standard_normal((20, vae.latent_dim), "float32")
    labels = np.arange(20) % 3 if vae.labels else None
    latents = vae.latents_from_noise(noise, labels)
    np.testing.assert_allclose(light.latents_from_noise(noise, labels), latents, atol=1e-4)
    codes = vae.encode(images)
    for given in (labels, None) if vae.labels else (None,):
        found, expected = (model.noise_from_latents(codes, given) for model in (light, vae))
        np.testing.assert_allclose(found, expected, atol=1e-3)
    np.testing.assert_allclose(light.noise_from_latents(latents, labels), noise, atol=5e-3)


def test_densities_are_the_same(both):
    vae, light, images = both
    codes = vae.encode(images)
    np.testing.assert_allclose(light.log_prior(codes), vae.log_prior(codes), rtol=1e-5, atol=1e-3)
    expected = vae.log_likelihood(images, codes)
    assert expected.shape == (20,)
    np.testing.assert_allclose(light.log_likelihood(images, codes), expected, rtol=1e-4, atol=1e-3)
    # One of them against its definition.
    x, params = images[:1].astype("float32") / 255, vae.decoder(codes[:1])
    direct = keras.ops.convert_to_numpy(vae.likelihood(params).log_prob(x))
    np.testing.assert_allclose(expected[:1], direct, rtol=1e-4)


def test_labels_are_the_same(both):
    vae, light, images = both
    codes = vae.encode(images)
    if not vae.labels:
        for method in (light.log_joint, light.label_probabilities, light.noise_from_latents):
            with pytest.raises(ValueError, match="Expected a model that was trained with labels"):
                method(codes, *([[0] * 20] if method == light.noise_from_latents else []))
        return
    np.testing.assert_allclose(light.log_joint(codes), vae.log_joint(codes), rtol=1e-5, atol=1e-3)
    probabilities = light.label_probabilities(codes)
    np.testing.assert_allclose(probabilities, vae.label_probabilities(codes), atol=1e-4)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    total = np.log(np.exp(light.log_joint(codes).astype("float64")).sum(axis=1))
    np.testing.assert_allclose(light.log_prior(codes), total, rtol=1e-4)
    np.testing.assert_allclose(light.label_shares(), vae.label_shares(), rtol=1e-5)
    np.testing.assert_array_equal(light.draw_labels(50, 1), vae.draw_labels(50, 1))
    assert_same_pixels(light.generate(9, labels=2), vae.generate(9, labels=2))
    weights = np.tile([0.5, 0.25, 0.25], (20, 1))
    found, expected = (model.latents_from_noise(codes, weights) for model in (light, vae))
    np.testing.assert_allclose(found, expected, atol=1e-4)


# One of them is enough to compare other backends with.
COMPARED = shipped_models() if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow" else ["mnist"]


@pytest.mark.parametrize("name", COMPARED)
def test_a_shipped_model_is_the_same(name):
    vae, light = digitvae.load(name), digitvae.load_light(name)
    images = digitvae.load_dataset().test_images[:300]
    np.testing.assert_allclose(light.encode(images), vae.encode(images), atol=1e-4)
    assert_same_pixels(light.reconstruct(images), vae.reconstruct(images))
    assert_same_pixels(light.generate(300), vae.generate(300))
    assert_same_samples(light.generate(50, pixels="sample"), vae.generate(50, pixels="sample"))
    codes = vae.encode(images)
    np.testing.assert_allclose(light.noise_from_latents(codes), vae.noise_from_latents(codes), atol=1e-3)
    np.testing.assert_allclose(light.log_prior(codes), vae.log_prior(codes), atol=1e-2)


def test_it_runs_without_keras():
    script = (
        "import sys, digitvae\n"
        "vae = digitvae.load_light('mnist')\n"
        "vae.reconstruct(vae.generate(2, pixels='sample'))\n"
        "print(*{'keras', 'scipy', 'tensorflow', 'jax', 'torch', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_keras_comes_back_after_numpy():
    light = digitvae.load_light("mnist")
    light.generate(1)
    gaussian = Gaussian(np.zeros(2), np.zeros(2))
    assert keras.ops.is_tensor(gaussian.mean)


def test_a_likelihood_of_ones_own_is_refused(make_vae, tmp_path):
    class Own(_OneLogit):
        """A class that no other process knows."""

    vae = make_vae()
    vae.likelihood = Own
    vae.save(tmp_path / "model.keras")
    with pytest.raises(NeedsKeras, match=r"Expected a likelihood .*Bernoulli.*Received: Own"):
        read_model(tmp_path / "model.keras")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"Expected a run folder with a model\.keras"):
        read_model(tmp_path / "model.keras")


@pytest.mark.parametrize("damage", ["shortened", "changed", "text", "empty"])
def test_a_damaged_file_is_one_error(damage, make_vae, tmp_path):
    path = tmp_path / "model.keras"
    make_vae().save(path)
    content = bytearray(path.read_bytes())
    if damage == "changed":
        content[len(content) // 2] ^= 255
    path.write_bytes(
        {"shortened": content[:-500], "changed": content, "text": b"no archive", "empty": b""}[damage]
    )
    with pytest.raises(ValueError, match=r"Expected a whole model\.keras\. Received: .*model\.keras \("):
        read_model(path)
