"""How well a model completes, restores and judges images it has not seen, beside simple methods.

    python benchmarks/completion_bars.py mnist
    python benchmarks/completion_bars.py mnist --part validation --images 100 --bars denoise
    python benchmarks/completion_bars.py mnist --bars anomaly --garments t10k-images-idx3-ubyte.gz

inpaint: -log p(lower half | upper half) on fixed bits, in nats per image. The model's is that of the mixture
of p(x|z) over its draws, which is too high rather than too low. Mean filling takes the training images' means
as probabilities; the nearest neighbour takes the bits of the training image with the most similar upper half,
each right with a probability that is fitted to validation images.
denoise: mean squared error against the clean bits after inverting 20 % of them.
anomaly: area under the ROC curve of MNIST's images against others, for each of the numbers of `score`.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
from keras import ops
from scipy import special
from scipy.ndimage import median_filter
from sklearn.metrics import roc_auc_score

import digitvae
from digitvae.completion import denoise, of_visible
from digitvae.data import fixed_bits, read_images, split_validation
from digitvae.metrics import mse_per_image, nearest_neighbours
from digitvae.scoring import score
from digitvae.tempering import posterior_draws

FLIP = 0.2


def main() -> None:
    """Measure and print."""
    options = _options()
    vae = digitvae.load(options.model)
    dataset = digitvae.load_dataset()
    train, validation = split_validation(dataset.train_images, None)
    pool = dataset.test_images if options.part == "test" else validation.images
    images = pool[np.linspace(0, len(pool), options.images, endpoint=False).astype(int)]
    found: dict[str, Any] = {"model": options.model, "part": options.part, "images": options.images}
    if "inpaint" in options.bars:
        found["inpaint"] = _inpainting(vae, images, train.images, validation.images, options)
    if "denoise" in options.bars:
        found["denoise"] = _denoising(vae, images, options.seed)
    if "anomaly" in options.bars:
        found["anomaly"] = _anomalies(vae, images, options)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        _print(found)


def _inpainting(vae, images, train, validation, options) -> dict[str, float]:
    images, train, validation = fixed_bits(images), fixed_bits(train), fixed_bits(validation[:500])
    hidden = np.zeros(images.shape, bool)
    hidden[:, images.shape[1] // 2 :] = True
    total = 0.0
    for rows, latents in posterior_draws(
        vae, of_visible, (np.where(hidden, 0, images), ~hidden), options.draws, options.seed
    ):
        for image, mask, z in zip(images[rows], hidden[rows], latents, strict=True):
            likelihood = vae.likelihood(vae.decode_params(ops.convert_to_tensor(z[None])))
            nats = of_visible(likelihood, ops.convert_to_tensor(image[None, None] / np.float32(1)), mask)
            nats = ops.convert_to_numpy(nats)[0].astype("float64")
            total += np.log(len(nats)) - special.logsumexp(nats)

    def lower(bits):
        return (bits[:, bits.shape[1] // 2 :] > 0).reshape(len(bits), -1)

    def cross_entropy(bits, probabilities):
        return float(-np.log(np.where(bits, probabilities, 1 - probabilities)).sum(axis=1).mean())

    def neighbours(bits):
        near, _ = nearest_neighbours(_upper(bits), _upper(train))
        return lower(train)[near]

    # As a Bayesian with a uniform prior would, so that no pixel is impossible.
    means = (1 + lower(train).sum(axis=0)) / (2 + len(train))
    right = float((neighbours(validation) == lower(validation)).mean())
    return {
        "model": total / len(images),
        "draws": options.draws,
        "mean filling": cross_entropy(lower(images), means),
        "nearest neighbour": cross_entropy(lower(images), np.where(neighbours(images), right, 1 - right)),
    }


def _upper(bits: np.ndarray) -> np.ndarray:
    """Return images with an empty lower half."""
    seen = bits.copy()
    seen[:, bits.shape[1] // 2 :] = 0
    return seen


def _denoising(vae, images, seed: int) -> dict[str, float]:
    clean = fixed_bits(images)
    flipped = np.random.default_rng(seed).random(clean.shape) < FLIP
    noisy = np.where(flipped, 255 - clean, clean).astype("uint8")
    medians = {f"median {side}x{side}": median_filter(noisy, (1, side, side)) for side in (3, 5)}
    restored = {"model": denoise(vae, noisy, FLIP, seed), **medians, "noisy": noisy}
    return {name: float(mse_per_image(clean, found).mean()) for name, found in restored.items()}


def _anomalies(vae, images, options) -> dict[str, dict[str, float]]:
    rng = np.random.default_rng(options.seed)
    patched = images.copy()
    for image in patched:
        row, column = rng.integers(0, np.array(image.shape) - 3)
        image[row : row + 4, column : column + 4] = rng.integers(0, 256, (4, 4))
    others = {"rotated": np.rot90(images, axes=(1, 2)), "patched": patched}
    if options.garments:
        others["garments"] = read_images(options.garments)[0][: options.images]
    usual = score(vae, images, options.draws, options.seed)
    table = {}
    for name, strange in others.items():
        unusual = score(vae, np.ascontiguousarray(strange), options.draws, options.seed)
        truth = np.repeat([0, 1], [len(images), len(strange)])
        table[name] = {
            field: float(roc_auc_score(truth, np.concatenate(pair)))
            for field, *pair in zip(usual._fields, usual, unusual, strict=True)
        }
        table[name]["share above the 99th percentile"] = float((unusual.percentile > 99).mean())
    table["usual"] = {"share above the 99th percentile": float((usual.percentile > 99).mean())}
    return table


def _print(found: dict[str, Any]) -> None:
    print(f"{found['model']}, {found['images']:,} {found['part']} images")
    for bar in ("inpaint", "denoise"):
        if bar in found:
            print(f"{bar}: " + ", ".join(f"{name} {value:.5g}" for name, value in found[bar].items()))
    for name, row in found.get("anomaly", {}).items():
        print(f"anomaly, {name}: " + ", ".join(f"{field} {value:.4f}" for field, value in row.items()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure inpainting, denoising and anomaly scores.")
    parser.add_argument("model", help="a run folder, latest, or a shipped model")
    parser.add_argument("--part", choices=("test", "validation"), default="test", help="images to measure")
    parser.add_argument("--images", type=int, default=200, help="how many, evenly spaced")
    parser.add_argument("--draws", type=int, default=32, help="posterior draws an image")
    parser.add_argument("--bars", nargs="+", default=["inpaint", "denoise", "anomaly"],
                        choices=("inpaint", "denoise", "anomaly"))  # fmt: skip
    parser.add_argument("--garments", help="images of something else, such as Fashion-MNIST's, for anomaly")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="all numbers as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
