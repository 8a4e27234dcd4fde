"""One model on three backends: the same files, the same noise, the same numbers."""

from __future__ import annotations

import importlib.util
import json

import pytest

pytestmark = pytest.mark.slow

BACKENDS = [name for name in ("tensorflow", "jax", "torch") if importlib.util.find_spec(name)]
SETTINGS = {
    "architecture": "conv", "width": 8, "blocks": 1, "latent_dim": 4, "prior": "flow", "flow_hidden": 16,
    "epochs": 1, "batch_size": 10, "precision": "float32", "learning_rate": 0.005,
}  # fmt: skip
JOB = """
import json, sys
from pathlib import Path
import digitvae

dataset = digitvae.load_dataset(sys.argv[1])
if not Path("run").exists():
    digitvae.train(digitvae.resolve(file="settings.json"), dataset, "run", progress=False)
vae = digitvae.load("run")
result = {
    "test": digitvae.evaluate(vae, dataset, draws=2, nll_draws=20, nll_images=20)["test"],
    "codes": vae.encode(dataset.test_images[:5]).ravel().tolist(),
    "pixels": vae.generate(5).ravel().tolist(),
}
# On from the same weights with the same batches; bits and noise are each backend's own.
history = vae.fit(dataset.train_images, batch_size=20, epochs=4, shuffle=False, verbose=0).history
print(json.dumps({**result, "elbo": history["elbo"][-1]}))
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory, python, digits):
    """By backend: the measures of a model that the first one trained, and where training on from it leads."""
    if len(BACKENDS) < 2:
        pytest.skip("one backend alone is installed")
    folder = tmp_path_factory.mktemp("backends")
    (folder / "settings.json").write_text(json.dumps(SETTINGS))
    (folder / "job.py").write_text(JOB)
    found = {}
    for name in BACKENDS:
        done = python("job.py", digits, cwd=folder, KERAS_BACKEND=name)
        assert done.returncode == 0, done.stderr
        found[name] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", BACKENDS[1:])
def test_training_leads_to_the_same_bound(results, name):
    first, other = (results[backend]["elbo"] for backend in (BACKENDS[0], name))
    assert first > results[BACKENDS[0]]["test"]["elbo"] + 10, "training went nowhere"
    assert other == pytest.approx(first, rel=0.02)


@pytest.mark.parametrize("name", BACKENDS[1:])
def test_the_same_model_has_the_same_numbers(results, name):
    first, other = (results[backend]["test"] for backend in (BACKENDS[0], name))
    assert other.pop("nll_estimate_interval") == pytest.approx(first["nll_estimate_interval"], rel=1e-3)
    assert other == pytest.approx({key: first[key] for key in other}, rel=1e-3)


@pytest.mark.parametrize("name", BACKENDS[1:])
def test_the_same_model_makes_the_same_codes_and_digits(results, name):
    first, other = results[BACKENDS[0]], results[name]
    assert other["codes"] == pytest.approx(first["codes"], abs=1e-4)
    assert other["pixels"] == pytest.approx(first["pixels"], abs=1)
