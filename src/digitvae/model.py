"""The variational autoencoder: a Keras model composed of cells it knows only by what they do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from digitvae import distributions
from digitvae.data import as_images
from digitvae.distributions import Gaussian, Likelihood
from digitvae.objectives import Objective, kl_divergence, terms
from digitvae.priors import LatentDistribution, Prior

METRICS = ("elbo", "reconstruction", "kl")


@keras.saving.register_keras_serializable("digitvae")
class VAE(keras.Model):
    """A VAE with a diagonal Gaussian posterior (Kingma & Welling 2013).

    It is an ordinary Keras model: `compile`, `fit`, `evaluate`, callbacks and `.keras` files work as
    everywhere. Images are uint8 (n, height, width) at every method; what comes back is NumPy.

    Args:
        encoder: model from float (n, height, width) in [0, 1] to (n, 2 * latent_dim), the posterior's mean
            and log-scale.
        decoder: model from (n, latent_dim) to (n, height, width, channels), the likelihood's parameters.
        prior: p(z).
        likelihood: class of p(x|z), one of `digitvae.distributions`, built from the decoder's output.
        objective: what training maximises.
        binarization: "dynamic" draws fresh bits from the grey values on every pass, "none" keeps them.
        seed: seed of the noise and the bits.
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        prior: Prior,
        likelihood: type[Likelihood],
        objective: Objective,
        binarization: str = "dynamic",
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.encoder, self.decoder = encoder, decoder
        self.prior, self.likelihood, self.objective = prior, likelihood, objective
        self.binarization, self.seed = binarization, seed
        self.image_shape: tuple[int, int] = tuple(encoder.input_shape[1:])
        self.latent_dim: int = decoder.input_shape[1]
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.means = {name: keras.metrics.Mean(name=name) for name in METRICS}
        encoder.jit_compile = decoder.jit_compile = compiles_with_xla()
        self.built = True

    # What Keras calls. x -> q(z|x) -> z -> p(x|z), then the bound.

    def call(self, images, training: bool = False) -> dict[str, Any]:
        """Run the model once with `objective.draws` posterior draws.

        Args:
            images: as in `observe`.
            training: unused, bits and noise are drawn alike in training and validation.

        Returns:
            x (n, height, width) in [0, 1]; posterior_mean, posterior_log_scale (n, latent_dim);
            z (n, draws, latent_dim); likelihood_params (n, draws, height, width, channels). All float32.
        """
        x = self.observe(images)
        posterior = self.posterior(x)
        shape = (ops.shape(x)[0], self.objective.draws, self.latent_dim)
        noise = keras.random.normal(shape, dtype="float32", seed=self.seed_generator)
        z = ops.expand_dims(posterior.mean, 1) + ops.expand_dims(ops.exp(posterior.log_scale), 1) * noise
        return {
            "x": x,
            "posterior_mean": posterior.mean,
            "posterior_log_scale": posterior.log_scale,
            "z": z,
            "likelihood_params": self.decode_params(z),
        }

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True, **kwargs):
        """Return the mean of -objective over the batch and update the metrics."""
        posterior = Gaussian(
            ops.expand_dims(y_pred["posterior_mean"], 1), ops.expand_dims(y_pred["posterior_log_scale"], 1)
        )
        prior = self.prior.distribution(self.posterior)
        likelihood = self.likelihood(y_pred["likelihood_params"])
        values = terms(ops.expand_dims(y_pred["x"], 1), y_pred["z"], posterior, prior, likelihood)

        reconstruction = ops.mean(values.reconstruction, axis=1)
        kl = kl_divergence(values.log_ratio, posterior, prior)
        self.means["reconstruction"].update_state(reconstruction)
        self.means["kl"].update_state(kl)
        self.means["elbo"].update_state(-(reconstruction + kl))
        return -ops.mean(self.objective.value(values, posterior, prior, training))

    # The pieces, as tensors.

    def observe(self, images):
        """Turn images into what the likelihood models: bits or grey values, float32 in [0, 1].

        Args:
            images: uint8 (n, height, width), or bool where the bits are drawn already.
        """
        if keras.backend.standardize_dtype(images.dtype) == "bool":
            return ops.cast(images, "float32")
        x = ops.cast(images, "float32") / 255.0
        if self.binarization == "none":
            return x
        # x ~ Bernoulli(pixel / 255). The draw is below 1, so pixels of 0 and 255 stay as they are.
        uniform = keras.random.uniform(ops.shape(x), dtype="float32", seed=self.seed_generator)
        return ops.cast(uniform < x, "float32")

    def posterior(self, x) -> Gaussian:
        """Return q(z|x) for x float (n, height, width) in [0, 1]."""
        return Gaussian(*ops.split(self.encoder(x), 2, axis=-1))

    def decode_params(self, z):
        """Return the likelihood's parameters (n, k, height, width, channels) for z (n, k, latent_dim)."""
        params = self.decoder(ops.reshape(z, (-1, self.latent_dim)))
        return ops.reshape(params, (-1, z.shape[1], *params.shape[1:]))

    # What users call: arrays in, arrays out, a batch at a time.

    def fit(self, x=None, *args, **kwargs):
        """Train on images; as `keras.Model.fit`, with arrays checked and brought to uint8 first.

        Raises:
            ValueError: images of another size, or not images at all.
        """
        if isinstance(kwargs.get("validation_data"), tuple):
            images, *rest = kwargs["validation_data"]
            kwargs["validation_data"] = (self._checked(images), *rest)
        return super().fit(self._checked(x), *args, **kwargs)

    def evaluate(self, x=None, *args, seed: int = 0, **kwargs):
        """Measure elbo, reconstruction and kl, in nats per image; as `keras.Model.evaluate`.

        The noise is that of `seed` at every call and the training's random state is left untouched.

        Args:
            x: uint8 (n, height, width).
            *args: as in Keras.
            seed: seed of the posterior draws (and of the bits of grey images).
            **kwargs: as in Keras; `return_dict=True` gives the names.
        """
        state = self.seed_generator.state
        before = ops.convert_to_numpy(state).copy()
        state.assign(ops.convert_to_numpy(keras.random.SeedGenerator(seed).state))
        try:
            return super().evaluate(self._checked(x), *args, **kwargs)
        finally:
            state.assign(before)

    def encode(self, images, batch_size: int = 256, sample: bool = False, seed: int = 0) -> np.ndarray:
        """Compress images to latents.

        Args:
            images: uint8 (n, height, width).
            batch_size: images at a time.
            sample: draw from the posterior instead of taking its mean.
            seed: seed of the draw.

        Returns:
            float32 (n, latent_dim).

        Raises:
            ValueError: images of another size, or not images at all.
        """
        mean, log_scale = self.encode_posterior(images, batch_size)
        if not sample:
            return mean
        noise = np.random.default_rng(seed).standard_normal(mean.shape, "float32")
        return mean + np.exp(log_scale) * noise

    def encode_posterior(self, images, batch_size: int = 256) -> tuple[np.ndarray, np.ndarray]:
        """Compress images to the whole posterior, not to a point alone.

        Args:
            images: uint8 (n, height, width).
            batch_size: images at a time.

        Returns:
            The mean and the natural logarithm of the standard deviation of q(z|x), both float32
            (n, latent_dim).

        Raises:
            ValueError: images of another size, or not images at all.
        """
        images = self._checked(images)
        outputs = np.empty((len(images), 2 * self.latent_dim), "float32")
        for rows, batch in padded_batches(images, batch_size):
            values = self.encoder.predict_on_batch(batch.astype("float32") / 255)
            outputs[rows] = values[: rows.stop - rows.start]
        mean, log_scale = (np.ascontiguousarray(part) for part in np.split(outputs, 2, axis=1))
        return mean, log_scale

    def decode(self, latents, batch_size: int = 256) -> np.ndarray:
        """Turn latents into images, the mean of p(x|z).

        Args:
            latents: (n, latent_dim).
            batch_size: latents at a time.

        Returns:
            uint8 (n, height, width).

        Raises:
            ValueError: latents of another shape, or not finite.
        """
        latents = self._checked_latents(latents)
        images = np.empty((len(latents), *self.image_shape), "uint8")
        for rows, batch in padded_batches(latents, batch_size):
            mean = self.likelihood(ops.convert_to_tensor(self.decoder.predict_on_batch(batch))).mean
            images[rows] = np.rint(ops.convert_to_numpy(mean)[: rows.stop - rows.start] * 255)
        return images

    def reconstruct(self, images, batch_size: int = 256) -> np.ndarray:
        """Encode to the posterior mean and decode again.

        Args:
            images: uint8 (n, height, width).
            batch_size: images at a time.

        Returns:
            uint8 (n, height, width).
        """
        return self.decode(self.encode(images, batch_size), batch_size)

    def generate(self, n: int, seed: int = 0, batch_size: int = 256) -> np.ndarray:
        """Draw new images: u ~ N(0, I), z = T(u), then the mean of p(x|z).

        Args:
            n: how many; the first m of n are those of `generate(m)` with the same seed.
            seed: seed of the noise, which is the same on every backend.
            batch_size: images at a time.

        Returns:
            uint8 (n, height, width).

        Raises:
            ValueError: n is not a whole number of at least 1.
        """
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
            raise ValueError(f"Expected n to be a whole number of at least 1. Received: n={n}")
        noise = np.random.default_rng(seed).standard_normal((n, self.latent_dim), "float32")
        return self.decode(self.latents_from_noise(noise), batch_size)

    def latents_from_noise(self, noise) -> np.ndarray:
        """Map the prior's base noise u to latents z, both float32 (n, latent_dim)."""
        return self._map(self._checked_latents(noise), "from_noise")

    def noise_from_latents(self, latents) -> np.ndarray:
        """Map latents z to the prior's base noise u, both float32 (n, latent_dim)."""
        return self._map(self._checked_latents(latents), "to_noise")

    def _map(self, values: np.ndarray, direction: str) -> np.ndarray:
        distribution: LatentDistribution = self.prior.distribution(self.posterior)
        function = getattr(distribution, direction)
        out = np.empty_like(values)
        for rows, batch in padded_batches(values, 4096):
            out[rows] = ops.convert_to_numpy(function(ops.convert_to_tensor(batch)))[: rows.stop - rows.start]
        return out

    def _checked(self, images):
        # Other inputs (datasets, tensors) are Keras' own business.
        if not isinstance(images, np.ndarray | list):
            return images
        images = as_images(images)
        if images.shape[1:] != self.image_shape:
            raise ValueError(
                f"Expected images of {self.image_shape[0]}x{self.image_shape[1]} pixels. "
                f"Received: {images.shape[1]}x{images.shape[2]}"
            )
        return images

    def _checked_latents(self, latents) -> np.ndarray:
        latents = np.asarray(latents, "float32")
        if latents.ndim != 2 or latents.shape[1] != self.latent_dim:
            raise ValueError(
                f"Expected latents of shape (n, {self.latent_dim}). Received: shape={latents.shape}"
            )
        if not np.isfinite(latents).all():
            raise ValueError("Expected finite latents. Received: NaN or infinite values")
        return latents

    # Saving.

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, serialised by Keras."""
        parts = {name: getattr(self, name) for name in ("encoder", "decoder", "prior", "objective")}
        return {
            **{name: keras.saving.serialize_keras_object(part) for name, part in parts.items()},
            "likelihood": self.likelihood.__name__,
            "binarization": self.binarization,
            "seed": self.seed,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> VAE:
        """Rebuild the model; the weights come from the file."""
        parts = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in ("encoder", "decoder", "prior", "objective")
        }
        return cls(**{**config, **parts, "likelihood": getattr(distributions, config["likelihood"])})


def compiles_with_xla() -> bool:
    """Say whether XLA compiles: on JAX, which has nothing else; TensorFlow's own CPU kernels are faster."""
    return keras.backend.backend() == "jax"


def padded_batches(values: np.ndarray, size: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Cut into batches of one shape, the last one padded, so that functions compile once.

    Args:
        values: (n, ...).
        size: rows of a batch; fewer where there are few values.

    Yields:
        Which rows a batch holds, and the batch.

    Raises:
        ValueError: a size below 1.
    """
    if size < 1:
        raise ValueError(f"Expected batch_size to be at least 1. Received: batch_size={size}")
    # Few shapes, so that few functions are compiled, yet one image does not cost as much as a full batch.
    size = min(size, next((small for small in (1, 16) if len(values) <= small), size))
    for start in range(0, len(values), size):
        batch = values[start : start + size]
        padding = [(0, size - len(batch))] + [(0, 0)] * (values.ndim - 1)
        yield slice(start, start + len(batch)), np.pad(batch, padding) if len(batch) < size else batch
