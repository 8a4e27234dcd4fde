"""The variational autoencoder: a Keras model made of networks, a prior, a likelihood and an objective."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from digitvae import seeds
from digitvae.distributions import Distribution, Gaussian, Labelled, Likelihood, Tensor
from digitvae.inputs import checked_arguments
from digitvae.objectives import BoundTerms, Objective
from digitvae.priors import Prior
from digitvae.speed.on_jax import looped_train_function
from digitvae.trained import TrainedModel

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
    x: Tensor
    """The pixels that they explain, float32 (n, height, width)."""


@keras.saving.register_keras_serializable("digitvae")
class VAE(TrainedModel, keras.Model):
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
        self.prior_name = type(prior).__name__
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
        if training and self.objective.resampled:
            # Its value, and the gradient of a few draws.
            few = self._resampled(y_pred, terms, y)
            objective = few + ops.stop_gradient(objective - few)
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
        return Draws(reconstruction, posterior.mean, posterior.log_scale, z, x)

    def _terms(self, draws: Draws, labels: Tensor | None = None) -> BoundTerms:
        """Return the terms of the bound of log p(x), or of log p(x, y) where labels (n,) are given."""
        posterior, prior = Gaussian(draws.mean, draws.log_scale), self.prior.distribution(self.posterior)
        if isinstance(prior, Labelled) and labels is not None:
            log_prior = prior.log_prob_labelled(draws.z, labels)
        else:
            log_prior = prior.log_prob(draws.z)
        # log q(z|x) - log p(z), summed over latents
        log_ratio = _over_draws(posterior).log_prob(draws.z) - log_prior
        if isinstance(prior, Gaussian):
            kl_per_latent = posterior.kl_per_latent(prior)
            return BoundTerms(draws.reconstruction, log_ratio, ops.sum(kl_per_latent, axis=-1), kl_per_latent)
        return BoundTerms(draws.reconstruction, log_ratio, ops.mean(log_ratio, axis=1), None)

    def _resampled(self, draws: Draws, terms: BoundTerms, labels: Tensor | None) -> Tensor:
        """Return a function (n,) whose gradient is on average that of the importance-weighted bound.

        With normalised weights v_k, decoder and prior have the gradient sum_k v_k grad log p(x, z_k), and the
        encoder sum_k v_k^2 grad_z log(p(x, z_k) / q(z_k|x)) dz_k (doubly reparameterised; Tucker et al. 2019,
        equation 8). An index drawn by the weights turns both sums into one term.
        """
        log_weights = ops.stop_gradient(-terms.reconstruction - terms.log_ratio)
        indices = keras.random.categorical(log_weights, self.objective.resampled, seed=self.seed_generator)
        chosen = ops.one_hot(indices, self.objective.draws)
        z = ops.matmul(chosen, draws.z)
        weight = ops.matmul(chosen, ops.expand_dims(ops.softmax(log_weights), -1))
        fixed = ops.stop_gradient(z)
        # The value of z, and its gradient times the weight; q is fixed but for z.
        z = fixed + weight * (z - fixed)
        posterior = Gaussian(ops.stop_gradient(draws.mean), ops.stop_gradient(draws.log_scale))
        own = self._terms(self._draw(draws.x, posterior=posterior, z=z), labels)
        return ops.mean(-own.reconstruction - own.log_ratio, axis=1)

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

    # What users call to train and to measure; the rest is in `TrainedModel`.

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

    # What computes for `TrainedModel`.

    def _encoded(self, x: npt.NDArray[np.float32]) -> np.ndarray:
        return self.encoder.predict_on_batch(x)

    def _decoded(self, z: npt.NDArray[np.float32]) -> np.ndarray:
        return self.decoder.predict_on_batch(z)

    def _prior(self) -> Distribution | Labelled:
        return self.prior.distribution(self.posterior)

    def _run(self, function: Callable[..., Tensor], *arrays: np.ndarray) -> np.ndarray:
        return ops.convert_to_numpy(function(*map(ops.convert_to_tensor, arrays)))

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
