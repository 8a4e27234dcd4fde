"""Training that starts from the weights of a run: with new labels, couplings or channels."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from digitvae.config import ConfigError
from digitvae.training import resume, train

# After an epoch or two of a tiny model the code may say little; tests of callbacks are about that warning.
pytestmark = pytest.mark.filterwarnings("ignore:the posterior has collapsed:RuntimeWarning")


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny, dataset):
    """A run of two epochs; tests only read it."""
    return train(tiny(prior="flow"), dataset, tmp_path_factory.mktemp("runs") / "run", progress=False)


@pytest.mark.backend
@pytest.mark.parametrize("couplings", [2, 5])
def test_training_can_start_from_the_weights_of_a_run(couplings, tiny, dataset, tmp_path):
    before = train(
        tiny(prior="flow", condition="none", flow_components=1), dataset, tmp_path / "a", progress=False
    )
    # Couplings that the run does not have begin as the identity.
    tiny = partial(tiny, flow_couplings=couplings)
    config = tiny(prior="flow", start_from=str(before.folder), epochs=1, learning_rate=1e-9)
    assert dataset.train_labels is not None
    after = train(config, dataset, tmp_path / "b", progress=False)
    old, new = before.load_model(), after.load_model()
    assert (old.labels, new.labels) == (0, 3)
    np.testing.assert_allclose(new.encode(dataset.test_images), old.encode(dataset.test_images), atol=1e-4)
    noise = np.random.default_rng(0).standard_normal((6, 4), "float32")
    # The labels are new: at first the map of each is that of the flow without labels.
    for label in range(3):
        latents = new.latents_from_noise(noise, np.full(6, label))
        np.testing.assert_allclose(latents, old.latents_from_noise(noise), atol=1e-4)
    again = train(
        tiny(prior="flow", start_from=str(after.folder), epochs=1), dataset, tmp_path / "c", progress=False
    )
    assert again.config.start_from == str(after.folder)


@pytest.mark.backend
def test_training_can_start_from_smaller_networks(run, tiny, dataset, tmp_path):
    config = tiny(prior="flow", start_from=str(run.folder), width=11, blocks=2, epochs=1, learning_rate=1e-9)
    after = train(config, dataset, tmp_path / "large", progress=False)
    old, new = run.load_model(), after.load_model()
    assert new.count_params() > old.count_params()
    np.testing.assert_allclose(new.encode(dataset.test_images), old.encode(dataset.test_images), atol=1e-4)
    latents = np.random.default_rng(0).standard_normal((6, 4), "float32")
    np.testing.assert_allclose(new.decode(latents), old.decode(latents), atol=1e-4)


def test_weights_of_another_model_are_refused(run, tiny, dataset, tmp_path):
    others = ({"latent_dim": 5}, {"prior": "mixture"}, {"flow_hidden": 9}, {"width": 6})
    for i, changes in enumerate(others):
        config = tiny(**{"prior": "flow", "start_from": str(run.folder)} | changes)
        with pytest.raises(ConfigError, match="Expected start_from to name a run of the same networks"):
            train(config, dataset, tmp_path / str(i), progress=False)
    with pytest.raises(FileNotFoundError, match="absent"):
        train(tiny(start_from="absent"), dataset, tmp_path / "none", progress=False)
    assert not list(tmp_path.iterdir())


def test_a_run_that_starts_from_another_resumes_its_own_weights(run, tiny, dataset, tmp_path):
    config = tiny(prior="flow", start_from=str(run.folder), epochs=2)
    done = train(config, dataset, tmp_path / "done", progress=False)
    before = done.load_model().get_weights()
    resume(done, dataset, progress=False)
    for ours, theirs in zip(done.load_model().get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
