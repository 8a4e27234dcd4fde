"""The shipped digit classifier: how good it is, the same numbers everywhere, and the script that made it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from digitvae.data import fixed_bits, load_dataset, split_validation

ROOT = Path(__file__).parent.parent
SHIPPED = ROOT / "src" / "digitvae" / "data" / "files" / "classifier.keras"
# The three test digits of the first thousand that it is least sure of (8, 2, 1), because a probability near 1
# would hide differences: every sixteenth feature, and the probability of their class.
UNSURE = [582, 659, 716]
FEATURES = [
    [5.2496, 0.0000, 1.4628, 0.8723, 1.1688, 3.9993, 0.0000, 2.2122],
    [2.0747, 0.0000, 4.9923, 1.5528, 0.6327, 0.5476, 0.5489, 0.5417],
    [1.7545, 0.0405, 4.0815, 0.0000, 0.0055, 0.5993, 4.2788, 0.1641],
]
CONFIDENCES = [0.2693, 0.3800, 0.4690]


@pytest.fixture(scope="module")
def classifier():
    from digitvae.classifier import load_classifier

    return load_classifier()


@pytest.fixture(scope="module")
def mnist():
    return load_dataset()


@pytest.fixture
def script(load_script):
    """The training script as a module of its own."""
    return load_script("scripts/train_classifier.py")


def error_rate(classifier, images, labels):
    _, probabilities = classifier.features_and_probabilities(images)
    return float((probabilities.argmax(axis=1) != labels).mean())


def test_it_knows_the_test_digits(classifier, mnist):
    assert error_rate(classifier, mnist.test_images, mnist.test_labels) <= 0.006


def test_it_knows_black_and_white_digits_too(classifier, mnist):
    assert error_rate(classifier, fixed_bits(mnist.test_images), mnist.test_labels) <= 0.015


@pytest.mark.backend
def test_the_numbers_are_those_of_every_backend(classifier, mnist):
    features, probabilities = classifier.features_and_probabilities(mnist.test_images[UNSURE])
    np.testing.assert_allclose(features[:, ::16], FEATURES, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(probabilities[np.arange(3), [8, 2, 1]], CONFIDENCES, atol=1e-3)


@pytest.mark.backend
def test_features_and_probabilities_are_what_they_are_called(classifier, mnist):
    features, probabilities = classifier.features_and_probabilities(mnist.test_images[:200])
    assert features.shape == (200, 128)
    assert probabilities.shape == (200, 10)
    assert features.dtype == probabilities.dtype == np.float32
    assert features.min() >= 0
    # docs/classifier.md says that two of them are never above 0.
    assert (features.std(axis=0) > 0).sum() == 126
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    # Both are of one forward pass: the last layer turns the ones into the others.
    weights, bias = classifier.network.layers[-1].get_weights()
    logits = features @ weights + bias
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(odds / odds.sum(axis=1, keepdims=True), probabilities, atol=1e-4)


@pytest.mark.backend
@pytest.mark.parametrize("batch_size", [1, 7, 20])
def test_the_size_of_batches_does_not_matter(classifier, mnist, batch_size):
    images = mnist.test_images[:20]
    expected = classifier.features_and_probabilities(images)
    for value, other in zip(
        classifier.features_and_probabilities(images, batch_size=batch_size), expected, strict=True
    ):
        np.testing.assert_allclose(value, other, rtol=1e-4, atol=1e-5)


def test_other_inputs_are_refused(classifier):
    with pytest.raises(ValueError, match=r"^Expected images of 28x28 pixels\. Received: 32x28$"):
        classifier.features_and_probabilities(np.zeros((2, 32, 28), "uint8"))
    with pytest.raises(ValueError, match=r"^Expected at least one image\. Received: "):
        classifier.features_and_probabilities(np.zeros((0, 28, 28), "uint8"))
    with pytest.raises(ValueError, match=r"^Expected batch_size to be at least 1\. Received: batch_size=0$"):
        classifier.features_and_probabilities(np.zeros((2, 28, 28), "uint8"), batch_size=0)


def test_it_is_read_once(classifier):
    from digitvae.classifier import load_classifier

    assert load_classifier() is classifier


def test_a_missing_or_damaged_file_is_one_line(tmp_path):
    from digitvae.classifier import read_classifier

    damaged = tmp_path / "damaged.keras"
    damaged.write_bytes(SHIPPED.read_bytes()[:100_000])
    for path in (tmp_path / "missing.keras", damaged):
        with pytest.raises(ValueError, match=r"^Expected a whole classifier file\. Received: .+$") as caught:
            read_classifier(path)
        assert "\n" not in str(caught.value)


def test_the_file_is_small_and_holds_standard_layers_in_float32_alone(classifier):
    assert SHIPPED.stat().st_size < 1_000_000
    for layer in classifier.network.layers:
        assert type(layer).__module__.startswith("keras.")
        assert layer.compute_dtype == "float32"
    assert getattr(classifier.network, "optimizer", None) is None


def test_the_script_writes_a_file_that_loads_and_a_seed_repeats_it(script, mnist, tmp_path, python):
    from digitvae.classifier import read_classifier

    path = tmp_path / "small.keras"
    done = python(
        ROOT / "scripts" / "train_classifier.py",
        "--images",
        300,
        "--epochs",
        2,
        "--output",
        path,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    # After each epoch, and at the end for two sets of images in three forms.
    shares = re.findall(r"accuracy.* (\d+\.\d+)%", done.stdout)
    assert len(shares) == 2 + 2 * 3
    assert all(0 <= float(share) <= 100 for share in shares)
    assert list(tmp_path.iterdir()) == [path]
    network = read_classifier(path).network
    assert [tuple(output.shape) for output in network.outputs] == [(None, 128), (None, 10)]
    # Also where the training computes in bfloat16.
    assert {layer.compute_dtype for layer in network.layers} == {"float32"}
    parts = split_validation(mnist.train_images[-300:], mnist.train_labels[-300:])
    again, other = (script.train_network(*parts, epochs=2, seed=seed).get_weights() for seed in (0, 1))
    for weight, same, different in zip(network.get_weights(), again, other, strict=True):
        np.testing.assert_array_equal(weight, same)
        assert (weight != different).any()


@pytest.mark.parametrize("arguments", [["--epochs", "1"], ["--output", "nowhere/x.keras"]])
def test_the_script_refuses_what_cannot_work_before_it_trains(script, arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        script.main(arguments)
    assert caught.value.code == 2
    assert "Expected --" in capsys.readouterr().err


def test_distortions_are_random_yet_repeatable(script, mnist):
    images = mnist.test_images[:100]
    first, again, other = (script.distort(images, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.dtype == np.uint8
    assert first.shape == images.shape
    np.testing.assert_array_equal(first, again)
    assert (first != other).any(axis=(1, 2)).all()
    assert (first != images).any(axis=(1, 2)).all()


def test_no_distortion_is_the_image_itself(script, mnist, monkeypatch):
    for name in ("AFFINE", "SHIFT", "ELASTIC", "SHARE_BLURRED", "SHARE_DRAWN", "SHARE_THRESHOLDED"):
        monkeypatch.setattr(script, name, 0)
    images = mnist.test_images[:50]
    np.testing.assert_array_equal(script.distort(images, np.random.default_rng(0)), images)


def test_some_distorted_images_are_bits(script, mnist):
    distorted = script.distort(mnist.test_images[:1000], np.random.default_rng(0))
    share = np.isin(distorted, (0, 255)).all(axis=(1, 2)).mean()
    assert share == pytest.approx(0.15, abs=0.04)


def test_blur_is_a_gaussian_of_its_width(script):
    dot = np.zeros((1, 28, 28), "float32")
    dot[0, 13, 14] = 1
    blurred = script.blur(dot, 1.5)[0]
    assert blurred.sum() == pytest.approx(1, abs=1e-5)
    rows = np.arange(28)
    assert np.sqrt((blurred.sum(axis=1) * (rows - 13) ** 2).sum()) == pytest.approx(1.5, abs=1e-3)
