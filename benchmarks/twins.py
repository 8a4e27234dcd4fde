"""The peers' models as Keras models with digitvae's densities around them, so that one evaluator scores all.

A twin has the architecture of the peer and takes over its weights. Its encoder gives mean and log-scale, half
the log-variance that most peers learn, its decoder logits, what the peer has before the sigmoid. Whether it
is the same model is not believed but checked, by the peer's own outputs.
"""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
from keras import layers

from digitvae.distributions import Bernoulli
from digitvae.model import VAE
from digitvae.objectives import ELBO
from digitvae.priors import StandardNormalPrior

Weights = Mapping[str, np.ndarray]

TOLERANCE = 1e-3
"""Largest difference between the outputs of a peer and of its twin: float32 gives 1e-5."""


def pytorch(weights: Weights) -> VAE:
    """Build the twin of PyTorch's example from its weights."""
    fc1, fc21, fc22, fc3, fc4 = (_torch(weights, name) for name in ("fc1", "fc21", "fc22", "fc3", "fc4"))
    return _dense("relu", fc1, _joined(fc21, _halved(fc22)), fc3, fc4)


def numpyro(weights: Weights) -> VAE:
    """Build the twin of NumPyro's example from its weights; it learns the log-scale itself."""
    hidden, mean, log_scale, decoder_hidden, pixels = (
        _keras(weights, name) for name in ("encoder_hidden", "mean", "log_scale", "decoder_hidden", "pixels")
    )
    return _dense("softplus", hidden, _joined(mean, log_scale), decoder_hidden, pixels)


def pythae(weights: Weights) -> VAE:
    """Build the twin of pythae's default VAE from its weights."""
    names = ("encoder.layers.0.0", "encoder.embedding", "encoder.log_var", "decoder.layers.0.0")
    hidden, mean, log_variance, decoder_hidden = (_torch(weights, name) for name in names)
    pixels = _torch(weights, "decoder.layers.1.0")
    return _dense("relu", hidden, _joined(mean, _halved(log_variance)), decoder_hidden, pixels)


def keras_example(weights: Weights) -> VAE:
    """Build the twin of Keras' example from its weights."""
    images = keras.Input((28, 28))
    x = layers.Reshape((28, 28, 1))(images)
    x = layers.Conv2D(32, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.Conv2D(64, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.Flatten()(x)
    x = layers.Dense(16, activation="relu")(x)
    encoder = keras.Model(images, layers.Dense(2 * 2)(x))
    latents = keras.Input((2,))
    x = layers.Dense(7 * 7 * 64, activation="relu")(latents)
    x = layers.Reshape((7, 7, 64))(x)
    x = layers.Conv2DTranspose(64, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.Conv2DTranspose(32, 3, strides=2, padding="same", activation="relu")(x)
    decoder = keras.Model(latents, layers.Conv2DTranspose(1, 3, padding="same")(x))
    posterior = _joined(_keras(weights, "mean"), _halved(_keras(weights, "log_variance")))
    trunk = [array for name in ("conv_1", "conv_2", "dense") for array in _keras(weights, name)]
    encoder.set_weights([*trunk, *posterior])
    decoder.set_weights(
        [array for name in ("grid", "up_1", "up_2", "pixels") for array in _keras(weights, name)]
    )
    return _vae(encoder, decoder)


TWINS = {"pytorch": pytorch, "numpyro": numpyro, "pythae": pythae, "keras": keras_example}


def check(vae: VAE, images: np.ndarray, outputs: Weights) -> None:
    """Refuse a twin that is not the peer's model.

    Args:
        vae: the twin.
        images: the probe, uint8 (n, 28, 28).
        outputs: what the peer itself computed for it: `mean` and `log_scale`, (n, latent_dim), and
            `probabilities` of white at z = mean, (n, 28, 28).

    Raises:
        ValueError: some output differs.
    """
    mean, log_scale = vae.encode_posterior(images)
    logits = keras.ops.convert_to_tensor(vae.decoder.predict_on_batch(outputs["mean"]))
    probabilities = keras.ops.convert_to_numpy(Bernoulli(logits).mean)
    for name, ours in (("mean", mean), ("log_scale", log_scale), ("probabilities", probabilities)):
        theirs = outputs[name]
        difference = float(np.abs(ours - theirs).max()) if ours.shape == theirs.shape else np.inf
        if not difference <= TOLERANCE:
            raise ValueError(
                f"Expected a twin whose {name} is the peer's to {TOLERANCE}. "
                f"Received: difference={difference:.3g}"
            )


def _dense(activation: str, hidden: list, posterior: list, decoder_hidden: list, pixels: list) -> VAE:
    """Build a VAE of one hidden layer either way; each argument is a layer's kernel and bias."""
    images = keras.Input((28, 28))
    x = layers.Flatten()(images)
    x = layers.Dense(hidden[0].shape[1], activation=activation)(x)
    encoder = keras.Model(images, layers.Dense(posterior[0].shape[1])(x))
    latents = keras.Input((decoder_hidden[0].shape[0],))
    x = layers.Dense(decoder_hidden[0].shape[1], activation=activation)(latents)
    x = layers.Dense(28 * 28)(x)
    decoder = keras.Model(latents, layers.Reshape((28, 28, 1))(x))
    encoder.set_weights([*hidden, *posterior])
    decoder.set_weights([*decoder_hidden, *pixels])
    return _vae(encoder, decoder)


def _vae(encoder: keras.Model, decoder: keras.Model) -> VAE:
    return VAE(encoder, decoder, StandardNormalPrior(decoder.input_shape[1]), Bernoulli, ELBO())


def _torch(weights: Weights, name: str) -> list[np.ndarray]:
    """Return a PyTorch layer's kernel and bias, as Keras has them."""
    return [weights[f"{name}.weight"].T, weights[f"{name}.bias"]]


def _keras(weights: Weights, name: str) -> list[np.ndarray]:
    return [weights[f"{name}.kernel"], weights[f"{name}.bias"]]


def _halved(layer: list[np.ndarray]) -> list[np.ndarray]:
    """Make a layer's log-variance a log-scale."""
    return [array / 2 for array in layer]


def _joined(first: list[np.ndarray], second: list[np.ndarray]) -> list[np.ndarray]:
    """Make one layer of two that see the same."""
    return [np.concatenate(pair, axis=-1) for pair in zip(first, second, strict=True)]
