"""Train the digit classifier that digitvae ships, on the embedded MNIST, and write its file.

    python scripts/train_classifier.py                      # the shipped file, in minutes on two cores
    python scripts/train_classifier.py --output mine.keras  # elsewhere

The last 5,000 training images validate; the test images are measured once, after the file is written.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from keras import layers

from digitvae.building import DTYPES, resolve_auto
from digitvae.classifier import Classifier, read_classifier
from digitvae.config import Config
from digitvae.data import fixed_bits, load_dataset, split_validation
from digitvae.data.arrays import Part
from digitvae.files import written_whole
from digitvae.model import compiles_with_xla

SIZE = 28
CLASSES = 10
SHIPPED = Path(__file__).parents[1] / "src" / "digitvae" / "data" / "files" / "classifier.keras"

BATCH_SIZE = 125  # divides 55,000, so that no image is left over
LEARNING_RATE = 2e-3  # of Adam, after the first epoch of warm-up; then a cosine to zero
WEIGHT_DECAY = 0.02

# Each image gets its own random distortion, drawn evenly from these ranges.
AFFINE = 0.2  # added to each entry of the identity matrix: turns, stretches and shears
SHIFT = 2.0  # pixels
ELASTIC = 1.0  # pixels, root mean square
ELASTIC_STEP = 4  # pixels between the nodes of the elastic field
BLUR = (0.4, 0.9)  # pixels
# Samples of a VAE are softer than scanned digits, and may be bits: a part of the images is made so.
SHARE_BLURRED, SHARE_DRAWN, SHARE_THRESHOLDED = 0.15, 0.10, 0.05


def build_network(dtype: str) -> keras.Model:
    """Build the network, with He's initial weights.

    There is no batch normalisation: on a CPU it takes longer than the convolutions, and six layers train
    without.

    Args:
        dtype: dtype policy of the convolutions; scaling, pooling to features and probabilities are float32.

    Returns:
        A functional model of standard layers alone, uint8 (n, 28, 28) -> features float32 (n, 128) and
        probabilities float32 (n, 10).
    """

    def convolution(x, filters: int, padding: str = "same"):
        return layers.Conv2D(
            filters, 3, padding=padding, activation="relu", kernel_initializer="he_normal", dtype=dtype
        )(x)

    images = keras.Input((SIZE, SIZE), dtype="uint8", name="images")
    x = layers.Rescaling(1 / 255, dtype="float32")(images)
    x = layers.Reshape((SIZE, SIZE, 1), dtype="float32")(x)
    x = convolution(x, 16)
    x = layers.MaxPooling2D(dtype=dtype)(x)
    x = convolution(x, 32)
    x = convolution(x, 32)
    x = layers.MaxPooling2D(dtype=dtype)(x)
    x = convolution(x, 64)
    x = convolution(x, 64)
    x = convolution(x, 128, padding="valid")
    features = layers.GlobalAveragePooling2D(dtype="float32", name="features")(x)
    head = layers.Dense(CLASSES, activation="softmax", dtype="float32", name="probabilities")
    return keras.Model(images, [features, head(features)], name="classifier")


def distort(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a distorted version of each image.

    Args:
        images: uint8 (n, 28, 28).
        rng: where the randomness comes from.

    Returns:
        uint8 (n, 28, 28): turned, stretched, sheared, shifted and bent; some blurred, some black and white.
    """
    x = _warped(images.astype("float32") / 255, rng)
    kind = rng.random(len(x))
    bounds = np.cumsum([0, SHARE_BLURRED, SHARE_DRAWN, SHARE_THRESHOLDED])
    blurred, drawn, thresholded = (
        np.flatnonzero((low <= kind) & (kind < high)) for low, high in itertools.pairwise(bounds)
    )
    x[blurred] = blur(x[blurred], rng.uniform(*BLUR, len(blurred)))
    x[drawn] = rng.random(x[drawn].shape) < x[drawn]
    x[thresholded] = x[thresholded] > rng.uniform(0.3, 0.7, (len(thresholded), 1, 1))
    return np.rint(x * 255).astype("uint8")


def blur(x: np.ndarray, sigma: np.ndarray | float) -> np.ndarray:
    """Blur (n, 28, 28) with Gaussians of sigma pixels, one for all or one for each."""
    places = np.arange(SIZE)
    kernel = np.exp(-(((places[:, None] - places) / np.reshape(sigma, (-1, 1, 1))) ** 2) / 2)
    kernel = (kernel / kernel.sum(axis=-1, keepdims=True)).astype("float32")
    return kernel @ x @ kernel.swapaxes(1, 2)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, write, measure."""
    options = _options(arguments)
    dataset = load_dataset()
    used = slice(-options.images, None)
    labels = np.asarray(dataset.train_labels)[used]
    train, validation = split_validation(dataset.train_images[used], labels)
    started = time.monotonic()
    network = train_network(train, validation, options.epochs, options.seed)
    seconds = time.monotonic() - started

    # The file holds float32 weights and layers, whatever precision trained them, and no optimizer.
    portable = build_network("float32")
    portable.set_weights(network.get_weights())
    with written_whole(options.output) as temporary:
        portable.save(temporary)
    print(f"{options.output.name}: {options.output.stat().st_size / 1e3:.0f} kB, trained in {seconds:.0f} s")

    # What is measured is the file.
    classifier = read_classifier(options.output)
    for name, part in {
        "validation": validation,
        "test": Part(dataset.test_images[used], np.asarray(dataset.test_labels)[used]),
    }.items():
        softened = np.rint(blur(part.images.astype("float32"), 0.8)).astype("uint8")
        for kind, images in {
            "as it is": part.images,
            "fixed bits": fixed_bits(part.images),
            "blurred by 0.8 pixels": softened,
        }.items():
            print(f"{name} accuracy, {kind}: {_accuracy(classifier, Part(images, part.labels)):.2%}")


def train_network(train: Part, validation: Part, epochs: int, seed: int) -> keras.Model:
    """Train on distorted images, fresh ones every epoch, by a schedule that is fixed in advance.

    Args:
        train: what to learn from.
        validation: what to print the accuracy of after every epoch; it decides nothing.
        epochs: at least 2, the first of them with a rising learning rate.
        seed: of the weights, the order and the distortions.

    Returns:
        The network after the last epoch.
    """
    keras.utils.set_random_seed(seed)
    network = build_network(DTYPES[resolve_auto(Config()).precision])
    network.jit_compile = compiles_with_xla()
    classifier = Classifier(network)
    learner = keras.Model(network.input, network.outputs[1])
    steps = -(-len(train.images) // BATCH_SIZE)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, (epochs - 1) * steps, warmup_target=LEARNING_RATE, warmup_steps=steps
    )
    learner.compile(
        optimizer=keras.optimizers.AdamW(rate, weight_decay=WEIGHT_DECAY),
        loss="sparse_categorical_crossentropy",
        jit_compile=compiles_with_xla(),
    )
    labels = np.asarray(train.labels)
    for epoch in range(epochs):
        started = time.monotonic()
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(len(train.images))
        # Some hundred at a time stay in the processor's cache.
        pieces = [distort(train.images[order[i : i + 500]], rng) for i in range(0, len(order), 500)]
        history = learner.fit(
            np.concatenate(pieces), labels[order], batch_size=BATCH_SIZE, shuffle=False, verbose=0
        ).history
        accuracy = _accuracy(classifier, validation)
        print(
            f"epoch {epoch + 1}/{epochs}: loss {history['loss'][0]:.4f}, validation accuracy {accuracy:.2%}, "
            f"{time.monotonic() - started:.1f} s",
            flush=True,
        )
    return network


def _warped(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sample float32 (n, 28, 28) along a random affine map and a smooth random field, bilinearly."""
    count = len(x)
    matrix = np.eye(2) + rng.uniform(-AFFINE, AFFINE, (count, 2, 2))
    centre = (SIZE - 1) / 2
    field = matrix @ (np.mgrid[:SIZE, :SIZE].reshape(2, -1) - centre) + centre
    field += rng.uniform(-SHIFT, SHIFT, (count, 2, 1))
    field += rng.uniform(0, ELASTIC, (count, 1, 1)) * _smooth_noise(count, rng)

    # A frame of background takes all that lies outside; the last place is left out, as it has no next one.
    framed = np.pad(x, [(0, 0), (1, 1), (1, 1)])
    side = SIZE + 2
    field = np.clip(field + 1, 0, side - 1.001).astype("float32")
    corner = field.astype("int32")
    (down, right), (row, column) = (field - corner).swapaxes(0, 1), corner.swapaxes(0, 1)
    first = (np.arange(count, dtype="int32")[:, None] * side + row) * side + column
    flat = framed.ravel()
    above = flat[first] * (1 - right) + flat[first + 1] * right
    below = flat[first + side] * (1 - right) + flat[first + side + 1] * right
    return (above * (1 - down) + below * down).reshape(x.shape)


def _smooth_noise(count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw (count, 2, 784) values that are standard normal each and alike at neighbouring pixels."""
    nodes = np.arange(-ELASTIC_STEP, SIZE + ELASTIC_STEP, ELASTIC_STEP) + (ELASTIC_STEP - 1) / 2
    weights = np.exp(-(((np.arange(SIZE)[:, None] - nodes) / ELASTIC_STEP) ** 2) / 2)
    weights /= np.sqrt(np.square(weights).sum(axis=1, keepdims=True))
    noise = rng.standard_normal((count, 2, len(nodes), len(nodes)))
    return (weights @ noise @ weights.T).reshape(count, 2, -1)


def _accuracy(classifier: Classifier, part: Part) -> float:
    _, probabilities = classifier.features_and_probabilities(part.images)
    return float((probabilities.argmax(axis=1) == part.labels).mean())


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the digit classifier that digitvae ships.")
    parser.add_argument("--seed", type=int, default=0, help="of the weights, the order and the distortions")
    parser.add_argument("--epochs", type=int, default=40, help="passes over the training images, at least 2")
    parser.add_argument("--images", type=int, default=60_000, help="how many to use, fewer for a try")
    parser.add_argument("--output", type=Path, default=SHIPPED, help="the file to write")
    options = parser.parse_args(arguments)
    if options.epochs < 2:
        parser.error(f"Expected --epochs of at least 2, one of them warm-up. Received: {options.epochs}")
    if not options.output.parent.is_dir():
        parser.error(f"Expected --output in a folder that exists. Received: {options.output}")
    return options


if __name__ == "__main__":
    main()
