"""The figures of a run: the right arrays, drawn into the right files."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from digitvae import figures
from digitvae.building import build
from digitvae.data import Dataset
from digitvae.gallery import _pairs, _some_of_each, draw_figures
from digitvae.latent import label_plane

NAMES = ["samples", "latent_grid", "reconstructions", "interpolations", "training_curves"]


@pytest.fixture(scope="module")
def history():
    """Two epochs as a run keeps them."""
    names = ("loss", "elbo", "reconstruction", "kl")
    columns = {f"{prefix}{name}": [2.0, 1.0] for prefix in ("", "val_") for name in names}
    return {"epoch": [1.0, 2.0], **columns, "learning_rate": [1e-3, 0.0], "seconds": [1.0, 1.0]}


@pytest.fixture(scope="module")
def vae(make_vae):
    """An untrained model."""
    return make_vae(prior="flow")


def test_every_figure_is_a_png_with_a_picture_in_it(vae, dataset, history, tmp_path):
    drawn = draw_figures(vae, dataset, history, tmp_path / "new" / "figures")
    assert len(drawn) == len(NAMES)
    assert sorted(path.name for path in (tmp_path / "new" / "figures").iterdir()) == sorted(
        f"{n}.png" for n in NAMES
    )
    for name in NAMES:
        with Image.open(tmp_path / "new" / "figures" / f"{name}.png") as image:
            assert image.format == "PNG"
            assert min(image.size) > 100
            assert len(set(np.asarray(image.convert("L")).ravel().tolist())) > 5


def test_the_figures_show_what_the_model_makes(vae, dataset, history, tmp_path, monkeypatch):
    given = {}
    for name in ("samples", "reconstructions", "interpolations"):
        original = getattr(figures, name)
        monkeypatch.setattr(
            figures, name, lambda *args, n=name, f=original: given.update({n: args}) or f(*args)
        )
    draw_figures(vae, dataset, history, tmp_path, seed=4)
    np.testing.assert_array_equal(given["samples"][0], vae.generate(100, seed=4))
    originals, copies = given["reconstructions"]
    np.testing.assert_array_equal(copies, vae.reconstruct(originals))
    test = {image.tobytes() for image in dataset.test_images}
    assert {image.tobytes() for image in originals} <= test
    (walks,) = given["interpolations"]
    assert walks.shape[1] == 12
    assert {image.tobytes() for image in walks[:, [0, -1]].reshape(-1, 9, 13)} <= test


def test_a_prior_with_labels_has_a_row_for_each(tiny, dataset, tmp_path, monkeypatch):
    vae = build(tiny(prior="flow"), (9, 13), labels=dataset.train_labels)
    given = {}
    for name in ("samples", "label_grid"):
        original = getattr(figures, name)
        monkeypatch.setattr(
            figures, name, lambda *args, n=name, f=original: given.update({n: args}) or f(*args)
        )
    draw_figures(vae, dataset, {}, tmp_path)
    np.testing.assert_array_equal(given["samples"][0], vae.generate(30, labels=np.repeat(np.arange(3), 10)))
    images, names, _, _ = given["label_grid"]
    np.testing.assert_array_equal(images, label_plane(vae).images)
    assert names == ["0", "", "1", "", "2"]
    assert (tmp_path / "latent_grid.png").exists()


def test_without_a_history_there_are_no_curves(vae, dataset, tmp_path):
    assert len(draw_figures(vae, dataset, {}, tmp_path)) == 4
    assert not (tmp_path / "training_curves.png").exists()


def test_one_test_image_and_no_labels_are_enough(vae, blobs, history, tmp_path):
    few = Dataset("few", blobs(3), None, blobs(1), None)
    assert len(draw_figures(vae, few, history, tmp_path)) == len(NAMES)


def test_test_images_take_turns_through_the_labels(blobs):
    labels = np.array([0] * 20 + [1] * 3 + [2] * 7)
    images = np.arange(30, dtype="uint8")[:, None, None] * np.ones((1, 9, 13), "uint8")
    data = Dataset("d", images, labels, images, labels)
    chosen = _some_of_each(data, 9, seed=0)[:, 0, 0]
    assert labels[chosen].tolist() == [0, 1, 2] * 3
    assert (_some_of_each(data, 9, seed=1)[:, 0, 0] != chosen).any()
    start, end = _pairs(data, 4, seed=0)
    assert (start != end).any(axis=(1, 2)).all()


def test_walks_lead_to_another_label(blobs):
    images = np.arange(40, dtype="uint8")[:, None, None] * np.ones((1, 9, 13), "uint8")
    labels = np.arange(40) % 10
    start, end = _pairs(Dataset("d", images, labels, images, labels), 8, seed=0)
    assert (labels[start[:, 0, 0]] != labels[end[:, 0, 0]]).all()
