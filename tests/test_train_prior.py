"""The script that trains the prior of a run with labels alone."""

from __future__ import annotations

import numpy as np
import pytest

from digitvae.priors import FlowPrior


@pytest.fixture
def script(load_script):
    return load_script("scripts/train_prior.py")


def trained(script, apart):
    """Return a prior of two labels that was trained on posteriors that overlap, and the training."""
    import keras

    keras.utils.set_random_seed(0)
    labels = np.arange(256, dtype="int32") % 2
    mean = np.random.default_rng(0).normal(size=(256, 2)).astype("float32")
    mean[:, 0] += labels
    posterior = {"mean": mean, "log_scale": np.full_like(mean, -1.0)}
    model = script.PriorTraining(FlowPrior(2, 2, 8, labels=2), apart, 64, 0)
    model.compile(optimizer=keras.optimizers.Adam(0.01))
    before = model.evaluate(posterior, labels, verbose=0)
    model.fit(posterior, labels, batch_size=64, epochs=12, verbose=0)
    return model, before, model.evaluate(posterior, labels, verbose=0)


def uncertainty(prior):
    """Return -log p(y|z) at samples of each label, in nats."""
    labels = np.arange(2000) % 2
    found = prior.distribution(None)
    noise = np.random.default_rng(1).standard_normal((2000, 2)).astype("float32")
    joint = np.asarray(found.log_joint(found.given(np.eye(2, dtype="float32")[labels]).from_noise(noise)))
    return (np.logaddexp.reduce(joint, axis=1) - joint[np.arange(2000), labels]).mean()


def test_training_raises_the_density_and_keeps_labels_apart(script):
    plain, before, after = trained(script, 0.0)
    assert after < before - 0.05
    apart, _, of_apart = trained(script, 5.0)
    assert uncertainty(apart.prior) < 0.8 * uncertainty(plain.prior)
    assert of_apart > after  # the price


def test_validation_is_the_density_alone(script):
    model, *_ = trained(script, 5.0)
    mean = np.random.default_rng(2).normal(size=(50, 2)).astype("float32")
    labels = np.arange(50, dtype="int32") % 2
    # With narrow posteriors the draw is the mean.
    posterior = {"mean": mean, "log_scale": np.full_like(mean, -20.0)}
    joint = np.asarray(model.prior.distribution(None).log_joint(mean))
    expected = -joint[np.arange(50), labels].mean()
    assert model.evaluate(posterior, labels, verbose=0) == pytest.approx(expected, rel=1e-4)
