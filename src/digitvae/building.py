"""From names in a config to objects: the only module that knows both, and that refuses what cannot work."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np

from digitvae import seeds
from digitvae.config import Config, ConfigError, with_changes
from digitvae.distributions import Bernoulli, ContinuousBernoulli, DiscretisedLogisticMixture, Likelihood
from digitvae.model import VAE, compiles_with_xla
from digitvae.networks import conv_decoder, conv_encoder, dense_decoder, dense_encoder
from digitvae.objectives import ELBO, IWAE, Objective
from digitvae.optimizers import Adam, Muon
from digitvae.priors import FlowPrior, MixturePrior, Prior, StandardNormalPrior, VampPrior

NETWORKS = {"conv": (conv_encoder, conv_decoder), "dense": (dense_encoder, dense_decoder)}
BEST_ACTIVATION = {"conv": "relu", "dense": "swish"}
"""What "auto" means."""
LIKELIHOODS: dict[str, type[Likelihood]] = {
    "bernoulli": Bernoulli,
    "continuous_bernoulli": ContinuousBernoulli,
    "discretised_logistic": DiscretisedLogisticMixture,
}
STEPS_PER_EXECUTION = {"conv": 10, "dense": 40}
"""Steps between two returns to Python, on TensorFlow. A return takes 2 ms, more than half a step of a dense
model; Ctrl-C and the progress bar wait for it."""
DTYPES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def check(config: Config) -> None:
    """Refuse combinations that cannot mean anything.

    Raises:
        ConfigError: with the reason.
    """
    if config.binarization == "dynamic" and config.likelihood != "bernoulli":
        raise ConfigError(
            "Expected likelihood bernoulli with binarization dynamic, because the pixels are bits. "
            f"Received: likelihood {config.likelihood}"
        )
    if config.binarization == "none" and config.likelihood == "bernoulli":
        raise ConfigError(
            "Expected likelihood continuous_bernoulli or discretised_logistic with binarization none, "
            "because the Bernoulli has no density for grey pixels. Received: likelihood bernoulli"
        )
    if config.prior == "flow" and config.latent_dim < 2:
        raise ConfigError(
            "Expected latent_dim of at least 2 with prior flow, because a coupling moves one part of the "
            f"code by the other. Received: latent_dim {config.latent_dim}"
        )
    if config.free_bits and config.prior != "normal":
        raise ConfigError(
            "Expected prior normal with free_bits, because only there the KL is a sum over latents. "
            f"Received: prior {config.prior}"
        )
    if config.objective == "iwae" and (config.beta != 1 or config.free_bits or config.warmup_epochs):
        raise ConfigError(
            "Expected beta 1, no free_bits and no warmup_epochs with objective iwae, because its bound has "
            f"no separate KL to weigh. Received: beta {config.beta}, free_bits {config.free_bits}, "
            f"warmup_epochs {config.warmup_epochs}"
        )
    if config.objective == "iwae" and config.draws == 1:
        raise ConfigError(
            "Expected draws of at least 2 with objective iwae, because with one it is the elbo. "
            "Received: draws 1"
        )


def resolve_precision(config: Config) -> Config:
    """Replace precision "auto" by what runs fastest here: bfloat16 on a CPU with instructions for it."""
    if config.precision != "auto":
        return config
    # JAX' CPU backend converts bfloat16 back and forth, PyTorch gains nothing at these sizes.
    fast = keras.backend.backend() == "tensorflow" and "avx512_bf16" in _cpu_flags()
    return with_changes(config, precision="bfloat16" if fast else "float32")


def build(
    config: Config, image_shape: tuple[int, int], steps_per_epoch: int = 1, images: np.ndarray | None = None
) -> VAE:
    """Build and compile the model that a config describes.

    Args:
        config: what to build.
        image_shape: (height, width) of the images.
        steps_per_epoch: batches an epoch, for the schedules of the learning rate and beta.
        images: training images, uint8 (n, height, width), from which data-dependent weights start.

    Raises:
        ConfigError: an impossible combination.
    """
    check(config)
    config = resolve_precision(config)
    likelihood = LIKELIHOODS[config.likelihood]
    encoder, decoder = NETWORKS[config.architecture]
    activation = BEST_ACTIVATION[config.architecture] if config.activation == "auto" else config.activation
    shape = config.width, config.blocks, activation, DTYPES[config.precision]
    with _initialisers_seeded(config.seed):
        networks = (
            encoder(image_shape, 2 * config.latent_dim, *shape),
            decoder(image_shape, likelihood.channels(), config.latent_dim, *shape),
        )
        for network in networks:
            network.jit_compile = compiles_with_xla()
        vae = VAE(
            *networks,
            prior=_prior(config, image_shape, images),
            likelihood=likelihood,
            objective=_objective(config, steps_per_epoch),
            binarization=config.binarization,
            seed=config.seed,
        )
    _compile(vae, config, steps_per_epoch)
    return vae


def _compile(vae: VAE, config: Config, steps_per_epoch: int) -> None:
    """Give the model the optimiser that a config describes, its rate decaying to zero along a cosine."""
    rate = keras.optimizers.schedules.CosineDecay(config.learning_rate, config.epochs * steps_per_epoch)
    optimizer = Adam(rate) if config.optimizer == "adam" else Muon(rate, newton_schulz_dtype=config.precision)
    steps = STEPS_PER_EXECUTION[config.architecture]
    vae.compile(
        optimizer=optimizer,
        jit_compile=compiles_with_xla(),
        # PyTorch knows one only, and JAX gains nothing.
        steps_per_execution=steps if keras.backend.backend() == "tensorflow" else 1,
    )


def _prior(config: Config, image_shape: tuple[int, int], images: np.ndarray | None) -> Prior:
    if config.prior == "normal":
        return StandardNormalPrior(config.latent_dim)
    if config.prior == "mixture":
        return MixturePrior(config.latent_dim, config.prior_components, seed=config.seed)
    if config.prior == "flow":
        return FlowPrior(config.latent_dim, config.flow_couplings, config.flow_hidden, seed=config.seed)
    prior = VampPrior(config.latent_dim, image_shape, config.prior_components, seed=config.seed)
    if images is not None:
        prior.start_from(images)
    return prior


def _objective(config: Config, steps_per_epoch: int) -> Objective:
    if config.objective == "iwae":
        return IWAE(config.draws)
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


def _cpu_flags() -> set[str]:
    if not sys.platform.startswith("linux"):
        return set()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return set()
    return next((set(line.split()) for line in lines if line.startswith("flags")), set())
