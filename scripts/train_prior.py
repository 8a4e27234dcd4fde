"""Train the prior of a run with labels alone, so that its digits lie apart; the networks stay as they are.

    python scripts/train_prior.py runs/mnist -o runs/mnist-prior

A flow that only maximises log p(z|y) leaves bridges between digits, where samples look like another digit
than the one that was asked for. The bridges can be seen from within: by Bayes' rule their label is uncertain.
So the loss gets the uncertainty of the label at the prior's own samples, -log p(y|z) in nats.

The last 5,000 training images validate; nothing is measured on test images.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

import digitvae
from digitvae import seeds
from digitvae.data import draw_bits, fixed_bits, load_dataset, split_validation
from digitvae.distributions import Gaussian
from digitvae.files import check_writable, folder_written_whole
from digitvae.priors import FlowPrior
from digitvae.runs import Run

EPOCHS = 12
BATCH_SIZE = 256
LEARNING_RATE = 1e-3  # of Adam, falling to zero by a cosine
SETS = 4  # of bits of all training images, encoded once and taken in turns
APART = 5.0  # weight of the label's uncertainty
SAMPLES = 64  # of the prior at each step
SEED = 0


class PriorTraining(keras.Model):
    """A prior as a model of posteriors.

    Args:
        prior: with labels.
        apart: weight of the label's uncertainty at samples.
        samples: of the prior at each step.
        seed: seed of the noise and of the labels of samples.
    """

    def __init__(self, prior: FlowPrior, apart: float, samples: int, seed: int) -> None:
        super().__init__(dtype="float32")
        self.prior, self.apart, self.samples = prior, apart, samples
        self.seed_generator = keras.random.SeedGenerator(seeds.integer(seed, "prior"))
        self.built = True

    def call(self, posterior: dict[str, Any], training: bool = False) -> Any:
        """Draw one z per posterior of mean and log-scale (n, latent_dim), (n, 1, latent_dim)."""
        noise = keras.random.normal(ops.shape(posterior["mean"]), seed=self.seed_generator)
        return Gaussian(posterior["mean"], posterior["log_scale"]).from_noise(noise)[:, None]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True) -> Any:
        """Return -log p(z, y) of the posteriors, plus the uncertainty of labels."""
        prior: Any = self.prior.distribution(lambda images: images)
        log_prob = ops.mean(prior.log_prob_labelled(y_pred, y))
        if not self.apart or not training:
            return -log_prob
        labels = keras.random.randint((self.samples,), 0, prior.labels, seed=self.seed_generator)
        noise = keras.random.normal((self.samples, self.prior.latent_dim), seed=self.seed_generator)
        z = prior.given(ops.one_hot(labels, prior.labels)).from_noise(noise)
        uncertainty = keras.losses.sparse_categorical_crossentropy(
            labels, prior.log_joint(z), from_logits=True
        )
        return -log_prob + self.apart * ops.mean(uncertainty)


def encoded(vae: digitvae.VAE, bits: np.ndarray) -> dict[str, np.ndarray]:
    """Return the posteriors of bits (n, height, width)."""
    mean, log_scale = vae.encode_posterior(bits.astype("uint8") * 255)
    return {"mean": mean, "log_scale": log_scale}


def main() -> None:
    """Train and write a run folder."""
    parser = argparse.ArgumentParser(description="Train the prior of a run with labels alone.")
    parser.add_argument("run", type=Path, help="folder of a run on MNIST whose flow prior has labels")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the new run")
    options = parser.parse_args()
    Run.check_free(options.output)
    check_writable(options.output.parent, options.output)
    run = digitvae.find_run(options.run)
    vae = run.load_model()
    if not isinstance(vae.prior, FlowPrior) or not vae.labels:
        sys.exit("Expected a run whose flow prior has labels. Received: one without")
    dataset = load_dataset()
    (images, labels), (held_images, held_labels) = split_validation(
        dataset.train_images, dataset.train_labels
    )
    labels, held_labels = (np.asarray(part, "int32") for part in (labels, held_labels))
    sets = [encoded(vae, draw_bits(images, seeds.stream(SEED, "prior images", part))) for part in range(SETS)]
    held_out = (encoded(vae, fixed_bits(held_images) > 0), held_labels)
    model = PriorTraining(vae.prior, APART, SAMPLES, SEED)
    steps = EPOCHS * (len(images) // BATCH_SIZE)
    rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    model.compile(optimizer=keras.optimizers.Adam(rate, beta_2=0.99, global_clipnorm=10.0))
    print(f"before: validation -log p(z, y) {model.evaluate(*held_out, verbose=0):.3f} nats", flush=True)
    for epoch in range(EPOCHS):
        began = time.perf_counter()
        order = seeds.stream(SEED, "prior order", epoch).permutation(len(images))
        order = order[: len(order) // BATCH_SIZE * BATCH_SIZE]
        posterior = {name: values[order] for name, values in sets[epoch % SETS].items()}
        history = model.fit(posterior, labels[order], batch_size=BATCH_SIZE, shuffle=False, verbose=0).history
        loss, validated = history["loss"][0], model.evaluate(*held_out, verbose=0)
        seconds = time.perf_counter() - began
        print(f"epoch {epoch + 1}: loss {loss:.3f}, validation {validated:.3f}, {seconds:.0f} s", flush=True)
    with folder_written_whole(options.output) as folder:
        # What was measured of the old prior is not true of the new one.
        measured = ("evaluation.json", "report.html", "figures", "explorer")
        left = shutil.ignore_patterns("checkpoint", "film", *measured)
        shutil.copytree(run.folder, folder, ignore=left, dirs_exist_ok=True)
        Run.open(folder).save_model(vae)


if __name__ == "__main__":
    main()
