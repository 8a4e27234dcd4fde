"""Averages of the weights: what validates, what is saved, and where training goes on from."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from digitvae.building import build
from digitvae.data import Dataset
from digitvae.training import TrainingInterrupted, resume, train

pytestmark = [
    pytest.mark.backend,
    pytest.mark.filterwarnings("ignore:the posterior has collapsed:RuntimeWarning"),
]

EPOCHS, WINDOW = 4, 3.0


class Seen(keras.callbacks.Callback):
    """Keeps the trainable weights of the model where it validates and after each epoch."""

    def __init__(self, interrupt_in=None):
        super().__init__()
        self.interrupt_in = interrupt_in
        self.own, self.validated = [], []

    def weights(self):
        return [np.array(keras.ops.convert_to_numpy(weight)) for weight in self.model.trainable_variables]

    def on_epoch_begin(self, epoch, logs=None):
        if epoch + 1 == self.interrupt_in:
            raise KeyboardInterrupt

    def on_test_begin(self, logs=None):
        self.validated.append(self.weights())

    def on_epoch_end(self, epoch, logs=None):
        self.own.append(self.weights())


@pytest.fixture(scope="module")
def config(tiny):
    # One batch an epoch: the weights after each step can be seen.
    return tiny(prior="flow", averaging_epochs=WINDOW, epochs=EPOCHS, batch_size=1000, learning_rate=0.01)


@pytest.fixture(scope="module")
def trained(config, dataset, tmp_path_factory):
    """A run and the weights that it had."""
    seen = Seen()
    folder = tmp_path_factory.mktemp("runs") / "run"
    return train(config, dataset, folder, progress=False, callbacks=[seen]), seen


def saved(run):
    return [np.asarray(weight) for weight in run.load_model().trainable_variables]


def test_averages_validate_and_are_saved(trained):
    run, seen = trained
    averages = seen.own[0]
    for own, validated in zip(seen.own, seen.validated, strict=True):
        averages = [a + (w - a) / WINDOW for a, w in zip(averages, own, strict=True)]
        for expected, weight in zip(averages, validated, strict=True):
            np.testing.assert_allclose(weight, expected, atol=1e-6)
    assert all(np.array_equal(a, b) for a, b in zip(saved(run), seen.validated[-1], strict=True))
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(saved(run), seen.own[-1], strict=True))


def test_the_rate_stays(trained, config):
    run, _ = trained
    assert run.history()["learning_rate"] == pytest.approx([config.learning_rate] * EPOCHS)


def test_a_resumed_run_ends_with_the_same_averages(trained, config, dataset, tmp_path):
    run, seen = trained
    with pytest.raises(TrainingInterrupted):
        train(config, dataset, tmp_path / "run", progress=False, callbacks=[Seen(interrupt_in=3)])
    rest = Seen()
    resumed = resume(tmp_path / "run", dataset, progress=False, callbacks=[rest])
    for a, b in zip(seen.own[2:], rest.own, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(saved(run), saved(resumed), strict=True))


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_less_than_a_step_is_no_average(tiny, dataset: Dataset, tmp_path, optimizer):
    seen = Seen()
    config = tiny(averaging_epochs=0.01, optimizer=optimizer, epochs=2)
    run = train(config, dataset, tmp_path / "run", progress=False, callbacks=[seen])
    assert all(np.array_equal(a, b) for a, b in zip(saved(run), seen.own[-1], strict=True))


def test_the_window_counts_epochs(tiny):
    vae = build(tiny(averaging_epochs=2.5), (9, 13), steps_per_epoch=40)
    assert vae.optimizer.use_ema
    assert vae.optimizer.ema_momentum == pytest.approx(0.99)
    assert not build(tiny(), (9, 13)).optimizer.use_ema
