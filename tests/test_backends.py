"""One model on three backends: the same files, the same noise, the same numbers."""

from __future__ import annotations

import importlib.util
import json

import pytest

pytestmark = pytest.mark.slow

BACKENDS = [name for name in ("tensorflow", "jax", "torch") if importlib.util.find_spec(name)]
SETTINGS = {
    "architecture": "conv", "width": 8, "blocks": 1, "latent_dim": 4, "prior": "flow", "flow_hidden": 16,
    "epochs": 30, "batch_size": 10, "precision": "float32", "learning_rate": 0.005,
}  # fmt: skip
JOB = """
import json, sys
import digitvae
from digitvae.data import load_dataset
from digitvae.evaluation import evaluate
from digitvae.training import train

digits, own, first = sys.argv[1:]
dataset = load_dataset(digits)
trained = train(digitvae.resolve(file="settings.json"), dataset, own, progress=False).history()
vae = digitvae.load(first)
print(json.dumps({
    "trained": trained,
    "test": evaluate(vae, dataset, draws=2, nll_draws=20, nll_images=20)["test"],
    "codes": vae.encode(dataset.test_images[:5]).ravel().tolist(),
    "pixels": vae.generate(5).ravel().tolist(),
}))
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory, python, digits):
    """By backend: the history of a training there, and the first backend's model measured there."""
    if len(BACKENDS) < 2:
        pytest.skip("one backend alone is installed")
    folder = tmp_path_factory.mktemp("backends")
    (folder / "settings.json").write_text(json.dumps(SETTINGS))
    (folder / "job.py").write_text(JOB)
    found = {}
    for name in BACKENDS:
        done = python("job.py", digits, name, BACKENDS[0], cwd=folder, KERAS_BACKEND=name)
        assert done.returncode == 0, done.stderr
        found[name] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", BACKENDS[1:])
def test_training_ends_at_the_same_bound(results, name):
    first, other = (results[backend]["trained"]["elbo"][-1] for backend in (BACKENDS[0], name))
    assert other == pytest.approx(first, rel=0.02)


@pytest.mark.parametrize("name", BACKENDS[1:])
def test_the_same_model_has_the_same_numbers(results, name):
    first, other = (results[backend]["test"] for backend in (BACKENDS[0], name))
    assert other == pytest.approx(first, rel=1e-3)


@pytest.mark.parametrize("name", BACKENDS[1:])
def test_the_same_model_makes_the_same_codes_and_digits(results, name):
    first, other = results[BACKENDS[0]], results[name]
    assert other["codes"] == pytest.approx(first["codes"], abs=1e-4)
    assert other["pixels"] == pytest.approx(first["pixels"], abs=1)
