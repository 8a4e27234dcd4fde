"""The full evaluation: its parts agree with one another and with what can be computed by hand."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from digitvae.data import Dataset, load_dataset
from digitvae.evaluation import evaluate_fully, protocol, score_samples
from digitvae.evaluation.complete import rate_distortion
from digitvae.evaluation.latents import information_per_latent, mutual_information
from digitvae.evaluation.samples import mixture_samples

SCHEMA = Path(__file__).parents[1] / "docs" / "evaluation_schema.md"


@pytest.fixture(scope="module")
def real():
    """Real digits with labels: 120 to train, 30 to test."""
    whole = load_dataset()
    return Dataset(
        "digits",
        whole.train_images[:120],
        whole.train_labels[:120],
        whole.test_images[:30],
        whole.test_labels[:30],
    )


@pytest.fixture(scope="module")
def vae(make_vae, real):
    """A small model after some steps."""
    vae = make_vae((28, 28), architecture="dense", blocks=0)
    vae.fit(real.train_images, batch_size=8, epochs=2, verbose=0)
    return vae


@pytest.fixture(scope="module")
def found(vae, real):
    """The full evaluation."""
    return evaluate_fully(vae, real, samples=12, refine=2)


def documented(section):
    """Return the field names in a table of docs/evaluation_schema.md."""
    text = SCHEMA.read_text(encoding="utf-8").split(f"\n## {section}\n")[1].split("\n## ")[0]
    names = [
        name for row in re.findall(r"^\| (`[^|]*) \|", text, re.M) for name in re.findall(r"`([^`]+)`", row)
    ]
    return set(names)


def test_the_fields_are_those_that_are_documented(found):
    numbers = found.numbers
    times = {"name", "paired", "train_seconds", "wall_seconds", "evaluation_seconds"}
    assert set(numbers) == documented("Top level") - times
    # Here all images are measured, so nothing is estimated from a part of them.
    assert set(numbers["test"]) == documented("`test`") - {"nll_estimate_interval"}
    assert set(numbers["refined"]) == documented("`refined`")
    flat = set(numbers["latents"]) | {f"mismatch.{name}" for name in numbers["latents"]["mismatch"]}
    assert flat == documented("`latents`")
    measures = documented("`samples`") - set(numbers["samples"]["memorisation"])
    for part in ("model", "floor", "gmm"):
        assert set(numbers["samples"][part]) == measures
    json.dumps(numbers, allow_nan=False)


def test_the_same_seed_gives_the_same_numbers(vae, real, found):
    again = evaluate_fully(vae, real, samples=12, refine=2)
    assert again.numbers == found.numbers
    other = evaluate_fully(vae, real, samples=12, seed=1)
    assert other.numbers["test"]["nll"] != found.numbers["test"]["nll"]


def test_the_numbers_belong_together(found):
    test, curve = found.numbers["test"], found.numbers["nll_curve"]
    assert test["elbo"] == pytest.approx(-(test["reconstruction"] + test["kl"]))
    assert curve["k"] == [1, 10, 12]
    assert curve["nll"][-1] == pytest.approx(test["nll"])
    # More draws tighten the bound on average; two more than ten are within its noise.
    assert curve["nll"][0] > max(curve["nll"][1:])
    assert test["nll"] == pytest.approx(found.nll.mean())
    assert test["elbo"] == pytest.approx(found.elbo.mean())
    assert test["nll_interval"][0] < test["nll"] < test["nll_interval"][1]
    assert test["bits_per_dim"] == pytest.approx(test["nll"] / 784 / math.log(2))
    refined = found.numbers["refined"]
    assert refined["amortisation_gap"] == pytest.approx(refined["elbo"] - refined["elbo_before"])
    assert refined["elbo_before"] == pytest.approx(test["elbo"])


@pytest.mark.parametrize("name", ["elbo", "reconstruction", "kl", "nll"])
def test_the_classes_make_up_the_whole(found, real, name):
    classes = found.numbers["per_class"]
    assert [row["label"] for row in classes] == sorted(set(real.test_labels.tolist()))
    assert sum(row["images"] for row in classes) == len(real.test_images)
    total = sum(row["images"] * row[name] for row in classes) / len(real.test_images)
    assert total == pytest.approx(found.numbers["test"][name])


def test_all_latents_give_the_reconstruction_itself(vae, real, found):
    codes, log_scale = vae.encode_posterior(real.test_images)
    order = np.argsort(-codes.var(axis=0) / np.exp(2 * log_scale).mean(axis=0))
    curve = rate_distortion(vae, real.test_images, codes, order, np.arange(4.0))
    assert [point["pca_mse"] for point in curve] == [0, 1, 2, 3]
    assert [point["latents"] for point in curve] == [1, 2, 3, 4]
    assert curve[-1]["mse"] == pytest.approx(found.numbers["test"]["mse"])
    assert found.numbers["rate_distortion"][0]["mse"] == curve[0]["mse"]
    alone = np.tile(codes.mean(axis=0), (len(codes), 1))
    alone[:, order[0]] = codes[:, order[0]]
    error = np.square((real.test_images.astype(float) - vae.decode(alone)) / 255).mean()
    assert curve[0]["mse"] == pytest.approx(error)


def test_the_shown_reconstructions_are_the_best_and_the_worst(vae, real, found):
    difference = real.test_images.astype(float) - vae.reconstruct(real.test_images)
    errors = np.square(difference).mean(axis=(1, 2))
    best, worst = found.extremes
    assert errors[best[0]] == errors.min()
    assert errors[worst[0]] == errors.max()
    assert (np.diff(errors[best]) >= 0).all()
    assert (np.diff(errors[worst]) <= 0).all()


def test_a_code_that_knows_nothing_has_no_information():
    mean, log_scale = np.zeros((50, 3)), np.zeros((50, 3))
    draws = np.random.default_rng(0).normal(size=(50, 3))
    assert mutual_information(draws, mean, log_scale) == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(information_per_latent(draws, mean, log_scale), 0, atol=1e-9)


def test_a_code_that_tells_all_images_apart_has_the_logarithm_of_their_number():
    mean = np.arange(50.0)[:, None] * 100
    draws = mean + np.random.default_rng(0).normal(size=(50, 1))
    assert mutual_information(draws, mean, np.zeros((50, 1))) == pytest.approx(math.log(50))


def test_the_information_of_gaussian_codes_is_the_closed_form():
    rng = np.random.default_rng(0)
    scales = np.array([0.5, 1.0])
    mean = rng.normal(size=(4000, 2))
    draws = mean + scales * rng.normal(size=(4000, 2))
    found = information_per_latent(draws, mean, np.broadcast_to(np.log(scales), mean.shape))
    # I = log(1 + 1 / s^2) / 2 for means of variance 1
    np.testing.assert_allclose(found, np.log1p(1 / scales**2) / 2, atol=0.05)


def test_training_images_as_samples_are_the_floor_and_known_as_copies(real):
    scores = score_samples(real.train_images[:120:4], real).numbers
    assert scores["model"] == scores["floor"]
    assert scores["memorisation"]["train_preference"] == 1
    assert scores["memorisation"]["median_ratio"] == 0


def test_noise_is_worse_than_digits(vae, real):
    noise = np.random.default_rng(0).integers(0, 256, (30, 28, 28), dtype=np.uint8)
    scores = score_samples(noise, real, baseline=real.train_images[1:120:4]).numbers
    assert scores["model"]["frechet"] > 3 * scores["gmm"]["frechet"]
    assert scores["model"]["coverage"] < scores["gmm"]["coverage"]


def test_the_features_give_the_numbers_of_other_implementations():
    prdc = pytest.importorskip("prdc")
    from scipy import linalg

    from digitvae.classifier import load_classifier

    whole = load_dataset()
    few = Dataset("few", whole.train_images[:50], None, whole.test_images[:500], None)
    samples = whole.train_images[1000:1600]
    ours = score_samples(samples, few).numbers["model"]
    fake, true = (
        load_classifier().features_and_probabilities(images)[0].astype("float64")
        for images in (samples, few.test_images)
    )
    theirs = prdc.compute_prdc(true, fake, nearest_k=5)
    for name in ("precision", "recall", "density", "coverage"):
        assert ours[name] == pytest.approx(theirs[name], abs=1e-6)
    a, b = np.cov(true, rowvar=False), np.cov(fake, rowvar=False)
    shift = np.square(true.mean(axis=0) - fake.mean(axis=0)).sum()
    # The trace of the root of a product, by its eigenvalues: `sqrtm` fails where a feature is never active.
    frechet = shift + np.trace(a + b) - 2 * np.sqrt(linalg.eigvals(a @ b).real.clip(0)).sum()
    assert ours["frechet"] == pytest.approx(frechet, rel=1e-6)


def test_the_mixture_generates_what_the_codes_are(vae, real):
    samples = mixture_samples(vae, real, 25, seed=3)
    assert samples.shape == (25, 28, 28)
    np.testing.assert_array_equal(samples, mixture_samples(vae, real, 25, seed=3))
    few = Dataset("few", real.train_images[:20], None, real.test_images, None)
    assert mixture_samples(vae, few, 25) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"prior": "vamp"},
        {"prior": "flow"},
        {"likelihood": "discretised_logistic"},
        {"likelihood": "continuous_bernoulli", "prior": "mixture"},
    ],
)
def test_every_protocol_without_labels_in_other_sizes(make_vae, blobs, changes):
    images = blobs(30)
    vae = make_vae(images=images, architecture="dense", blocks=0, **changes)
    found = evaluate_fully(vae, Dataset("blobs", images[:20], None, images[20:], None), samples=2).numbers
    assert found["protocol"] == protocol(vae)
    assert found["per_class"] == []
    assert found["latents"]["linear_probe"] is None
    assert found["latents"]["kl_per_latent"] is None or changes.get("prior", "normal") == "normal"
    assert found["samples"]["model"] is None
    assert found["samples"]["memorisation"] is not None
    json.dumps(found, allow_nan=False)


def test_one_test_image_is_enough(make_vae, blobs):
    images = blobs(5)
    vae = make_vae(architecture="dense", blocks=0)
    found = evaluate_fully(vae, Dataset("five", images[:4], None, images[4:], None), samples=1).numbers
    assert found["test"]["images"] == 1
    assert found["test"]["nll_interval"] is None
    assert found["latents"]["mismatch"] is None
    assert found["latents"]["mutual_information"] == pytest.approx(0)
    json.dumps(found, allow_nan=False)


def test_the_kl_of_latents_sums_to_the_kl(vae, real, found):
    per_latent = found.numbers["latents"]["kl_per_latent"]
    assert per_latent == sorted(per_latent, reverse=True)
    assert sum(per_latent) == pytest.approx(found.numbers["test"]["kl"], rel=0.2)


def test_what_cannot_be_measured_is_refused(vae, real, make_vae, blobs):
    with pytest.raises(ValueError, match=r"^Expected samples to be at least 1\. Received: samples=0$"):
        evaluate_fully(vae, real, samples=0)
    with pytest.raises(ValueError, match=r"^Expected refine to be at least 0\. Received: refine=-1$"):
        evaluate_fully(vae, real, refine=-1)
    other = make_vae(architecture="dense", blocks=0)
    with pytest.raises(ValueError, match=r"^Expected images of 9x13 pixels, .* Received: digits with 28x28$"):
        evaluate_fully(other, real)
    with pytest.raises(ValueError, match=r"^Expected images of 28x28 pixels. Received: 9x13$"):
        score_samples(blobs(3), real)
    with pytest.raises(ValueError, match=r"^Expected at least 2 samples\. Received: 1$"):
        score_samples(real.test_images[:1], real)
    weights = other.get_weights()
    weights[0][0, 0] = np.nan
    other.set_weights(weights)
    images = blobs(9)
    with pytest.raises(ValueError, match=r"^Expected a model with finite weights\. Received: NaN"):
        evaluate_fully(other, Dataset("nine", images[:6], None, images[6:], None))
