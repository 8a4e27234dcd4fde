"""The model's own face: bits, evaluation, encoding, generation, saving, and being a plain Keras model."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

pytestmark = pytest.mark.backend

to_numpy = ops.convert_to_numpy
PRIORS = ("normal", "mixture", "vamp", "flow")


@pytest.fixture(scope="module")
def vae(make_vae, blobs):
    """A model after some steps; tests leave its weights alone."""
    vae = make_vae(prior="flow")
    vae.fit(blobs(64), batch_size=8, epochs=3, verbose=0)
    return vae


def grey(level, n=40, size=(9, 13)):
    """Returns images of one grey level."""
    return np.full((n, *size), level, "uint8")


def test_bits_are_drawn_with_the_grey_level_as_probability(vae):
    for level in (26, 128, 230):
        bits = to_numpy(vae.observe(grey(level, n=400)))
        assert set(np.unique(bits)) == {0.0, 1.0}
        p = level / 255
        assert bits.mean() == pytest.approx(p, abs=5 * np.sqrt(p * (1 - p) / bits.size))
    again = [to_numpy(vae.observe(grey(128))) for _ in range(2)]
    assert (again[0] != again[1]).any(), "every pass draws fresh bits"


def test_bits_stay_bits(vae):
    bits = np.random.default_rng(0).choice(np.array([0, 255], "uint8"), (200, 9, 13))
    np.testing.assert_array_equal(to_numpy(vae.observe(bits)) * 255, bits)
    np.testing.assert_array_equal(to_numpy(vae.observe(bits > 0)) * 255, bits)


def test_grey_models_see_grey(make_vae):
    model = make_vae(likelihood="continuous_bernoulli")
    levels = np.arange(117, dtype="uint8").reshape(1, 9, 13)
    np.testing.assert_allclose(to_numpy(model.observe(levels)), levels / 255, rtol=1e-6)


def test_the_posterior_is_split_into_mean_and_log_scale(vae, blobs):
    outputs = to_numpy(vae.encoder(blobs(3).astype("float32") / 255))
    posterior = vae.posterior(ops.convert_to_tensor(blobs(3).astype("float32") / 255))
    np.testing.assert_allclose(to_numpy(posterior.mean), outputs[:, :4], rtol=1e-5)
    np.testing.assert_allclose(to_numpy(posterior.log_scale), outputs[:, 4:], rtol=1e-5)
    np.testing.assert_allclose(vae.encode(blobs(3)), outputs[:, :4], atol=1e-6)


def test_parameters_are_decoded_in_their_places(vae):
    z = np.random.default_rng(0).standard_normal((3, 2, 4), "float32")
    together = to_numpy(vae.decode_params(ops.convert_to_tensor(z)))
    for i, j in np.ndindex(3, 2):
        np.testing.assert_allclose(together[i, j], to_numpy(vae.decoder(z[i, j][None]))[0], atol=1e-5)


# fit and evaluate


def test_training_improves_the_bound(make_vae, blobs):
    vae = make_vae(likelihood="continuous_bernoulli", width=16)
    elbo = vae.fit(blobs(128), batch_size=16, epochs=8, verbose=0).history["elbo"]
    assert elbo[-1] > elbo[0] + 5


def test_fit_works_as_in_keras(make_vae, blobs):
    vae = make_vae()
    seen = []
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(sorted(logs)))
    images = blobs(20)
    history = vae.fit(
        images.astype("float64") / 255,
        validation_split=0.2,
        batch_size=8,
        epochs=2,
        verbose=0,
        callbacks=[callback],
    )
    names = ["elbo", "kl", "loss", "reconstruction"]
    assert seen == [sorted(names + [f"val_{name}" for name in names])] * 2
    assert np.isfinite(list(history.history.values())).all()


def test_validation_does_not_touch_training(make_vae, blobs):
    histories = []
    for validation in (None, (blobs(9, seed=1),)):
        vae = make_vae()
        histories.append(
            vae.fit(
                blobs(24), batch_size=8, epochs=3, shuffle=False, verbose=0, validation_data=validation
            ).history
        )
    for name in ("loss", "elbo"):
        assert histories[0][name] == histories[1][name]


def test_validation_images_are_read_like_training_images(make_vae, blobs):
    histories = []
    for images in (blobs(16), blobs(16).astype("float64") / 255):
        vae = make_vae(likelihood="continuous_bernoulli")
        histories.append(
            vae.fit(blobs(8), batch_size=8, shuffle=False, verbose=0, validation_data=(images,)).history[
                "val_elbo"
            ]
        )
    assert histories[0] == pytest.approx(histories[1], rel=1e-5)


def test_every_epoch_has_new_noise(make_vae, blobs):
    vae = make_vae()
    vae.compile(optimizer=keras.optimizers.SGD(0.0))
    loss = vae.fit(blobs(24), batch_size=8, epochs=3, shuffle=False, verbose=0).history["loss"]
    assert len(set(loss)) == 3


def test_evaluation_repeats_and_leaves_the_random_state(vae, blobs):
    before = vae.seed_generator.state.numpy().copy()
    first, second = (vae.evaluate(blobs(20), batch_size=8, verbose=0) for _ in range(2))
    other = vae.evaluate(blobs(20), batch_size=8, verbose=0, seed=1)
    np.testing.assert_array_equal(vae.seed_generator.state.numpy(), before)
    assert first == second
    assert first != other


def test_a_failed_evaluation_leaves_the_random_state(vae):
    before = vae.seed_generator.state.numpy().copy()
    with pytest.raises(ValueError, match="9x13"):
        vae.evaluate(grey(0, size=(10, 13)))
    np.testing.assert_array_equal(vae.seed_generator.state.numpy(), before)


def test_evaluation_does_not_depend_on_the_batch_size(vae, blobs):
    bits = np.where(blobs(400) > 127, 255, 0).astype("uint8")
    small, large = (
        vae.evaluate(bits, batch_size=size, verbose=0, return_dict=True)["elbo"] for size in (50, 400)
    )
    assert small == pytest.approx(large, abs=0.5)


# encode


def test_encoding_does_not_depend_on_the_batch_size(vae, blobs):
    images = blobs(37)
    whole = vae.encode(images)
    for size in (1, 8, 36, 1000):
        np.testing.assert_allclose(vae.encode(images, batch_size=size), whole, atol=1e-5)
    np.testing.assert_allclose(vae.encode(images[5]), whole[5:6], atol=1e-5)


def test_sampled_codes_follow_the_posterior(vae, blobs):
    image = blobs(1)
    many = vae.encode(np.repeat(image, 4000, axis=0), sample=True)
    outputs = to_numpy(vae.encoder(image.astype("float32") / 255))[0]
    scale = np.exp(outputs[4:])
    np.testing.assert_allclose(many.mean(axis=0), outputs[:4], atol=5 * scale.max() / np.sqrt(4000))
    np.testing.assert_allclose(many.std(axis=0), scale, rtol=0.1)
    np.testing.assert_array_equal(
        vae.encode(image, sample=True, seed=2), vae.encode(image, sample=True, seed=2)
    )
    assert (vae.encode(image, sample=True, seed=2) != vae.encode(image, sample=True, seed=3)).any()
    images = blobs(20)
    np.testing.assert_allclose(
        vae.encode(images, sample=True, batch_size=6), vae.encode(images, sample=True), atol=1e-5
    )


def test_images_come_in_every_accepted_form(vae, blobs):
    images = blobs(6)
    expected = vae.encode(images)
    for form in (
        images / 255,
        images[..., None],
        images.tolist(),
        images.astype("int64"),
        images / np.float32(255),
    ):
        np.testing.assert_array_equal(vae.encode(form), expected)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((0, 9, 13), "uint8"), "Expected at least one image"),
        ([], "Expected at least one image"),
        (np.zeros((2, 13, 9), "uint8"), r"Expected images of 9x13 pixels. Received: 13x9"),
        (np.zeros((2, 28, 28), "uint8"), r"Expected images of 9x13 pixels. Received: 28x28"),
        (np.full((2, 9, 13), np.nan), "Expected finite images"),
        (np.full((2, 9, 13), 7.0), r"Expected float images in \[0, 1\]"),
    ],
)
@pytest.mark.parametrize("method", ["encode", "reconstruct", "evaluate", "fit"])
def test_other_images_are_refused(vae, method, images, message):
    with pytest.raises(ValueError, match=message) as caught:
        getattr(vae, method)(images)
    assert "\n" not in str(caught.value)


# decode and generate


def test_decoding_is_the_mean_of_the_likelihood(vae):
    latents = np.random.default_rng(0).standard_normal((5, 4), "float32")
    logits = to_numpy(vae.decoder(latents))[..., 0].astype("float64")
    expected = np.rint(255 / (1 + np.exp(-logits)))
    assert np.abs(vae.decode(latents).astype(float) - expected).max() <= 1
    for size in (1, 2, 4):
        assert np.abs(vae.decode(latents, batch_size=size).astype(float) - expected).max() <= 1


@pytest.mark.parametrize(
    "latents", [np.zeros((2, 3)), np.zeros(4), np.zeros((1, 2, 4)), np.full((2, 4), np.inf)]
)
@pytest.mark.parametrize("method", ["decode", "latents_from_noise", "noise_from_latents"])
def test_other_latents_are_refused(vae, method, latents):
    with pytest.raises(ValueError, match=r"Expected .*latents.* Received: "):
        getattr(vae, method)(latents)


def test_fewer_images_are_the_first_of_more(vae):
    many = vae.generate(40, seed=5)
    for n in (1, 7, 32):
        assert np.abs(vae.generate(n, seed=5).astype(int) - many[:n]).max() <= 1
    np.testing.assert_array_equal(vae.generate(40, seed=5), many)
    assert (vae.generate(40, seed=6) != many).any()
    assert len(np.unique(many, axis=0)) > 30


@pytest.mark.parametrize("n", [0, -1, 2.0, True, "3", None])
def test_generate_wants_a_count(vae, n):
    with pytest.raises(ValueError, match="Expected n to be a whole number of at least 1"):
        vae.generate(n)


@pytest.mark.parametrize("batch_size", [0, -1])
def test_batches_hold_something(vae, blobs, batch_size):
    for call in (
        lambda: vae.encode(blobs(2), batch_size=batch_size),
        lambda: vae.decode(np.zeros((2, 4)), batch_size=batch_size),
        lambda: vae.generate(2, batch_size=batch_size),
    ):
        with pytest.raises(ValueError, match="Expected batch_size to be at least 1"):
            call()


@pytest.mark.parametrize("prior", PRIORS)
def test_noise_and_latents_are_two_names_of_one_point(make_vae, blobs, prior):
    vae = make_vae(prior=prior, images=blobs(10), latent_dim=3)
    rng = np.random.default_rng(0)
    for weight in vae.prior.weights:
        weight.assign(weight.numpy() + rng.normal(scale=0.2, size=weight.shape))
    noise = rng.standard_normal((50, 3)).astype("float32")
    latents = vae.latents_from_noise(noise)
    np.testing.assert_allclose(vae.noise_from_latents(latents), noise, atol=5e-3)
    np.testing.assert_allclose(vae.latents_from_noise(vae.noise_from_latents(latents)), latents, atol=5e-3)
    assert (prior == "normal") == np.allclose(latents, noise)
