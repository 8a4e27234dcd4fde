"""Keras' official example, "Variational AutoEncoder" of keras.io, restated on the TensorFlow backend.

Convolutions of stride 2 with 32 and 64 channels, 16 units, 2 latents, transposed convolutions back, a custom
`train_step`, grey pixels under a Bernoulli's cross entropy, Adam at 1e-3, batches of 128. The original trains
30 epochs on training and test digits together; here it is 10 epochs on the training digits.
"""

from __future__ import annotations

import random
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from recorder import Recorder, options, save_arrays, scaled

EPOCHS, BATCH_SIZE = 10, 128
LATENTS = 2


class Sampling(layers.Layer):
    """Draws z from the posterior's mean and log-variance."""

    def __init__(self, seed: int):
        super().__init__()
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs):
        """Return the draw."""
        mean, log_variance = inputs
        noise = keras.random.normal(tf.shape(mean), seed=self.seed_generator)
        return mean + tf.exp(0.5 * log_variance) * noise


def make_encoder(seed: int) -> keras.Model:
    """Build the encoder: images to mean, log-variance and a draw."""
    images = keras.Input((28, 28, 1))
    x = layers.Conv2D(32, 3, activation="relu", strides=2, padding="same", name="conv_1")(images)
    x = layers.Conv2D(64, 3, activation="relu", strides=2, padding="same", name="conv_2")(x)
    x = layers.Flatten()(x)
    x = layers.Dense(16, activation="relu", name="dense")(x)
    mean = layers.Dense(LATENTS, name="mean")(x)
    log_variance = layers.Dense(LATENTS, name="log_variance")(x)
    return keras.Model(images, [mean, log_variance, Sampling(seed)([mean, log_variance])])


def make_decoder() -> keras.Model:
    """Build the decoder: latents to probabilities of white."""
    latents = keras.Input((LATENTS,))
    x = layers.Dense(7 * 7 * 64, activation="relu", name="grid")(latents)
    x = layers.Reshape((7, 7, 64))(x)
    x = layers.Conv2DTranspose(64, 3, activation="relu", strides=2, padding="same", name="up_1")(x)
    x = layers.Conv2DTranspose(32, 3, activation="relu", strides=2, padding="same", name="up_2")(x)
    x = layers.Conv2DTranspose(1, 3, activation="sigmoid", padding="same", name="pixels")(x)
    return keras.Model(latents, x)


class Example(keras.Model):
    """The example's model with its own training step."""

    def __init__(self, encoder: keras.Model, decoder: keras.Model):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.trackers = [keras.metrics.Mean(name=name) for name in ("loss", "reconstruction", "kl")]

    @property
    def metrics(self):
        """Return the means that an epoch resets."""
        return self.trackers

    def train_step(self, data):
        """Make one step of gradient descent."""
        with tf.GradientTape() as tape:
            mean, log_variance, z = self.encoder(data)
            cross_entropy = keras.losses.binary_crossentropy(data, self.decoder(z))
            reconstruction = tf.reduce_mean(tf.reduce_sum(cross_entropy, axis=(1, 2)))
            kl_per_latent = -0.5 * (1 + log_variance - tf.square(mean) - tf.exp(log_variance))
            kl = tf.reduce_mean(tf.reduce_sum(kl_per_latent, axis=1))
            loss = reconstruction + kl
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        for tracker, value in zip(self.trackers, (loss, reconstruction, kl), strict=True):
            tracker.update_state(value)
        return {tracker.name: tracker.result() for tracker in self.trackers}


class Snapshots(keras.callbacks.Callback):
    """Keeps the weights of every epoch."""

    def __init__(self, recorder: Recorder, images: int):
        super().__init__()
        self.recorder, self.images = recorder, images

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the epoch's own clock."""
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Take the time and the weights."""
        seconds = time.perf_counter() - self.began
        self.recorder.epoch_ends(self.images, seconds, lambda stem: save_arrays(stem, weights(self.model)))


def main() -> None:
    """Train."""
    chosen = options()
    recorder = Recorder(chosen.folder)
    # Keras draws the seeds of its initialisers from Python's generator, the order of images from NumPy's.
    random.seed(chosen.seed)
    np.random.seed(chosen.seed)
    tf.random.set_seed(chosen.seed)
    images = scaled(chosen.images)[..., None]
    model = Example(make_encoder(chosen.seed), make_decoder())
    model.compile(optimizer=keras.optimizers.Adam())
    snapshots = Snapshots(recorder, len(images))
    model.fit(images, epochs=chosen.epochs or EPOCHS, batch_size=BATCH_SIZE, callbacks=[snapshots], verbose=2)
    recorder.finish(
        ["keras", "tensorflow", "tensorflow-cpu", "numpy"], lambda: outputs(model, scaled(chosen.probe))
    )


def weights(model: Example) -> dict[str, np.ndarray]:
    """Return the weights by the names of their layers."""
    return {
        f"{layer.name}.{weight.name}": keras.ops.convert_to_numpy(weight)
        for network in (model.encoder, model.decoder)
        for layer in network.layers
        for weight in layer.trainable_weights
    }


def outputs(model: Example, images: np.ndarray) -> dict[str, np.ndarray]:
    """Return what the twin has to agree with."""
    mean, log_variance, _ = model.encoder(images[..., None])
    return {
        "mean": np.asarray(mean),
        "log_scale": 0.5 * np.asarray(log_variance),
        "probabilities": np.asarray(model.decoder(mean))[..., 0],
    }


if __name__ == "__main__":
    main()
