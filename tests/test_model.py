"""The model's own face: bits, evaluation, encoding, generation, saving, and being a plain Keras model."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from digitvae.building import build
from digitvae.distributions import Likelihood
from digitvae.model import VAE

pytestmark = pytest.mark.backend

to_numpy = ops.convert_to_numpy
PRIORS = ("normal", "mixture", "vamp", "flow", "autoregressive")


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


def test_sample_weights_weigh_images(make_vae, blobs):
    images = blobs(8)
    measured = make_vae(likelihood="continuous_bernoulli")

    def losses(rows, **options):
        return measured.evaluate(images[rows], batch_size=8, verbose=0, return_dict=True, **options)

    # The same noise for an image in the same place of a batch.
    first, every = losses(slice(0, 4))["loss"], losses(slice(0, 8))["loss"]
    halves = losses(slice(0, 8), sample_weight=np.repeat([1.0, 0.0], 4))
    assert halves["loss"] == pytest.approx(
        losses(slice(0, 8), sample_weight=np.repeat([2.0, 0.0], 4))["loss"] / 2
    )
    other = losses(slice(0, 8), sample_weight=np.repeat([0.0, 1.0], 4))["loss"]
    assert halves["loss"] + other == pytest.approx(every, rel=1e-5)
    assert halves["loss"] == pytest.approx(first / 2, rel=0.2)
    assert halves["elbo"] == pytest.approx(-2 * halves["loss"], rel=1e-5)


def test_weights_of_zero_teach_nothing(make_vae, blobs):
    images, labels = blobs(16), np.arange(16) % 2
    for options in ({"sample_weight": np.zeros(16)}, {"y": labels, "class_weight": {0: 0.0, 1: 0.0}}):
        vae = make_vae()
        before = [weight.numpy().copy() for weight in vae.trainable_weights]
        vae.fit(images, batch_size=8, verbose=0, **options)
        for old, new in zip(before, vae.trainable_weights, strict=True):
            np.testing.assert_array_equal(old, new.numpy())


def test_class_weights_weigh_classes(make_vae, blobs):
    images, labels = blobs(16), np.arange(16) % 2
    weights = np.where(labels == 0, 3.0, 0.5)
    options = {"batch_size": 8, "epochs": 2, "shuffle": False, "verbose": 0}
    by_class = make_vae().fit(images, labels, class_weight={0: 3.0, 1: 0.5}, **options).history["loss"]
    by_image = make_vae().fit(images, sample_weight=weights, **options).history["loss"]
    plain = make_vae().fit(images, **options).history["loss"]
    assert by_class == pytest.approx(by_image, rel=1e-5)
    assert by_class != pytest.approx(plain, rel=1e-2)


def test_class_weights_need_classes(make_vae, blobs):
    with pytest.raises(ValueError, match=r"Expected labels, y, with class_weight\. Received: no y"):
        make_vae().fit(blobs(8), class_weight={0: 1.0})


def test_losses_of_regularizers_count(make_vae, blobs):
    plain = make_vae(architecture="dense", blocks=0)
    for layer in (plain.encoder, plain.decoder):
        assert not layer.losses
    images = keras.Input((9, 13))
    hidden = keras.layers.Dense(8, kernel_regularizer=keras.regularizers.L2(0.3))
    encoder = keras.Model(images, hidden(keras.layers.Flatten()(images)))
    regularized, free = (
        VAE(encoder, plain.decoder, plain.prior, plain.likelihood, plain.objective, seed=0) for _ in range(2)
    )
    regularized.compile(optimizer=keras.optimizers.SGD(0.0))
    expected = 0.3 * float(np.square(hidden.kernel.numpy()).sum())
    with_penalty = regularized.evaluate(blobs(8), verbose=0, return_dict=True)
    hidden.kernel.regularizer = None
    free.compile(optimizer=keras.optimizers.SGD(0.0))
    without = free.evaluate(blobs(8), verbose=0, return_dict=True)
    assert with_penalty["elbo"] == pytest.approx(without["elbo"], rel=1e-5)
    assert with_penalty["loss"] - without["loss"] == pytest.approx(expected, rel=1e-3)


def test_the_networks_of_the_caller_stay_as_they_are(make_vae):
    vae = make_vae()
    networks = [keras.models.clone_model(network) for network in (vae.encoder, vae.decoder)]
    before = [network.jit_compile for network in networks]
    VAE(*networks, vae.prior, vae.likelihood, vae.objective)
    assert [network.jit_compile for network in networks] == before


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


def test_samples_of_pixels_are_draws_around_their_mean(vae):
    latents = np.repeat(np.random.default_rng(0).standard_normal((1, 4), "float32"), 3000, axis=0)
    drawn = vae.decode(latents, pixels="sample", seed=1)
    assert set(np.unique(drawn)) == {0, 255}
    expected = vae.decode(latents[:1])[0] / 255
    error = 5 * np.sqrt(expected * (1 - expected) / 3000) + 0.004
    assert (np.abs(drawn.mean(axis=0) / 255 - expected) < error).all()
    np.testing.assert_array_equal(vae.decode(latents, 7, "sample", 1)[:50], drawn[:50])
    assert (vae.decode(latents, pixels="sample", seed=2) != drawn).any()
    assert set(np.unique(vae.generate(5, pixels="sample"))) == {0, 255}
    with pytest.raises(ValueError, match=r"Expected pixels to be mean or sample\. Received: pixels=bits"):
        vae.generate(5, pixels="bits")


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


# saving


class HalfGaussian(Likelihood):
    """A likelihood that somebody wrote for themselves."""

    def __init__(self, params):
        self.means = params[..., 0]

    @staticmethod
    def channels():
        return 1

    @property
    def mean(self):
        return ops.sigmoid(self.means)

    def sample(self, uniform):
        return ops.cast(uniform[..., 0] < self.mean, "float32")

    def _log_prob_per_pixel(self, x):
        return -ops.square(x - self.mean)


def test_a_likelihood_of_ones_own_is_saved_and_loaded(make_vae, blobs, tmp_path):
    parts = make_vae()
    vae = VAE(parts.encoder, parts.decoder, parts.prior, HalfGaussian, parts.objective, "none")
    vae.save(tmp_path / "model.keras")
    twin = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    assert twin.likelihood is HalfGaussian
    np.testing.assert_allclose(twin.reconstruct(blobs(3)), vae.reconstruct(blobs(3)), atol=1)
    config = {**vae.get_config(), "likelihood": "NobodysLikelihood"}
    with pytest.raises(ValueError, match="Received: no class NobodysLikelihood"):
        VAE.from_config(config)


@pytest.fixture(scope="module")
def labelled(tiny, blobs):
    """A model with three labels, whose prior tells them apart."""
    vae = build(tiny(prior="flow"), (9, 13), labels=np.arange(30) % 3)
    vae.prior.means.assign(4 * np.eye(3, 4))
    return vae


def test_samples_of_a_label_are_those_of_its_distribution(labelled):
    for label in range(3):
        images = labelled.generate(6, seed=2, labels=label)
        np.testing.assert_array_equal(images, labelled.generate(6, seed=2, labels=[label] * 6))
        np.testing.assert_array_equal(images[:3], labelled.generate(3, seed=2, labels=label))
    assert not np.array_equal(labelled.generate(6, labels=0), labelled.generate(6, labels=1))
    noise = np.random.default_rng(0).standard_normal((20, 4), "float32")
    labels = np.arange(20) % 3
    latents = labelled.latents_from_noise(noise, labels)
    np.testing.assert_array_equal(labelled.label_probabilities(latents).argmax(axis=1), labels)
    # By itself the most probable label is taken.
    np.testing.assert_allclose(labelled.noise_from_latents(latents), noise, atol=1e-4)


def test_without_labels_they_are_drawn_by_their_shares(labelled):
    drawn = labelled.draw_labels(3000, seed=1)
    np.testing.assert_allclose(np.bincount(drawn) / 3000, labelled.label_shares(), atol=0.03)
    np.testing.assert_array_equal(labelled.draw_labels(7, seed=1), drawn[:7])
    np.testing.assert_array_equal(
        labelled.generate(5, seed=1), labelled.generate(5, seed=1, labels=drawn[:5])
    )


def test_temperature_scales_the_noise(labelled):
    spread = [
        labelled.generate(50, labels=1, temperature=t).astype(float).std(axis=0).mean() for t in (0.1, 1.0)
    ]
    assert spread[0] < 0.5 * spread[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": 3}, "Expected labels from 0 to 2. Received: 3"),
        ({"labels": [0, 1]}, "Expected labels, whole numbers of shape"),
        ({"temperature": 0}, "Expected a temperature above 0. Received: temperature=0"),
        ({"temperature": float("nan")}, "Expected a temperature above 0"),
    ],
)
def test_impossible_samples_are_refused(labelled, arguments, message):
    with pytest.raises(ValueError, match=message):
        labelled.generate(4, **arguments)


def test_labels_need_a_prior_that_depends_on_them(make_vae):
    vae = make_vae(prior="flow")
    with pytest.raises(ValueError, match="Expected a model that was trained with labels"):
        vae.generate(3, labels=1)
    with pytest.raises(ValueError, match="Expected a model that was trained with labels"):
        vae.label_probabilities(np.zeros((2, 4)))


def test_training_with_labels_is_about_the_joint_density(labelled, blobs):
    images, labels = blobs(30), np.arange(30) % 3
    measured = [
        labelled.evaluate(images, y, verbose=0, return_dict=True)["kl"]
        for y in (None, np.full(30, -1), labels, np.full(30, 3))
    ]
    assert measured[0] == pytest.approx(measured[1], rel=1e-5)
    # log p(z, y) is at most log p(z): the bound is lower.
    assert measured[2] > measured[0] + 0.1
    assert np.isnan(measured[3])
