"""A row's result depends on the row, its id and the seed: to the last bit on nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from digitvae.data import draw_bits
from digitvae.evaluation.likelihood import image_bounds
from digitvae.mapping.rows import BATCH, FUNCTIONS, Options, _groups, results, row_bits

OPTIONS = Options(seed=3, draws=3, bits=True)


@pytest.fixture(scope="module", autouse=True)
def _few_draws_at_once():
    """Let three draws take two steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("digitvae.mapping.rows._DRAWS", 2)
        yield


@pytest.fixture(scope="module")
def model(run):
    return run.load_light()


@pytest.fixture(scope="module")
def whole(model, rows):
    return {verb: results(function, model, rows, OPTIONS) for verb, function in FUNCTIONS.items()}


@pytest.mark.parametrize("verb", FUNCTIONS)
def test_results_do_not_depend_on_shards_or_order(model, rows, whole, verb):
    order = np.random.default_rng(0).permutation(len(rows.ids))
    for cut in ([slice(0, 70), slice(70, None)], [order]):
        parts = [results(FUNCTIONS[verb], model, rows.take(some), OPTIONS) for some in cut]
        for name, values in whole[verb].items():
            found = np.concatenate([part[name] for part in parts])
            taken = np.concatenate([values[some] for some in cut])
            assert found.dtype == taken.dtype
            assert found.tobytes() == taken.tobytes(), (verb, name)


def test_every_row_has_its_place_in_a_batch():
    ids = np.random.default_rng(0).choice(10**12, 3000, replace=False)
    seen = np.concatenate(list(_groups(ids)))
    assert len(seen) % BATCH == 0
    places = np.flatnonzero(seen >= 0)
    np.testing.assert_array_equal(np.sort(seen[places]), np.arange(3000))
    np.testing.assert_array_equal(places % BATCH, ids[seen[places]] % BATCH)


def test_images_and_latents_are_those_of_the_model(model, rows, whole):
    np.testing.assert_allclose(whole["encode"]["latents"], model.encode(rows.images), atol=1e-5)
    difference = whole["reconstruct"]["images"].astype(int) - model.reconstruct(rows.images)
    assert abs(difference).max() <= 1


def test_scores_are_the_bounds_that_keras_finds(run, rows, whole):
    vae = run.load_model()
    bounds = image_bounds(vae, row_bits(rows, 3), 3, 3, rows.ids)
    found = whole["score"]
    np.testing.assert_allclose(found["reconstruction"], bounds.reconstruction, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(found["kl"], bounds.kl, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(found["nll"], -bounds.bound, rtol=1e-5, atol=1e-3)
    np.testing.assert_array_equal(found["negative_elbo"], found["reconstruction"] + found["kl"])


def test_bits_have_the_probability_of_their_grey_level(rows):
    many = rows._replace(
        images=np.broadcast_to(np.arange(117, dtype="uint8").reshape(9, 13) * 2, (200, 9, 13))
    )
    bits = row_bits(many, 0)
    assert set(np.unique(bits)) == {0, 255}
    expected = many.images[0] / 255
    assert abs((bits.mean(axis=0) / 255 - expected) / np.sqrt(0.25 / 200)).max() < 4.5
    black_and_white = draw_bits(rows.images, np.random.default_rng(0)) * np.uint8(255)
    np.testing.assert_array_equal(row_bits(rows._replace(images=black_and_white), 1), black_and_white)
    assert (row_bits(many, 1) != bits).any()


def test_generated_images_have_the_labels_of_their_rows(model, rows, monkeypatch):
    seen = []
    decode = type(model).latents_from_noise

    def recorded(self, noise, labels, batch_size):
        seen.append(labels)
        return decode(self, noise, labels, batch_size)

    monkeypatch.setattr(type(model), "latents_from_noise", recorded)
    FUNCTIONS["generate"](model, rows._replace(labels=np.where(rows.labels == 1, 2, rows.labels)), OPTIONS)
    (labels,) = seen
    given = rows.labels >= 0
    np.testing.assert_array_equal(labels[given], np.where(rows.labels == 1, 2, rows.labels)[given])
    # The others are drawn.
    assert set(labels[~given]) == {0, 1, 2}
