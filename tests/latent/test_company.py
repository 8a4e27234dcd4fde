"""What a verb makes of an image depends neither on the batch size nor on the images after it."""

from __future__ import annotations

import numpy as np
import pytest

from digitvae import trained
from digitvae.latent import arithmetic, classify, neighbours, restyle

pytestmark = pytest.mark.backend
MOST = 37


def _noise(images):
    return np.random.default_rng(3).standard_normal((len(images), 4), "float32")


# Each gives a row for each image; where there are labels, the last ones need them.
BATCHED = {
    "encode": lambda vae, images, size: vae.encode(images, size),
    "encode, drawn": lambda vae, images, size: vae.encode(images, size, sample=True, seed=5),
    "posterior": lambda vae, images, size: np.stack(vae.encode_posterior(images, size), axis=1),
    "decode": lambda vae, images, size: vae.decode(_noise(images), size),
    "decode, drawn": lambda vae, images, size: vae.decode(_noise(images), size, "sample", seed=5),
    "reconstruct": lambda vae, images, size: vae.reconstruct(images, size),
    "generate": lambda vae, images, size: vae.generate(len(images), 5, size),
    "generate, drawn": lambda vae, images, size: vae.generate(len(images), 5, size, "sample"),
    "log-likelihood": lambda vae, images, size: vae.log_likelihood(images, _noise(images), size),
}
OTHERS = {
    "log-prior": lambda vae, images: vae.log_prior(_noise(images)),
    "noise": lambda vae, images: vae.noise_from_latents(_noise(images)),
    "arithmetic": lambda vae, images: arithmetic(vae, images, images[:1], _noise(images)[:1]),
    "neighbours": lambda vae, images: neighbours(vae, images, _noise(np.zeros(50)), k=3)[1],
    "neighbours in pixels": lambda vae, images: neighbours(vae, images, images[:1], k=1, space="pixels")[1],
    "log-joint": lambda vae, images: vae.log_joint(_noise(images)),
    "labels": lambda vae, images: vae.label_probabilities(_noise(images)),
    "draw labels": lambda vae, images: vae.draw_labels(len(images), 5),
    "from noise": lambda vae, images: vae.latents_from_noise(_noise(images), np.arange(len(images)) % 3),
    "restyle": lambda vae, images: restyle(vae, images, [2, 0]),
    "classify": lambda vae, images: classify(vae, images),
    "classify by draws": lambda vae, images: classify(vae, images, draws=3, seed=5),
}
LABELLED = list(OTHERS)[5:]


def check_equal(found, expected):
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    if found.dtype == np.uint8:
        # Rounding may turn a grey level by one, or seldom a drawn bit.
        assert (np.abs(found.astype(int) - expected) > 1).mean() < 0.01
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("verb", BATCHED)
def test_in_any_batches(vae, blobs, verb):
    images = blobs(MOST)
    whole = BATCHED[verb](vae, images, 256)
    assert len(whole) == MOST
    for size in (1, 36):
        check_equal(BATCHED[verb](vae, images, size), whole)
    for count in (1, 17):
        check_equal(BATCHED[verb](vae, images[:count], 36), whole[:count])


@pytest.mark.parametrize("verb", OTHERS)
def test_in_any_company(models, blobs, monkeypatch, verb):
    vae, images = models["labelled"], blobs(MOST)
    whole = OTHERS[verb](vae, images)
    for count in (1, 17):
        check_equal(OTHERS[verb](vae, images[:count]), whole[:count])
    cut = trained.padded_batches
    monkeypatch.setattr(trained, "padded_batches", lambda values, size, doing="": cut(values, 36, doing))
    check_equal(OTHERS[verb](vae, images), whole)
    if verb not in LABELLED:
        plain = OTHERS[verb](models["plain"], images)
        check_equal(OTHERS[verb](models["plain"], images[:17]), plain[:17])


def test_no_rows_have_the_shape_of_rows(labelled):
    nothing = np.zeros((0, 4))
    assert labelled.decode(nothing).shape == labelled.decode(nothing, pixels="sample").shape == (0, 9, 13)
    assert labelled.log_prior(nothing).shape == (0,)
    assert labelled.log_joint(nothing).shape == labelled.label_probabilities(nothing).shape == (0, 3)
    assert labelled.noise_from_latents(nothing).shape == (0, 4)
    assert labelled.latents_from_noise(nothing, np.zeros(0, int)).shape == (0, 4)
    assert labelled.draw_labels(0).shape == (0,)


@pytest.mark.parametrize("verb", [verb for verb in BATCHED if verb != "decode" and verb != "decode, drawn"])
def test_no_images_are_refused(labelled, blobs, verb):
    with pytest.raises(ValueError, match=r"^Expected (at least one image|n to be a whole number)"):
        BATCHED[verb](labelled, blobs(1)[:0], 5)
