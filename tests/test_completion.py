"""Inpainting and denoising: what is seen decides, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from digitvae.completion import denoise, inpaint

pytestmark = pytest.mark.backend


@pytest.fixture(scope="module")
def vae(make_vae, blobs):
    """A small model that knows blobs."""
    import keras

    model = make_vae(architecture="dense", blocks=0, width=32)
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=keras.backend.backend() == "jax")
    model.fit(blobs(512, seed=1), batch_size=64, epochs=15, verbose=0)
    return model


@pytest.fixture(scope="module")
def bits(blobs):
    return np.where(blobs(3, seed=7) > 100, 255, 0).astype("uint8")


@pytest.fixture(scope="module")
def right():
    """A mask of the right half."""
    mask = np.zeros((9, 13), bool)
    mask[:, 7:] = True
    return mask


def test_hidden_pixels_have_no_influence(vae, bits, right):
    changed = np.where(right, 255 - bits, bits)
    first, other = (inpaint(vae, images, right, 3) for images in (bits, changed))
    np.testing.assert_array_equal(first[..., right], other[..., right])
    assert first.dtype == np.uint8
    assert first.shape == (3, 3, 9, 13)


def test_visible_pixels_stay_as_they_are(vae, blobs, right):
    grey = blobs(3, seed=7)
    for pixels in ("mean", "sample"):
        completed = inpaint(vae, grey, right, 2, pixels=pixels)
        np.testing.assert_array_equal(completed[..., ~right], np.repeat(grey[:, None], 2, 1)[..., ~right])
    assert np.isin(completed[..., right], (0, 255)).all()


def test_completions_follow_what_is_seen(vae, blobs, right):
    images = blobs(200, seed=9)
    # Blobs that the edge of the mask cuts: their left half tells where the right one is.
    cut = images[images[:, :, 6:8].sum(axis=(1, 2)) > 1900][:8]
    assert len(cut) == 8
    completed = inpaint(vae, np.where(cut > 100, 255, 0), right, 4).astype("float64")[..., right]
    truth = cut[..., right].astype("float64")
    blind = images[..., right].mean(axis=0)
    assert np.abs(completed.mean(axis=1) - truth).mean() < 0.7 * np.abs(blind - truth).mean()


def test_seeds_repeat_and_differ(vae, bits, right):
    first, again, other = (inpaint(vae, bits, right, 2, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_masks_of_single_images(vae, bits, right):
    masks = np.stack([right, ~right, np.ones_like(right)])
    completed = inpaint(vae, bits, masks, 2)
    for one, image, mask in zip(completed, bits, masks, strict=True):
        np.testing.assert_array_equal(one[:, ~mask], np.stack([image[~mask]] * 2))
    # An image alone gets what it gets among others.
    alone = inpaint(vae, bits[:1], right, 2).astype("int32")
    assert np.abs(alone - completed[:1]).max() <= 2
    many, one = (inpaint(vae, images, right, 2, pixels="sample") for images in (bits, bits[:1]))
    assert (many[:1] == one).mean() > 0.98


def test_nothing_hidden_gives_the_image(vae, bits):
    np.testing.assert_array_equal(inpaint(vae, bits, np.zeros((9, 13), bool), 1)[:, 0], bits)


def test_all_hidden_gives_samples(vae, bits):
    completed = inpaint(vae, bits[:1], np.ones((9, 13), bool), 200)[0].astype("float64")
    samples = vae.generate(2000, seed=5).astype("float64")
    spread = samples.std(axis=0)
    assert (np.abs(completed.mean(axis=0) - samples.mean(axis=0)) < 0.3 * spread + 1).all()


def test_denoising_restores(vae, blobs):
    clean = np.where(blobs(8, seed=11) > 100, 255, 0).astype("uint8")
    flipped = np.random.default_rng(0).random(clean.shape) < 0.15
    noisy = np.where(flipped, 255 - clean, clean).astype("uint8")
    restored = denoise(vae, noisy, 0.15)
    assert restored.dtype == np.uint8
    assert restored.shape == clean.shape

    def error(images):
        return np.square(images / 255.0 - clean / 255.0).mean()

    assert error(restored) < 0.5 * error(noisy)
    # That some pixels are wrong must be known: the posterior of a model that believes all of them is worse.
    assert error(restored) < error(denoise(vae, noisy, 0.001))


@pytest.mark.parametrize(
    "mask", [np.ones((9, 12), bool), np.ones((2, 9, 13), bool), np.ones((9, 13)), np.ones((9, 13), "uint8")]
)
def test_masks_of_another_shape_or_type_are_refused(vae, bits, mask):
    with pytest.raises(ValueError, match=r"^Expected a mask of bool, shape .* Received: \w+, shape=\(.*\)$"):
        inpaint(vae, bits, mask)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"completions": 0}, "Expected completions from 1 to 512. Received: completions=0"),
        ({"completions": 513}, "Expected completions from 1 to 512. Received: completions=513"),
        ({"pixels": "x"}, "Expected pixels to be mean or sample. Received: pixels=x"),
    ],
)
def test_wrong_arguments_are_refused(vae, bits, right, arguments, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        inpaint(vae, bits, right, **arguments)


@pytest.mark.parametrize("flip", [0, 0.5, -1, float("nan")])
def test_probabilities_of_flips_are_below_one_half(vae, bits, flip):
    with pytest.raises(ValueError, match=r"^Expected flip to be between 0 and 0.5. Received: flip="):
        denoise(vae, bits, flip)


def test_images_of_another_size_are_refused(vae, right):
    for verb in (lambda images: inpaint(vae, images, right), lambda images: denoise(vae, images)):
        with pytest.raises(ValueError, match=r"^Expected images of 9x13 pixels. Received: 8x8$"):
            verb(np.zeros((1, 8, 8), "uint8"))
