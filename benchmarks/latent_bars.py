"""How well the verbs of the latent space do what they say, by the evaluation classifier on MNIST's test set.

    python benchmarks/latent_bars.py mnist
    python benchmarks/latent_bars.py latest --json

Rows that need a model with labels are left out for a model without.
"""

from __future__ import annotations

import argparse
import json

import numpy as np

import digitvae
from digitvae.classifier import load_classifier


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure the verbs of the latent space.")
    parser.add_argument("model", help="a shipped model, a run folder, or latest")
    parser.add_argument("--images", type=int, default=10_000, help="test images, and samples")
    parser.add_argument("--pairs", type=int, default=1_000, help="pairs of images of one class")
    parser.add_argument("--restyled", type=int, default=1_000, help="images that are restyled")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(
        digitvae.load(options.model), options.images, options.pairs, options.restyled, options.seed
    )
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        print(f"{name:45} {value:.4f}")


def measure(vae: digitvae.VAE, count: int, pairs: int, restyled: int, seed: int) -> dict[str, float]:
    """Return shares and correlations by what they are of."""
    data = digitvae.load_dataset()
    images, labels = data.test_images[:count], np.asarray(data.test_labels)[:count]
    rng = np.random.default_rng(seed)
    found = {"reconstructions that keep the class": share(classes(vae.reconstruct(images)), labels)}
    first = rng.choice(len(images), pairs)
    second = np.array([rng.choice(np.flatnonzero(labels == label)) for label in labels[first]])
    # One path through all pairs, of three images per step: every fourth is the middle of a pair.
    path = images[np.stack([first, second], axis=1).ravel()]
    middles = digitvae.interpolate(vae, path, 3)[1::4]
    found["midpoints that stay in the class"] = share(classes(middles), labels[first])
    if not vae.labels:
        return found
    asked = np.arange(count) % vae.labels
    found["samples classified as asked"] = share(classes(vae.generate(count, seed, labels=asked)), asked)
    found["test images classified rightly"] = share(digitvae.classify(vae, images).argmax(axis=1), labels)
    some = images[:restyled]
    drawn = digitvae.restyle(vae, some)
    flat = drawn.reshape(-1, *vae.image_shape)
    asked = np.tile(np.arange(vae.labels), len(some))
    found["restyled images classified as asked"] = share(classes(flat), asked)
    # Only pairs of different labels: an image's own label gives its reconstruction.
    other = asked != np.repeat(labels[: len(some)], vae.labels)
    for name, measured in (("slant", slants), ("stroke width", widths)):
        before, after = np.repeat(measured(some), vae.labels), measured(flat)
        both = other & np.isfinite(before) & np.isfinite(after)
        # Digits differ in slant and width by themselves: compare with others of the same digit.
        pooled = [
            np.corrcoef(before[rows], after[rows])[0, 1]
            for label in range(vae.labels)
            if (rows := both & (asked == label)).sum() > 2
        ]
        found[f"correlation of {name} within the digit asked for"] = float(np.mean(pooled))
    return found


def classes(images: np.ndarray) -> np.ndarray:
    """Return the digit that the evaluation classifier sees, (n,)."""
    return load_classifier().features_and_probabilities(images)[1].argmax(axis=1)


def share(found: np.ndarray, expected: np.ndarray) -> float:
    """Return how often both are equal."""
    return float((found == expected).mean())


def slants(images: np.ndarray) -> np.ndarray:
    """Return the shear of each image: covariance of x and y over the variance of y, (n,)."""
    weights = images.astype("float64")
    weights /= np.maximum(weights.sum(axis=(1, 2), keepdims=True), 1e-9)
    rows, columns = np.mgrid[: images.shape[1], : images.shape[2]]
    y = rows - (weights * rows).sum(axis=(1, 2))[:, None, None]
    x = columns - (weights * columns).sum(axis=(1, 2))[:, None, None]
    result: np.ndarray = (weights * x * y).sum(axis=(1, 2)) / (weights * y * y).sum(axis=(1, 2))
    return result


def widths(images: np.ndarray) -> np.ndarray:
    """Return the mean stroke width of each image in pixels: ink over the length of its skeleton, (n,)."""
    from skimage.morphology import skeletonize

    lengths = [skeletonize(image > 127).sum() for image in images]
    with np.errstate(divide="ignore"):
        result: np.ndarray = images.sum(axis=(1, 2), dtype="float64") / 255 / np.array(lengths)
    return result


if __name__ == "__main__":
    main()
