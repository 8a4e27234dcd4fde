"""From config to model: what is built."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from digitvae.building import build, resolve_auto
from digitvae.config import Config, ConfigError, with_changes
from digitvae.distributions import LIKELIHOODS
from digitvae.objectives import ELBO, IWAE
from digitvae.priors import AutoregressivePrior, FlowPrior, MixturePrior, StandardNormalPrior, VampPrior

pytestmark = pytest.mark.backend


def test_names_become_objects(tiny):
    kinds = {
        "normal": StandardNormalPrior,
        "mixture": MixturePrior,
        "vamp": VampPrior,
        "flow": FlowPrior,
        "autoregressive": AutoregressivePrior,
    }
    for name, kind in kinds.items():
        assert type(build(tiny(prior=name), (9, 13)).prior) is kind
    for name, kind in LIKELIHOODS.items():
        assert build(tiny(likelihood=name), (9, 13)).likelihood is kind
    assert "Conv2D" in {type(layer).__name__ for layer in build(tiny(), (9, 13)).encoder.layers}
    assert "Conv2D" not in {
        type(layer).__name__ for layer in build(tiny(architecture="dense"), (9, 13)).encoder.layers
    }


def test_numbers_reach_their_places(tiny):
    objective = build(
        tiny(draws=2, beta=0.5, free_bits=0.1, warmup_epochs=1.5), (9, 13), steps_per_epoch=7
    ).objective
    assert type(objective) is ELBO
    assert objective.get_config().items() >= {
        "draws": 2, "beta": 0.5, "free_bits": 0.1, "warmup_steps": 10
    }.items()  # fmt: skip
    iwae = build(tiny(objective="iwae", draws=6), (9, 13)).objective
    assert type(iwae) is IWAE
    assert iwae.draws == 6
    prior = build(tiny(prior="flow", flow_couplings=3, flow_hidden=5), (9, 13)).prior
    assert (prior.couplings, prior.hidden, prior.latent_dim) == (3, 5, 4)
    assert build(tiny(prior="mixture", prior_components=6), (9, 13)).prior.components == 6
    vae = build(tiny(latent_dim=5), (10, 12))
    assert (vae.image_shape, vae.latent_dim) == ((10, 12), 5)


def test_vamp_starts_from_the_training_images(tiny, blobs):
    images = np.full((5, 9, 13), 255, "uint8")
    prior = build(tiny(prior="vamp"), (9, 13), images=images).prior
    np.testing.assert_allclose(1 / (1 + np.exp(-prior.pseudo_inputs.numpy())), 0.98, rtol=1e-5)


def test_the_seed_decides_all_weights(tiny):
    def weights(seed):
        return [weight.numpy() for weight in build(tiny(prior="flow", seed=seed), (9, 13)).weights]

    first, other = weights(1), weights(2)
    np.random.default_rng().random()
    for a, b in zip(first, weights(1), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(first, other, strict=True))


def test_the_learning_rate_falls_from_its_peak_to_zero(tiny):
    vae = build(tiny(epochs=3, learning_rate=0.01), (9, 13), steps_per_epoch=4)
    schedule = vae.optimizer._learning_rate
    rates = [float(schedule(step)) for step in range(13)]
    np.testing.assert_allclose(rates, 0.01 * (1 + np.cos(np.pi * np.arange(13) / 12)) / 2, atol=1e-8)


@pytest.mark.parametrize("bfloat16", ["fast", "slow"])
def test_automatic_precision_is_decided_once_and_stays(monkeypatch, bfloat16):
    monkeypatch.setattr("digitvae.building.tensorflow_bfloat16", lambda: bfloat16)
    decided = resolve_auto(Config())
    fast = bfloat16 == "fast" and keras.backend.backend() == "tensorflow"
    assert decided.precision == ("bfloat16" if fast else "float32")
    monkeypatch.setattr("digitvae.building.tensorflow_bfloat16", lambda: "slow" if fast else "fast")
    for precision in ("float32", "bfloat16"):
        assert resolve_auto(Config(precision=precision)).precision == precision


def test_bfloat16_is_refused_where_it_would_end_the_process(monkeypatch):
    monkeypatch.setattr("digitvae.building.tensorflow_bfloat16", lambda: "fatal")
    assert resolve_auto(Config()).precision == "float32"
    if keras.backend.backend() != "tensorflow":
        assert resolve_auto(Config(precision="bfloat16")).precision == "bfloat16"
        return
    with pytest.raises(ConfigError, match=r"Expected precision float32, .*ONEDNN_MAX_CPU_ISA.* bfloat16$"):
        resolve_auto(Config(precision="bfloat16"))


def test_what_is_automatic_becomes_what_it_means_here():
    backend = keras.backend.backend()
    for architecture, activation in {"conv": "relu", "dense": "swish"}.items():
        decided = resolve_auto(Config(architecture=architecture))
        assert (decided.activation, decided.backend) == (activation, backend)
        assert "auto" not in decided.to_dict().values()
        autos = dict.fromkeys(("activation", "backend", "precision", "condition"), "auto")
        assert with_changes(decided, **autos) == Config(architecture=architecture)
    assert resolve_auto(Config(activation="swish")).activation == "swish"


def test_a_config_of_another_backend_is_refused(tiny):
    other = "jax" if keras.backend.backend() != "jax" else "torch"
    with pytest.raises(
        ConfigError, match=f"Expected Keras on {other}, the backend of the config .*Received: "
    ):
        build(tiny(backend=other), (9, 13))


def test_bfloat16_is_inside_the_networks_alone(with_bfloat16, tiny, blobs):
    vae = build(tiny(precision="bfloat16", prior="flow"), (9, 13))
    outputs = vae(blobs(2))
    found = {keras.backend.standardize_dtype(value.dtype) for value in outputs if value is not None}
    assert found == {"float32"}
    assert "bfloat16" in {layer.compute_dtype for layer in vae.decoder.layers}
    assert {str(weight.dtype) for weight in vae.weights} == {"float32"}


@pytest.mark.parametrize(
    ("settings", "labels", "condition"),
    [
        ({}, [0, 1, 2], "label"),
        ({}, [0, 1, -1], "label"),
        ({}, None, "none"),
        ({}, [0, 0], "none"),
        ({}, [-1, -1], "none"),
        ({}, [0, 100], "none"),
        ({"prior": "normal"}, [0, 1], "none"),
        ({"condition": "none"}, [0, 1], "none"),
        ({"condition": "label"}, [0, 100], "label"),
    ],
)
def test_a_flow_depends_on_labels_where_there_are_a_few(settings, labels, condition):
    labels = None if labels is None else np.array(labels)
    assert resolve_auto(Config(**settings), labels).condition == condition


def test_labels_that_are_wanted_must_be_there(tiny):
    with pytest.raises(ConfigError, match=r"Expected labelled data .* Received: data without"):
        build(tiny(prior="flow", condition="label"), (9, 13))


def test_the_prior_starts_from_the_shares_of_the_labels(tiny):
    vae = build(tiny(prior="flow"), (9, 13), labels=np.array([0, 0, 0, 2, -1]))
    assert vae.labels == 3
    np.testing.assert_allclose(vae.label_shares(), [4 / 7, 1 / 7, 2 / 7], rtol=1e-6)
