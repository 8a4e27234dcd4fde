"""From names in a config to objects: the only module that knows both."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from digitvae import seeds
from digitvae.config import LABELLED_PRIORS, Config, ConfigError, with_changes
from digitvae.distributions import LIKELIHOODS
from digitvae.machine import tensorflow_bfloat16
from digitvae.model import VAE, compiles_with_xla
from digitvae.networks import conv_decoder, conv_encoder, dense_decoder, dense_encoder
from digitvae.objectives import ELBO, IWAE, Objective
from digitvae.optimizers import Muon
from digitvae.priors import (
    AutoregressivePrior,
    FlowPrior,
    MixturePrior,
    Prior,
    StandardNormalPrior,
    VampPrior,
)
from digitvae.speed import steps_per_execution
from digitvae.speed.on_tensorflow import Adam

NETWORKS = {"conv": (conv_encoder, conv_decoder), "dense": (dense_encoder, dense_decoder)}
BEST_ACTIVATION = {"conv": "relu", "dense": "swish"}
"""What "auto" means."""
DTYPES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


MOST_LABELS = 100
"""Of a prior that depends on them unasked: each density needs a pass through the flow for every label."""


def resolve_auto(config: Config, labels: np.ndarray | None = None) -> Config:
    """Replace each "auto" by what it means here; precision by bfloat16 on a CPU with instructions for it.

    Args:
        config: what to resolve.
        labels: of the training images, int (n,), -1 where one is missing; None where there are none.

    Raises:
        ConfigError: the config is of a backend that Keras does not run on, of a precision that it lacks, or
            wants labels where there are none.
    """
    backend = keras.backend.backend()
    if config.backend not in ("auto", backend):
        raise ConfigError(
            f"Expected Keras on {config.backend}, the backend of the config (KERAS_BACKEND chooses it). "
            f"Received: {backend}"
        )
    # JAX' CPU backend converts bfloat16 back and forth, PyTorch gains nothing at these sizes.
    bfloat16 = tensorflow_bfloat16() if backend == "tensorflow" else "slow"
    if config.precision == "bfloat16" and bfloat16 == "fatal":
        raise ConfigError(
            "Expected precision float32, because ONEDNN_MAX_CPU_ISA leaves TensorFlow no products in "
            "bfloat16. Received: bfloat16"
        )
    count = count_labels(labels)
    if config.condition == "label" and not count:
        raise ConfigError("Expected labelled data with condition label. Received: data without labels")
    meant = {
        "backend": backend,
        "condition": "label" if config.prior in LABELLED_PRIORS and 2 <= count <= MOST_LABELS else "none",
        "activation": BEST_ACTIVATION[config.architecture],
        "precision": "bfloat16" if bfloat16 == "fast" else "float32",
    }
    return with_changes(
        config, **{name: value for name, value in meant.items() if getattr(config, name) == "auto"}
    )


def count_labels(labels: np.ndarray | None) -> int:
    """Return the number of labels, which are 0, 1, ...: one more than the largest; 0 where there are none."""
    return 0 if labels is None else int(labels.max()) + 1


def build(
    config: Config,
    image_shape: tuple[int, int],
    steps_per_epoch: int = 1,
    images: np.ndarray | None = None,
    labels: np.ndarray | None = None,
) -> VAE:
    """Build and compile the model that a config describes.

    Args:
        config: what to build.
        image_shape: (height, width) of the images.
        steps_per_epoch: batches per epoch, for the schedules of the learning rate and beta.
        images: training images, uint8 (n, height, width), from which data-dependent weights start.
        labels: of the training images, int (n,), -1 where one is missing; for a prior that depends on them.

    Raises:
        ConfigError: the config is of another backend, or wants labels where there are none.
    """
    config = resolve_auto(config, labels)
    likelihood = LIKELIHOODS[config.likelihood]
    encoder, decoder = NETWORKS[config.architecture]
    shape = config.width, config.blocks, config.activation, DTYPES[config.precision]
    with _initialisers_seeded(config.seed):
        networks = (
            encoder(image_shape, 2 * config.latent_dim, *shape),
            decoder(image_shape, likelihood.channels(), config.latent_dim, *shape),
        )
        for network in networks:
            network.jit_compile = compiles_with_xla()
        vae = VAE(
            *networks,
            prior=_prior(config, image_shape, images, labels),
            likelihood=likelihood,
            objective=_objective(config, steps_per_epoch),
            binarization=config.binarization,
            seed=config.seed,
        )
    _compile(vae, config, steps_per_epoch)
    return vae


def _compile(vae: VAE, config: Config, steps_per_epoch: int) -> None:
    """Give the model the optimizer that a config describes.

    Its rate decays to zero along a cosine, or the optimizer keeps averages of the weights.
    """
    rate: Any = keras.optimizers.schedules.CosineDecay(config.learning_rate, config.epochs * steps_per_epoch)
    averaging: dict[str, Any] = {}
    if config.averaging_epochs:
        rate, steps = config.learning_rate, config.averaging_epochs * steps_per_epoch
        averaging = {"use_ema": True, "ema_momentum": max(0.0, 1 - 1 / steps)}
    if config.optimizer == "adam":
        optimizer: keras.optimizers.Optimizer = Adam(rate, **averaging)
    else:
        optimizer = Muon(rate, newton_schulz_dtype=config.precision, **averaging)
    steps = steps_per_execution(keras.backend.backend(), config.architecture)
    vae.compile(optimizer=optimizer, jit_compile=compiles_with_xla(), steps_per_execution=steps)


def _prior(
    config: Config, image_shape: tuple[int, int], images: np.ndarray | None, labels: np.ndarray | None
) -> Prior:
    if config.prior == "normal":
        return StandardNormalPrior(config.latent_dim)
    if config.prior == "mixture":
        return MixturePrior(config.latent_dim, config.prior_components, seed=config.seed)
    if config.prior == "flow":
        sizes = config.latent_dim, config.flow_couplings, config.flow_hidden, config.seed
        if labels is None or config.condition == "none":
            return FlowPrior(*sizes, components=config.flow_components)
        flow = FlowPrior(*sizes, labels=count_labels(labels))
        flow.start_from(labels)
        return flow
    if config.prior == "autoregressive":
        sizes = config.latent_dim, config.autoregressive_hidden, config.autoregressive_components, config.seed
        if labels is None or config.condition == "none":
            return AutoregressivePrior(*sizes)
        made = AutoregressivePrior(*sizes, labels=count_labels(labels))
        made.start_from(labels)
        return made
    prior = VampPrior(config.latent_dim, image_shape, config.prior_components, seed=config.seed)
    if images is not None:
        prior.start_from(images)
    return prior


def _objective(config: Config, steps_per_epoch: int) -> Objective:
    if config.objective == "iwae":
        return IWAE(config.draws, config.resampled)
    warmup_steps = round(config.warmup_epochs * steps_per_epoch)
    return ELBO(config.draws, config.beta, config.free_bits, warmup_steps)


@contextmanager
def _initialisers_seeded(seed: int) -> Iterator[None]:
    """Seed the weights that are made inside, and leave the caller's random state as it was.

    Keras draws the seeds of its initialisers from Python's own generator. `keras.utils.set_random_seed` sets
    it too, but resets every other global generator and imports each backend that is installed.
    """
    state = random.getstate()
    random.seed(seeds.integer(seed, "weights"))
    try:
        yield
    finally:
        random.setstate(state)
