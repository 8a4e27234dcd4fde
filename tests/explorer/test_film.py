"""The film of a training: what it records, how large it gets, and that the training does not notice it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from digitvae.data import load_dataset
from digitvae.data.arrays import Part
from digitvae.explorer import film as module
from digitvae.explorer.film import Camera, Film
from digitvae.runs import Run
from digitvae.training import resume, train


def frame(run, entry, facts):
    """Return places, samples and reconstructions of a frame."""
    content = (run / entry["file"]).read_bytes()
    points, (height, width) = facts["points"], facts["image_shape"]
    images = np.frombuffer(content, "u1", offset=8 * points).reshape(-1, height, width)
    assert len(images) == facts["samples"] + facts["reconstructions"]
    places = np.frombuffer(content, "<f4", 2 * points).reshape(2, points).T
    return places, images[: facts["samples"]], images[facts["samples"] :]


@pytest.fixture(scope="module")
def trained(tiny, digits, tmp_path_factory):
    """A run of three epochs on real digits."""
    config = tiny(architecture="dense", prior="flow", data=str(digits), epochs=3, seed=5)
    return train(config, folder=tmp_path_factory.mktemp("film") / "run", progress=False)


def test_every_epoch_has_a_frame_of_the_model_as_it_was(trained):
    facts = json.loads(Film(trained.folder).read("film.json"))
    assert [entry["epoch"] for entry in facts["epochs"]] == [1, 2, 3]
    assert facts["epochs_planned"] == 3
    np.testing.assert_allclose([e["elbo"] for e in facts["epochs"]], trained.history()["val_elbo"], atol=1e-4)
    model, images = trained.load_light(), load_dataset(trained.config.data).train_images[-50:]
    places, samples, reconstructions = frame(trained.folder, facts["epochs"][-1], facts)
    assert places.shape == (50, 2)
    assert ((places >= 0) & (places <= 1)).all()
    expected = model.reconstruct(images[:10]).astype(int)
    assert np.abs(reconstructions - expected).max() <= 1
    _, before, others = frame(trained.folder, facts["epochs"][0], facts)
    assert np.abs(reconstructions - others.astype(int)).max() > 1
    assert (before != samples).any()


def test_the_originals_stand_in_the_base(trained):
    film = Film(trained.folder)
    facts = json.loads(film.read("film.json"))
    base = film.read(facts["base"])
    images = load_dataset(trained.config.data).train_images[-50:]
    assert base[: 10 * 784] == images[:10].tobytes()
    assert base[10 * 784 :] == b"\xff" * 50


def test_samples_are_of_the_same_noise(make_vae, tmp_path, blobs):
    vae = make_vae(images=blobs(8), architecture="dense", prior="flow")
    camera = Camera(tmp_path, Part(blobs(20), None), 9, 3)
    camera.start(0)
    camera.record(vae, 1, -5.0)
    camera.record(vae, 2, -4.0)
    film = Film(tmp_path)
    first, second = (film.read(entry["file"]) for entry in film.frames())
    images = slice(8 * 20, None)
    assert first[images] == second[images]


def test_points_have_their_labels(tmp_path, blobs):
    labels = np.arange(20) % 3
    labels[4], labels[5] = -1, 300
    Camera(tmp_path, Part(blobs(20), labels), 9, 3).start(0)
    shown = np.frombuffer(Film(tmp_path).read("film/base.bin"), "u1", 20, 10 * 9 * 13)
    np.testing.assert_array_equal(shown, np.where((labels < 0) | (labels > 254), 255, labels))


def test_samples_show_all_labels(run, data):
    model = run.load_light()
    camera = Camera(run.folder, Part(data.dataset.train_images, None), 9, 3)
    camera.start(0)
    asked = []
    from_noise = model.latents_from_noise
    model.latents_from_noise = lambda noise, labels: asked.extend(labels) or from_noise(noise, labels)
    camera.record(model, 1, -5.0)
    assert asked == [0, 1, 2] * 6 + [0, 1]


def test_a_film_of_many_epochs_or_large_images_stays_small(make_vae, tmp_path, blobs, monkeypatch):
    monkeypatch.setattr(module, "_MOST_BYTES", 20_000)
    vae = make_vae(images=blobs(8), architecture="dense")
    camera = Camera(tmp_path, Part(blobs(20), None), 37, 3)
    camera.start(0)
    for epoch in range(1, 38):
        camera.record(vae, epoch, -float(epoch))
    epochs = [entry["epoch"] for entry in Film(tmp_path).frames()]
    assert (epochs[0], epochs[-1]) == (1, 37)
    assert 3 < len(epochs) < 8
    size = sum(path.stat().st_size for path in (tmp_path / "film").glob("e*.bin"))
    assert size < 20_000 + 2 * 8000


def test_training_does_not_notice_it(trained, tiny, digits, tmp_path, monkeypatch):
    monkeypatch.setattr(Camera, "record", lambda *arguments: None)
    config = tiny(architecture="dense", prior="flow", data=str(digits), epochs=3, seed=5)
    other = train(config, folder=tmp_path / "run", progress=False)
    assert Film(other.folder).frames() == []
    for name, values in trained.history().items():
        if name != "seconds":
            assert other.history()[name] == values
    pairs = zip(trained.load_model().weights, other.load_model().weights, strict=True)
    for one, another in pairs:
        np.testing.assert_array_equal(one, another)


def test_a_resumed_run_has_the_film_of_an_uninterrupted_one(trained, tiny, digits, tmp_path):
    class Stop(Exception):
        pass

    def stop(run):
        record = Camera.record

        def once(self, model, epoch, elbo):
            record(self, model, epoch, elbo)
            if epoch == 2:
                Camera.record = record
                raise Stop

        Camera.record = once

    config = tiny(architecture="dense", prior="flow", data=str(digits), epochs=3, seed=5)
    with pytest.raises(Stop):
        train(config, folder=tmp_path / "run", progress=False, started=stop)
    run = Run.open(tmp_path / "run")
    assert len(Film(run.folder).frames()) == 2
    resume(run, progress=False)
    found, expected = (
        {path.name: path.read_bytes() for path in Path(folder, "film").iterdir()}
        for folder in (run.folder, trained.folder)
    )
    assert found == expected


def test_frames_after_the_checkpoint_are_dropped(make_vae, tmp_path, blobs):
    vae, part = make_vae(images=blobs(8), architecture="dense"), Part(blobs(20), None)
    camera = Camera(tmp_path, part, 9, 3)
    camera.start(0)
    for epoch in (1, 2):
        camera.record(vae, epoch, -5.0)
    Camera(tmp_path, part, 9, 3).start(1)
    assert [entry["epoch"] for entry in Film(tmp_path).frames()] == [1]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"epochs": 3}', '{"epochs": [3]}'])
def test_a_damaged_film_is_none(tmp_path, content):
    (tmp_path / "film").mkdir()
    (tmp_path / "film" / "film.json").write_text(content)
    assert Film(tmp_path).frames() == []
    assert Film(tmp_path).names() == []


def test_it_reads_only_its_own_files(trained):
    film = Film(trained.folder)
    assert film.read("film/e001.bin") is not None
    for name in (
        "film/../config.json",
        "config.json",
        "film/film.json",
        "film/e1.bin",
        "film/e001.bin/",
        "film/",
    ):
        assert film.read(name) is None


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_latents_that_have_run_away_do_not_end_a_training(make_vae, tmp_path, blobs, monkeypatch, value):
    vae = make_vae(images=blobs(8), architecture="dense")
    monkeypatch.setattr(vae, "encode", lambda images: np.full((len(images), 4), value, "float32"))
    monkeypatch.setattr(vae, "latents_from_noise", lambda noise, labels: np.full_like(noise, value))
    camera = Camera(tmp_path, Part(blobs(20), np.arange(20) % 4), 9, 3)
    camera.start(0)
    camera.record(vae, 1, -5.0)
    content = Film(tmp_path).read("film/e001.bin")
    assert np.isfinite(np.frombuffer(content, "<f4", 40)).all()


def test_places_do_not_jump(make_vae, tmp_path, blobs):
    # The same model with its latents in another order has the same film.
    class Turned:
        labels = 0
        latent_dim = 4

        def __init__(self, vae, order):
            self.vae, self.order = vae, order

        def encode(self, images):
            return self.vae.encode(images)[:, self.order] * np.float32([1, -1, 1, -1])

        def latents_from_noise(self, noise, labels):
            return noise

        def decode(self, latents):
            return self.vae.decode(latents)

    vae = make_vae(images=blobs(8), architecture="dense")
    camera = Camera(tmp_path, Part(blobs(20), np.arange(20) % 4), 9, 3)
    camera.start(0)
    for epoch, order in enumerate(([0, 1, 2, 3], [3, 1, 0, 2], [2, 3, 1, 0]), 1):
        camera.record(Turned(vae, order), epoch, -5.0)
    film = Film(tmp_path)
    first, *others = (np.frombuffer(film.read(e["file"]), "<f4", 40) for e in film.frames())
    for other in others:
        np.testing.assert_allclose(other, first, atol=0.01)
