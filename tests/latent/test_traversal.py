"""One latent at a time."""

from __future__ import annotations

import numpy as np
import pytest

from digitvae.latent import traverse

pytestmark = pytest.mark.backend


def test_each_row_changes_one_latent_around_the_image(vae, blobs, close):
    images = blobs(40)
    drawn, dimensions, values = traverse(vae, images[3], steps=5, images=images, dimensions=[2, 0])
    assert dimensions.tolist() == [2, 0]
    np.testing.assert_allclose(values, [-3, -1.5, 0, 1.5, 3])
    mean, log_scale = vae.encode_posterior(images)
    spread = np.sqrt(mean.var(axis=0) + np.exp(2 * log_scale).mean(axis=0))
    for row, latent in zip(drawn, dimensions, strict=True):
        latents = np.tile(mean[3], (5, 1))
        latents[:, latent] += values * spread[latent]
        close(row, vae.decode(latents))
    close(drawn[:, 2], np.repeat(vae.reconstruct(images[3:4]), 2, axis=0))
    again = traverse(vae, mean[3:4], steps=5, images=images, dimensions=[2, 0])
    close(again.images, drawn)


def test_the_middle_is_that_of_the_prior_or_of_a_label(plain, labelled, close):
    nothing = np.zeros((1, 4))
    middle = plain.decode(plain.latents_from_noise(nothing))
    close(traverse(plain, steps=3).images[:, 1], np.repeat(middle, 4, axis=0))
    for label in range(3):
        middle = labelled.decode(labelled.latents_from_noise(nothing, [label]))
        close(traverse(labelled, label=label, steps=3).images[:, 1], np.repeat(middle, 4, axis=0))
    middle = labelled.decode(labelled.latents_from_noise(nothing, labelled.label_shares()[None]))
    close(traverse(labelled, steps=3).images[:, 1], np.repeat(middle, 4, axis=0))


def test_latents_come_in_the_order_of_their_information(make_vae, blobs):
    vae = make_vae(architecture="dense", blocks=0)
    kernel, bias = vae.encoder.weights[-2:]
    # Latents differ in how far the mean moves with the image, and latent 1 in how well it is known, too.
    gains = np.array([1.0, 1.0, 20.0, 0.01])
    kernel.assign(np.concatenate([np.asarray(kernel)[:, :1] * gains, np.zeros((8, 4))], axis=1))
    bias.assign(np.concatenate([np.zeros(4), [0, -3, 0, 0]]))
    images = blobs(50)
    order = traverse(vae, images=images).dimensions.tolist()
    mean = vae.encode(images)
    scale = np.exp([0, -3, 0, 0])
    information = np.log(np.sqrt(mean.var(axis=0) + scale**2) / scale)
    assert order == np.argsort(-information).tolist()
    assert order[-1] == 3


def test_an_image_with_as_many_columns_as_latents_is_an_image(make_vae, blobs, close):
    vae = make_vae(latent_dim=13)
    image = blobs(1)[0]
    for form in (image, image / 255):
        drawn = traverse(vae, form, steps=3, dimensions=[0]).images
        close(drawn[:, 1], vae.reconstruct(image[None]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 1}, "Expected steps to be a whole number of at least 2. Received: steps=1"),
        ({"start": 2}, "Expected one start. Received: 2"),
        ({"start": 1, "label": 0}, "Expected a start or a label, not both"),
        ({"label": 3}, "Expected labels from 0 to 2. Received: 3"),
        ({"dimensions": [4]}, "Expected dimensions from 0 to 3. Received: dimensions=.4."),
        ({"dimensions": [-1]}, "Expected dimensions from 0 to 3"),
        ({"dimensions": []}, "Expected dimensions, whole numbers. Received"),
        ({"dimensions": [0.5]}, "Expected dimensions, whole numbers. Received"),
        ({"images": np.zeros((2, 8, 8), "uint8")}, "Expected images of 9x13 pixels. Received: 8x8"),
    ],
)
def test_impossible_traversals_are_refused(labelled, blobs, arguments, message):
    if "start" in arguments:
        arguments = {**arguments, "start": blobs(arguments["start"])}
    with pytest.raises(ValueError, match=message):
        traverse(labelled, **arguments)


def test_a_label_needs_a_model_with_labels(plain):
    with pytest.raises(ValueError, match="Expected a model that was trained with labels"):
        traverse(plain, label=0)
