"""The data of the page: the map, the latents' order, usual likelihoods, and where they are kept."""

from __future__ import annotations

import json

import numpy as np
import pytest

from digitvae import find_run
from digitvae.explorer import data as explorer_data
from digitvae.explorer.data import prepare
from digitvae.explorer.rounding import widened
from digitvae.runs import shipped_models


def read_map(files):
    facts = json.loads(files["explorer.json"])
    count, content = facts["points"], files["map.bin"]
    start = -(-9 * count // 4) * 4
    return (
        np.frombuffer(content, "<f4", 2 * count).reshape(2, count).T,
        np.frombuffer(content, "u1", count, 8 * count),
        widened(content, "i1", (facts["latent_dim"], count), start).T,
    )


def test_the_map_has_latents_and_labels_of_the_test_images(run, data):
    model = run.load_light()
    files = prepare(run, model)
    places, labels, latents = read_map(files)
    expected = model.encode(data.dataset.test_images)
    assert (np.abs(latents - expected) <= np.abs(expected).max(axis=0) / 250).all()
    np.testing.assert_array_equal(labels, data.dataset.test_labels)
    assert places.shape == (12, 2)
    assert places.min() >= 0
    assert places.max() <= 1
    assert len(np.unique(places, axis=0)) == 12


def test_the_facts_are_those_of_the_aggregate_posterior(run, data):
    model = run.load_light()
    facts = json.loads(prepare(run, model)["explorer.json"])
    # Draws from the aggregate posterior instead of formulas.
    mean, log_scale = model.encode_posterior(data.dataset.test_images)
    rng = np.random.default_rng(0)
    z = mean + np.exp(log_scale) * rng.standard_normal((50_000, *mean.shape))
    np.testing.assert_allclose(facts["latent_mean"], z.mean(axis=(0, 1)), atol=0.02)
    np.testing.assert_allclose(facts["latent_scale"], z.std(axis=(0, 1)), rtol=0.01)
    order = facts["information"]
    assert sorted(order) == list(range(model.latent_dim))
    assert (np.diff(np.array(facts["information_nats"])[order]) <= 0).all()
    assert min(facts["information_nats"]) >= 0


def test_information_is_that_of_a_gaussian_channel(run, monkeypatch):
    # z = signal + noise of variances S and N has 0.5 log(1 + S / N) nats of the signal.
    class Channel:
        latent_dim = 2

        def encode_posterior(self, images):
            means = np.tile([[1.0], [-1.0]], (len(images) // 2, 2)) * [3.0, 0.5]
            return means.astype("float32"), np.log(np.full(means.shape, 0.5, "float32"))

        def encode(self, images):
            return np.zeros((len(images), 2), "float32")

        def log_likelihood(self, images, z):
            return -images.sum(axis=(1, 2), dtype="float32")

        def log_prior(self, z):
            return np.full(len(z), -2, "float32")

    facts = json.loads(prepare(run, Channel())["explorer.json"])
    np.testing.assert_allclose(facts["information_nats"], 0.5 * np.log1p([9 / 0.25, 0.25 / 0.25]), atol=1e-4)
    assert facts["information"] == [0, 1]


def test_calibration_is_of_the_validation_images_at_their_means(run, data):
    model = run.load_light()
    facts = json.loads(prepare(run, model, points=12)["explorer.json"])
    usual = data.dataset.train_images[-4:][:3]  # one in twelve of 48 validates; a quarter of the points
    z = model.encode(usual)
    pixels = usual / 255
    mean = np.clip(model.decode(z).astype("float64") / 255, 1e-9, 1 - 1e-9)
    nats = -(pixels * np.log(mean) + (1 - pixels) * np.log1p(-mean)).sum(axis=(1, 2))
    nats -= np.logaddexp.reduce(model.log_joint(z), axis=1)
    # The means were rounded to grey levels.
    np.testing.assert_allclose(facts["calibration"], np.quantile(nats, np.linspace(0, 1, 101)), rtol=0.01)
    assert len(facts["calibration"]) == 101


def test_the_same_seed_gives_the_same_bytes(run):
    model = run.load_light()
    first = prepare(run, model)
    for path in (run.folder / "explorer").iterdir():
        path.unlink()
    assert prepare(run, model) == first


def test_data_are_kept_until_the_model_changes(run, monkeypatch):
    model = run.load_light()
    first = prepare(run, model)
    monkeypatch.setattr(explorer_data, "load_dataset", lambda source: pytest.fail("made again"))
    assert prepare(run, model) == first
    monkeypatch.undo()
    (run.folder / "explorer" / "map.bin").write_bytes(first["map.bin"][:-1])
    assert prepare(run, model) == first
    (run.folder / "explorer" / "explorer.json").write_text("{")
    assert prepare(run, model) == first
    path = run.folder / "model.keras"
    path.write_bytes(path.read_bytes() + b"\0")
    again = prepare(run, model)
    assert (
        json.loads(again["explorer.json"])["model_sha256"]
        != json.loads(first["explorer.json"])["model_sha256"]
    )


def test_data_that_cannot_be_kept_are_made_all_the_same(run):
    (run.folder / "explorer").write_text("in the way")
    assert set(prepare(run, run.load_light())) == {"explorer.json", "map.bin"}
    assert (run.folder / "explorer").read_text() == "in the way"


def test_other_data_than_those_of_the_run_are_refused(run, data):
    with np.load(data.path) as stored:
        arrays = dict(stored)
    arrays["x_test"] = 255 - arrays["x_test"]
    np.savez(data.path, **arrays)
    with pytest.raises(ValueError, match="Expected the data that"):
        prepare(run, run.load_light())


@pytest.mark.parametrize("name", shipped_models())
def test_shipped_models_have_their_data(name, monkeypatch):
    monkeypatch.setattr(explorer_data, "load_dataset", lambda source: pytest.fail("made again"))
    run = find_run(name)
    files = prepare(run, run.load_light())
    places, labels, latents = read_map(files)
    monkeypatch.undo()
    dataset = explorer_data.load_dataset()
    assert len(places) == 10_000
    np.testing.assert_array_equal(labels, dataset.test_labels)
    expected = run.load_light().encode(dataset.test_images[:20])
    # The places of latents are known to half a step, which is less than the encoder is unsure of.
    np.testing.assert_allclose(latents[:20], expected, atol=0.025)
    # Images that are near each other on the map are mostly of the same digit.
    distances = ((places[:500, None] - places[None]) ** 2).sum(axis=2)
    neighbours = distances.argsort(axis=1)[:, 1:11]
    assert (labels[neighbours] == labels[:500, None]).mean() > 0.9
