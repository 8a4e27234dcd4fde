"""The variational autoencoder: a Keras model made of networks, a prior, a likelihood and an objective."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from digitvae import seeds
from digitvae.distributions import Distribution, Gaussian, LabelledFlow, Likelihood, Tensor
from digitvae.inputs import checked_arguments, checked_images, label_weights, padded_batches
from digitvae.objectives import BoundTerms, Objective
from digitvae.priors import Prior
from digitvae.speed.on_jax import looped_train_function

METRICS = ("elbo", "reconstruction", "kl")
_PARTS = ("encoder", "decoder", "prior", "objective")


class Draws(NamedTuple):
    """What the networks make of images: posteriors, draws from them, how well these explain the images."""

    reconstruction: Tensor
    """-log p(x|z) of every draw, float32 (n, k), nats."""
    mean: Tensor
    """Of q(z|x), float32 (n, latent_dim)."""
    log_scale: Tensor
    """Of q(z|x), float32 (n, latent_dim)."""
    z: Tensor
    """The draws, float32 (n, k, latent_dim)."""


@keras.saving.register_keras_serializable("digitvae")
class VAE(keras.Model):
    """A VAE with a diagonal Gaussian posterior (Kingma & Welling 2013).

    Where the prior depends on labels, `fit` takes them as `y`, -1 for an image without one, and maximises the
    bound of log p(x, y), or of log p(x) where there is no label. Without labels, as in evaluations, all is
    about log p(x), p(z) = sum_y p(y) p(z|y).

    It is an ordinary Keras model: `compile`, `fit`, `evaluate`, callbacks and `.keras` files work as
    everywhere. Every method takes images as uint8 0..255, bool or float in [0, 1], (n, height, width), from
    any array, tensor or list; `fit` and `evaluate` also take batches of them, as
    `digitvae.inputs.checked_source` does, also as `validation_data`. Images of another size, and what holds
    no images, are a ValueError. Results are NumPy arrays.

    Args:
        encoder: model from float (n, height, width) in [0, 1] to (n, 2 * latent_dim), the posterior's mean
            and log-scale.
        decoder: model from (n, latent_dim) to (n, height, width, channels), the likelihood's parameters.
        prior: p(z).
        likelihood: class of p(x|z), one of `digitvae.distributions` or a subclass of `Likelihood`, built from
            the decoder's output. A class of your own is saved by its name, and must be defined again before
            the model is loaded.
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
        **kwargs: Any,
    ):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.encoder, self.decoder = encoder, decoder
        self.prior, self.likelihood, self.objective = prior, likelihood, objective
        self.binarization, self.seed = binarization, seed
        self.image_shape: tuple[int, int] = tuple(encoder.input_shape[1:])
        self.latent_dim: int = decoder.input_shape[1]
        self.labels: int = prior.labels
        self.seed_generator = keras.random.SeedGenerator(seeds.integer(seed, "training"))
        self.means = {name: keras.metrics.Mean(name=name) for name in METRICS}
        # Training steps done, for objectives that change with them.
        self.step: Any = 0
        if objective.scheduled:
            self.step = self.add_weight(shape=(), initializer="zeros", trainable=False, name="step")
        self.built = True

    # What Keras calls.

    def call(self, images: Tensor, training: bool = False) -> Draws:
        """Encode images and decode `objective.draws` posterior draws of each.

        Args:
            images: as in `observe`.
            training: unused, bits and noise are drawn alike in training and validation.
        """
        x = self.observe(images)
        shape = (ops.shape(x)[0], self.objective.draws, self.latent_dim)
        return self._draw(x, keras.random.normal(shape, dtype="float32", seed=self.seed_generator))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True) -> Tensor:
        """Return the mean of -objective over the batch, plus the losses of regularizers; update the metrics.

        Args:
            x: the images, unused.
            y: labels, whole numbers (n,), -1 where there is none; or None. A prior with labels uses them, and
                Keras makes sample weights of them where there is a `class_weight`.
            y_pred: the draws.
            sample_weight: weight of every image, (n,), or None for ones.
            training: whether this is a training step.
        """
        terms = self._terms(y_pred, y)
        reconstruction = ops.mean(terms.reconstruction, axis=1)
        values = {
            "reconstruction": reconstruction,
            "kl": terms.kl,
            "elbo": -(reconstruction + terms.kl),
        }
        for name, mean in self.means.items():
            mean.update_state(values[name], sample_weight)
        objective = self.objective(terms, self.step)
        if sample_weight is not None:
            objective = objective * ops.cast(ops.reshape(sample_weight, (-1,)), "float32")
        if training and self.objective.scheduled:
            self.step.assign_add(1)
        return sum(self.losses, -ops.mean(objective))

    def make_train_function(self, force: bool = False) -> None:
        """Make what `fit` calls for every step or, with `steps_per_execution`, for several."""
        single = self.steps_per_execution == 1 or self.run_eagerly or not self.jit_compile
        if keras.backend.backend() != "jax" or single or keras.distribution.distribution() is not None:
            super().make_train_function(force)
        elif force or getattr(self, "train_function", None) is None:
            self.train_function: Any = looped_train_function(self)

    # The pieces, as tensors.

    def bound_terms(
        self,
        x: Tensor,
        noise: Tensor | None = None,
        posterior: Gaussian | None = None,
        z: Tensor | None = None,
    ) -> BoundTerms:
        """Return the terms of the bound of log p(x) for images and noise.

        Args:
            x: pixels, float32 (n, height, width) in [0, 1], as the likelihood models them.
            noise: standard normal, (n, k, latent_dim): z = mean + scale * noise.
            posterior: with parameters (n, latent_dim); by default the encoder's, q(z|x).
            z: draws (n, k, latent_dim) to take in place of the noise's.
        """
        return self._terms(self._draw(x, noise, posterior, z))

    def _draw(
        self,
        x: Tensor,
        noise: Tensor | None = None,
        posterior: Gaussian | None = None,
        z: Tensor | None = None,
    ) -> Draws:
        posterior = self.posterior(x) if posterior is None else posterior
        z = _over_draws(posterior).from_noise(noise) if z is None else z
        # log p(x|z), summed over pixels
        reconstruction = -self.likelihood(self.decode_params(z)).log_prob(ops.expand_dims(x, 1))
        return Draws(reconstruction, posterior.mean, posterior.log_scale, z)

    def _terms(self, draws: Draws, labels: Tensor | None = None) -> BoundTerms:
        """Return the terms of the bound of log p(x), or of log p(x, y) where labels (n,) are given."""
        posterior, prior = Gaussian(draws.mean, draws.log_scale), self.prior.distribution(self.posterior)
        if isinstance(prior, LabelledFlow) and labels is not None:
            log_prior = prior.log_prob_labelled(draws.z, labels)
        else:
            log_prior = prior.log_prob(draws.z)
        # log q(z|x) - log p(z), summed over latents
        log_ratio = _over_draws(posterior).log_prob(draws.z) - log_prior
        if isinstance(prior, Gaussian):
            kl_per_latent = posterior.kl_per_latent(prior)
            return BoundTerms(draws.reconstruction, log_ratio, ops.sum(kl_per_latent, axis=-1), kl_per_latent)
        return BoundTerms(draws.reconstruction, log_ratio, ops.mean(log_ratio, axis=1), None)

    def observe(self, images: Tensor) -> Tensor:
        """Turn images into what the likelihood models: bits or grey values, float32 in [0, 1].

        Args:
            images: (n, height, width), integer 0..255; bool for bits that are drawn already; or float in
                [0, 1]. Values outside become NaN, so that no loss is finite with them.
        """
        dtype = keras.backend.standardize_dtype(images.dtype)
        x = ops.cast(images, "float32")
        if dtype == "bool":
            return x
        if "float" not in dtype:
            x = x / 255.0
        valid = None if dtype == "uint8" else ops.logical_and(x >= 0, x <= 1)
        if self.binarization == "dynamic":
            # x ~ Bernoulli(pixel / 255). The draw is below 1, so pixels of 0 and 255 stay as they are.
            uniform = keras.random.uniform(ops.shape(x), dtype="float32", seed=self.seed_generator)
            x = ops.cast(uniform < x, "float32")
        return x if valid is None else ops.where(valid, x, float("nan"))

    def posterior(self, x: Tensor) -> Gaussian:
        """Return q(z|x) for x float (n, height, width) in [0, 1]."""
        return Gaussian(*ops.split(self.encoder(x), 2, axis=-1))

    def decode_params(self, z: Tensor) -> Tensor:
        """Return the likelihood's parameters (n, k, height, width, channels) for z (n, k, latent_dim)."""
        params = self.decoder(ops.reshape(z, (-1, self.latent_dim)))
        return ops.reshape(params, (-1, z.shape[1], *params.shape[1:]))

    # What users call: arrays in, arrays out, a batch at a time.

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Train on images; as `keras.Model.fit`."""
        return super().fit(**checked_arguments(keras.Model.fit, self.image_shape, x, *args, **kwargs))

    def evaluate(self, x: Any = None, *args: Any, seed: int = 0, **kwargs: Any) -> Any:
        """Measure elbo, reconstruction and kl, in nats per image; as `keras.Model.evaluate`.

        The noise is that of `seed` at every call and the training's random state is left untouched.

        Args:
            x: images, or batches of them.
            *args: as in Keras.
            seed: seed of the posterior draws (and of the bits of grey images).
            **kwargs: as in Keras; `return_dict=True` gives the names.
        """
        state = self.seed_generator.state
        before = ops.convert_to_numpy(state).copy()
        other = keras.random.SeedGenerator(seeds.integer(seed, "evaluation"))
        state.assign(ops.convert_to_numpy(other.state))
        try:
            return super().evaluate(
                **checked_arguments(keras.Model.evaluate, self.image_shape, x, *args, **kwargs)
            )
        finally:
            state.assign(before)

    def train_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Take one step; as `keras.Model.train_on_batch`."""
        return super().train_on_batch(
            **checked_arguments(keras.Model.train_on_batch, self.image_shape, x, *args, **kwargs)
        )

    def test_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Measure one batch; as `keras.Model.test_on_batch`."""
        return super().test_on_batch(
            **checked_arguments(keras.Model.test_on_batch, self.image_shape, x, *args, **kwargs)
        )

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse: there is no one output of a VAE.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("Expected encode, reconstruct, decode or generate. Received: predict")

    predict_on_batch = predict

    def encode(
        self, images: Any, batch_size: int = 256, sample: bool = False, seed: int = 0
    ) -> npt.NDArray[np.float32]:
        """Compress images to latents.

        Args:
            images: (n, height, width).
            batch_size: images at a time.
            sample: draw from the posterior instead of taking its mean.
            seed: seed of the draw.

        Returns:
            float32 (n, latent_dim).
        """
        mean, log_scale = self.encode_posterior(images, batch_size)
        if not sample:
            return mean
        noise = seeds.stream(seed, "posterior").standard_normal(mean.shape, "float32")
        return np.asarray(mean + np.exp(log_scale) * noise, "float32")

    def encode_posterior(
        self, images: Any, batch_size: int = 256
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Compress images to the parameters of the posterior q(z|x).

        Args:
            images: (n, height, width).
            batch_size: images at a time.

        Returns:
            Mean and natural logarithm of the standard deviation, both float32 (n, latent_dim).
        """
        images = checked_images(images, self.image_shape)
        outputs = np.empty((len(images), 2 * self.latent_dim), "float32")
        for rows, batch in padded_batches(images, batch_size):
            values = self.encoder.predict_on_batch(batch.astype("float32") / 255)
            outputs[rows] = values[: rows.stop - rows.start]
        mean, log_scale = (np.ascontiguousarray(part) for part in np.split(outputs, 2, axis=1))
        return mean, log_scale

    def decode(
        self,
        latents: npt.ArrayLike,
        batch_size: int = 256,
        pixels: Literal["mean", "sample"] = "mean",
        seed: int = 0,
    ) -> npt.NDArray[np.uint8]:
        """Turn latents into images.

        Args:
            latents: float (n, latent_dim).
            batch_size: latents at a time.
            pixels: "mean" for the mean of p(x|z), "sample" for a draw from it.
            seed: seed of the draw.

        Returns:
            uint8 (n, height, width).

        Raises:
            ValueError: latents of another shape, or not finite; or `pixels` is neither.
        """
        if pixels not in ("mean", "sample"):
            raise ValueError(f"Expected pixels to be mean or sample. Received: pixels={pixels}")
        latents = self._checked_latents(latents)
        images = np.empty((len(latents), *self.image_shape), "uint8")
        uniforms = seeds.stream(seed, "pixels")
        for rows, batch in padded_batches(latents, batch_size):
            count = rows.stop - rows.start
            params = self.decoder.predict_on_batch(batch)[:count]
            likelihood = self.likelihood(ops.convert_to_tensor(params))
            if pixels == "mean":
                values = likelihood.mean
            else:
                values = likelihood.sample(uniforms.random((count, *self.image_shape, 2), "float32"))
            images[rows] = np.rint(ops.convert_to_numpy(values) * 255)
        return images

    def reconstruct(self, images: Any, batch_size: int = 256) -> npt.NDArray[np.uint8]:
        """Encode to the posterior mean and decode to the mean of p(x|z).

        Args:
            images: (n, height, width).
            batch_size: images at a time.

        Returns:
            uint8 (n, height, width).
        """
        return self.decode(self.encode(images, batch_size), batch_size)

    def generate(
        self,
        n: int,
        seed: int = 0,
        batch_size: int = 256,
        pixels: Literal["mean", "sample"] = "mean",
        labels: npt.ArrayLike | None = None,
        temperature: float = 1.0,
    ) -> npt.NDArray[np.uint8]:
        """Draw new images: u ~ N(0, I), z = T(u), then p(x|z).

        Args:
            n: how many; the first m of n are those of `generate(m)` with the same seed.
            seed: seed of the noise, which is the same on every backend.
            batch_size: images at a time.
            pixels: as in `decode`.
            labels: a label for all, or one for each, (n,), for a prior that depends on them; by default they
                are drawn from p(y).
            temperature: factor of the noise; below 1 images are more typical and less varied.

        Returns:
            uint8 (n, height, width).

        Raises:
            ValueError: n is not a whole number of at least 1, `pixels` is unknown, the temperature is not
                above 0, or labels that the model does not have.
        """
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
            raise ValueError(f"Expected n to be a whole number of at least 1. Received: n={n}")
        if not 0 < temperature < np.inf:
            raise ValueError(f"Expected a temperature above 0. Received: temperature={temperature}")
        if labels is not None:
            labels = np.broadcast_to(np.asarray(labels), (n,)) if np.ndim(labels) == 0 else labels
        elif self.labels:
            labels = self.draw_labels(n, seed)
        noise = temperature * seeds.stream(seed, "prior").standard_normal((n, self.latent_dim), "float32")
        return self.decode(self.latents_from_noise(noise, labels), batch_size, pixels, seed)

    def draw_labels(self, n: int, seed: int = 0) -> npt.NDArray[np.int64]:
        """Draw labels from p(y), int64 (n,); the first m of n are those of `draw_labels(m)`.

        Raises:
            ValueError: the model's prior does not depend on labels.
        """
        shares = np.cumsum(self.label_shares())
        uniform = seeds.stream(seed, "labels").random(n)
        return np.minimum(np.searchsorted(shares, uniform, side="right"), self.labels - 1)

    def label_shares(self) -> npt.NDArray[np.float64]:
        """Return p(y), float64 (labels,).

        Raises:
            ValueError: the model's prior does not depend on labels.
        """
        self._check_labelled()
        logits = ops.convert_to_numpy(self.prior.logits).astype("float64")
        return np.exp(logits) / np.exp(logits).sum()

    def label_probabilities(self, latents: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Return p(y|z) by Bayes' rule.

        Args:
            latents: float (n, latent_dim).

        Returns:
            float32 (n, labels), rows that sum to 1.

        Raises:
            ValueError: latents of another shape, or the model's prior does not depend on labels.
        """
        self._check_labelled()
        prior: Any = self.prior
        # p(y|z) = p(y) p(z|y) / sum_y' p(y') p(z|y')
        return self._mapped(
            lambda z: ops.softmax(prior.distribution(self.posterior).log_joint(z), axis=-1),
            self._checked_latents(latents),
        )

    def latents_from_noise(
        self, noise: npt.ArrayLike, labels: npt.ArrayLike | None = None
    ) -> npt.NDArray[np.float32]:
        """Map the prior's base noise u to latents z.

        Args:
            noise: float (n, latent_dim).
            labels: whole numbers (n,); or weights of the labels, float (n, labels), for maps between those of
                several labels. Required where the prior depends on labels.

        Returns:
            float32 (n, latent_dim).

        Raises:
            ValueError: noise or labels of another shape, or labels that the model does not have.
        """
        noise = self._checked_latents(noise)
        if labels is None and self.labels:
            raise ValueError("Expected labels, on which the model's prior depends. Received: labels=None")
        weights = self._weights(labels, noise)
        return self._mapped(lambda u, *w: self._given(*w).from_noise(u), noise, *weights)

    def noise_from_latents(
        self, latents: npt.ArrayLike, labels: npt.ArrayLike | None = None
    ) -> npt.NDArray[np.float32]:
        """Map latents z to the prior's base noise u.

        Args:
            latents: float (n, latent_dim).
            labels: as in `latents_from_noise`; by default the most probable one of each where the prior
                depends on labels.

        Returns:
            float32 (n, latent_dim).

        Raises:
            ValueError: latents or labels of another shape, or labels that the model does not have.
        """
        latents = self._checked_latents(latents)
        if labels is None and self.labels:
            labels = self.label_probabilities(latents).argmax(axis=1)
        return self._mapped(
            lambda z, *w: self._given(*w).to_noise(z), latents, *self._weights(labels, latents)
        )

    def _given(self, *weights: Tensor) -> Distribution:
        """Return the prior, or p(z|y) for weights of the labels."""
        prior = self.prior.distribution(self.posterior)
        return prior.given(*weights) if isinstance(prior, LabelledFlow) else prior

    def _weights(self, labels: npt.ArrayLike | None, rows: np.ndarray) -> list[npt.NDArray[np.float32]]:
        if labels is None:
            return []
        self._check_labelled()
        return [label_weights(labels, self.labels, len(rows))]

    def _check_labelled(self) -> None:
        if not self.labels:
            raise ValueError(
                "Expected a model that was trained with labels. Received: one whose prior depends on none"
            )

    def _mapped(self, function: Callable[..., Tensor], *arrays: np.ndarray) -> npt.NDArray[np.float32]:
        """Apply a function of tensors to the rows of arrays, a batch at a time."""
        out = None
        for (rows, first), *others in zip(*(padded_batches(a, 4096) for a in arrays), strict=True):
            batch = [ops.convert_to_tensor(values) for values in (first, *(values for _, values in others))]
            found = ops.convert_to_numpy(function(*batch))
            if out is None:
                out = np.empty((len(arrays[0]), *found.shape[1:]), "float32")
            out[rows] = found[: rows.stop - rows.start]
        return np.empty_like(arrays[0]) if out is None else out

    def _checked_latents(self, latents: npt.ArrayLike) -> npt.NDArray[np.float32]:
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
        return {
            **{name: keras.saving.serialize_keras_object(getattr(self, name)) for name in _PARTS},
            "likelihood": self.likelihood.__name__,
            "binarization": self.binarization,
            "seed": self.seed,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> VAE:
        """Rebuild the model; the weights come from the file.

        Raises:
            ValueError: a likelihood that is not defined.
        """
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in _PARTS}
        known = {kind.__name__: kind for kind in _subclasses(Likelihood)}
        if config["likelihood"] not in known:
            raise ValueError(
                "Expected the model's likelihood to be defined, as a subclass of digitvae.distributions."
                f"Likelihood. Received: no class {config['likelihood']}"
            )
        for network in (parts["encoder"], parts["decoder"]):
            network.jit_compile = compiles_with_xla()
        return cls(**{**config, **parts, "likelihood": known[config["likelihood"]]})


def _over_draws(posterior: Gaussian) -> Gaussian:
    """Give parameters (n, latent_dim) an axis for draws."""
    return Gaussian(ops.expand_dims(posterior.mean, 1), ops.expand_dims(posterior.log_scale, 1))


def _subclasses(parent: type[Any]) -> Iterator[type[Any]]:
    for child in parent.__subclasses__():
        yield child
        yield from _subclasses(child)


def compiles_with_xla() -> bool:
    """Say whether XLA compiles: on JAX, which has nothing else; TensorFlow's own CPU kernels are faster."""
    return keras.backend.backend() == "jax"
