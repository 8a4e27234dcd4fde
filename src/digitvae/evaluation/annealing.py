"""The likelihood of every image by annealed importance sampling (Neal 2001; Wu et al. 2017).

Importance sampling weights draws of q(z|x) once. Here the draws move to p(z|x) in small steps, and each step
adds to the weight. It estimates the same number with other errors: importance sampling fails where q misses
much of p(z|x), annealing where chains move too little.

All is computed in coordinates e in which q is standard normal, z = mean + scale * e. With the log-ratio
r(e) = log p(x, z) - log q(z|x), the path q^(1 - beta) p^beta is N(e; 0, I) exp(beta r(e)).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from digitvae.distributions import Gaussian, Tensor
from digitvae.evaluation.gradients import value_and_gradient
from digitvae.evaluation.likelihood import even_batch_size, padded, pixels
from digitvae.evaluation.protocols import check_counts
from digitvae.model import VAE
from digitvae.progress import progress_bar
from digitvae.seeds import image_streams

CHAINS_AT_ONCE = 512
"""Images times chains per call: bounds the memory; all chains of an image run together."""

PILOT_TEMPERATURES = 12
"""Temperatures of the pilot run that finds the step sizes, and its cost."""
TARGET_ACCEPTANCE = 0.75
"""Above the 65% that is optimal for very many latents (Beskos et al. 2013); few need smaller steps."""
STEP_SIZE_SPREAD = 0.2
"""Relative range, up and down, over which step sizes vary uniformly."""
FIRST_STEP_SIZE = 0.5
"""Where the pilot run begins; about right for a standard normal with 10 to 100 coordinates."""


class State(NamedTuple):
    """Positions of chains, float64."""

    position: np.ndarray
    """e, (r, latent_dim)."""
    log_ratio: np.ndarray
    """log p(x, z) - log q(z|x) there, nats, (r,)."""
    gradient: np.ndarray
    """Its gradient with respect to e, (r, latent_dim)."""


def annealed_likelihood(
    vae: VAE,
    images: np.ndarray,
    chains: int = 16,
    temperatures: int = 50,
    leapfrog_steps: int = 3,
    seed: int = 0,
    indices: np.ndarray | None = None,
    progress: bool = False,
) -> np.ndarray:
    """Estimate log p(x) of every image by annealed importance sampling with Hamiltonian transitions.

    exp of the estimate is unbiased; the estimate itself is too low on average, like the importance-weighted
    bound, and rises with chains and temperatures. With one temperature it is that bound. On another backend
    rounding may change whether a few trajectories are accepted; the estimates of these images then differ,
    within their error.

    Args:
        vae: the model.
        images: uint8 (n, height, width): bits (0 or 255) for a dynamic model, grey values else.
        chains: independent chains per image.
        temperatures: steps from q(z|x) to p(x, z).
        leapfrog_steps: steps of a trajectory; each costs a decoding and its gradient.
        seed: seed of the noise.
        indices: positions of the images in their data set, (n,), which select their noise; by default 0 to
            n - 1.
        progress: show a progress bar on stderr where that is a terminal.

    Returns:
        The estimates in nats, float64 (n,).

    Raises:
        ValueError: counts below 1, or grey images for a dynamic model.
    """
    check_counts(chains=chains, temperatures=temperatures, leapfrog_steps=leapfrog_steps)
    indices = np.arange(len(images)) if indices is None else indices
    means, log_scales = vae.encode_posterior(images)
    size = even_batch_size(len(images), CHAINS_AT_ONCE // chains)
    function = value_and_gradient(_log_ratio(vae))
    estimates = np.empty(len(images))
    pilot = PILOT_TEMPERATURES if temperatures > 1 else 0
    total = math.ceil(len(images) / size) * (pilot + temperatures)
    with progress_bar(total, "AIS", " temperatures", progress) as bar:
        for start in range(0, len(images), size):
            rows = slice(start, min(start + size, len(images)))
            batch = [pixels(vae, images[rows]), means[rows], log_scales[rows]]
            run = _Run(function, batch, size, chains, leapfrog_steps, bar.update)
            step_sizes = run.pilot(ChainNoise(seed, indices[rows], 2, size, chains, vae.latent_dim), pilot)
            noise = ChainNoise(seed, indices[rows], 1, size, chains, vae.latent_dim)
            log_weights = run.measure(noise, temperatures, step_sizes)
            largest = log_weights.max(axis=1)
            mean = np.exp(log_weights - largest[:, None]).mean(axis=1)
            estimates[rows] = (largest + np.log(mean))[: rows.stop - start]
    return estimates


def hamiltonian_transition(
    evaluate: Callable[[np.ndarray], State],
    state: State,
    beta: float,
    step_size: np.ndarray,
    momentum: np.ndarray,
    uniform: np.ndarray,
    leapfrog_steps: int,
) -> tuple[State, np.ndarray]:
    """Move chains by a transition that leaves N(e; 0, I) exp(beta r(e)) invariant (Neal 2011).

    Args:
        evaluate: gives the state at positions.
        state: where the chains are.
        beta: inverse temperature, from 0 to 1.
        step_size: step size of each chain, (r,).
        momentum: standard normal, (r, latent_dim).
        uniform: uniform in [0, 1), (r,); decides on acceptance.
        leapfrog_steps: steps of the trajectory.

    Returns:
        The next state, and each chain's probability of accepting its trajectory, (r,).
    """
    step = step_size[:, None]
    new, velocity = state, momentum
    # Trajectories that diverge are rejected below.
    with np.errstate(over="ignore", invalid="ignore"):
        velocity = velocity + step / 2 * _force(new, beta)
        for left in reversed(range(leapfrog_steps)):
            new = evaluate(new.position + step * velocity)
            velocity = velocity + (step if left else step / 2) * _force(new, beta)
        loss = _energy(new, velocity, beta) - _energy(state, momentum, beta)
        acceptance = np.where(np.isnan(loss), 0.0, np.exp(-np.maximum(loss, 0)))
    accepted = uniform < acceptance
    position = np.where(accepted[:, None], new.position, state.position)
    gradient = np.where(accepted[:, None], new.gradient, state.gradient)
    return State(position, np.where(accepted, new.log_ratio, state.log_ratio), gradient), acceptance


def _inverse_temperature(done: float) -> float:
    # Dense at both ends: where q is too wide the path changes fastest near 0, where q is too narrow near 1.
    return (1 - math.cos(math.pi * done)) / 2


def _force(state: State, beta: float) -> np.ndarray:
    # d/de log[ N(e; 0, I) exp(beta r(e)) ] = beta dr/de - e
    return beta * state.gradient - state.position


def _energy(state: State, velocity: np.ndarray, beta: float) -> np.ndarray:
    # H = e^2 / 2 - beta r(e) + v^2 / 2, up to a constant
    squares = np.square(state.position).sum(axis=1) + np.square(velocity).sum(axis=1)
    return squares / 2 - beta * state.log_ratio


class ChainNoise:
    """Random numbers of a batch of images, each image from its own stream; zeros for the padding."""

    def __init__(self, seed: int, indices: np.ndarray, purpose: int, size: int, chains: int, latent_dim: int):
        self.streams = image_streams(seed, indices, purpose)
        self.size, self.chains, self.latent_dim = size, chains, latent_dim

    def normal(self) -> np.ndarray:
        """Return standard normal numbers, (size * chains, latent_dim)."""
        shape = (self.chains, self.latent_dim)
        values = np.stack([stream.standard_normal(shape) for stream in self.streams])
        return padded(values, self.size).reshape(-1, self.latent_dim)

    def uniform(self) -> np.ndarray:
        """Return uniform numbers, (size * chains,)."""
        values = np.stack([stream.random(self.chains) for stream in self.streams])
        return padded(values, self.size).reshape(-1)


class _Run:
    """Chains of a batch of images.

    Args:
        function: gives log-ratios and their gradients.
        batch: pixels, means and log-scales of the images.
        size: what the batch is padded to.
        chains: chains per image.
        leapfrog_steps: steps of a trajectory.
        tick: called after each temperature.
    """

    def __init__(
        self,
        function: Callable[..., tuple[np.ndarray, np.ndarray]],
        batch: list[np.ndarray],
        size: int,
        chains: int,
        leapfrog_steps: int,
        tick: Callable[[], Any],
    ):
        self.function, self.size, self.chains = function, size, chains
        self.leapfrog_steps, self.tick = leapfrog_steps, tick
        # Moved to the device once, not at every call.
        self.batch = [ops.convert_to_tensor(np.repeat(padded(part, size), chains, axis=0)) for part in batch]

    def pilot(self, noise: ChainNoise, temperatures: int) -> np.ndarray:
        """Find step sizes by annealing once with separate noise.

        Step sizes that depend on a chain's own past would bias its weight.

        Returns:
            The step sizes of each image after each temperature, (temperatures, size).
        """
        state = self._evaluate(noise.normal())
        log_step = np.full(self.size, math.log(FIRST_STEP_SIZE))
        found = np.empty((temperatures, self.size))
        for i in range(temperatures):
            beta = _inverse_temperature((i + 1) / temperatures)
            state, acceptance = self._transition(state, beta, np.exp(log_step), noise)
            log_step += acceptance.reshape(self.size, self.chains).mean(axis=1) - TARGET_ACCEPTANCE
            found[i] = np.exp(log_step)
            self.tick()
        return found

    def measure(self, noise: ChainNoise, temperatures: int, step_sizes: np.ndarray) -> np.ndarray:
        """Anneal once and return the logarithms of the chains' weights, (size, chains)."""
        state = self._evaluate(noise.normal())
        log_weights = np.zeros_like(state.log_ratio)
        before = 0.0
        for i in range(1, temperatures + 1):
            beta = _inverse_temperature(i / temperatures)
            # log w = sum_t (beta_t - beta_{t-1}) r(e_{t-1}),  e_t a transition at beta_t from e_{t-1}
            log_weights += (beta - before) * state.log_ratio
            before = beta
            if i < temperatures:
                step_size = step_sizes[math.ceil(i * len(step_sizes) / temperatures) - 1]
                state, _ = self._transition(state, beta, step_size, noise)
            self.tick()
        return log_weights.reshape(self.size, self.chains)

    def _transition(
        self, state: State, beta: float, step_size: np.ndarray, noise: ChainNoise
    ) -> tuple[State, np.ndarray]:
        # A fixed length could be the period of an oscillation, and the trajectory would end where it began.
        step_size = np.repeat(step_size, self.chains) * (1 + STEP_SIZE_SPREAD * (2 * noise.uniform() - 1))
        return hamiltonian_transition(
            self._evaluate, state, beta, step_size, noise.normal(), noise.uniform(), self.leapfrog_steps
        )

    def _evaluate(self, position: np.ndarray) -> State:
        values, gradient = self.function(position.astype("float32"), *self.batch)
        return State(position, values.astype("float64"), gradient.astype("float64"))


def _log_ratio(vae: VAE) -> Callable[..., Tensor]:
    """Return r(e) of a model, as a function of tensors (r, d), for images and posteriors of as many rows."""

    def log_ratio(noise: Tensor, x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
        terms = vae.bound_terms(x, noise[:, None], Gaussian(mean, log_scale))
        return -(terms.reconstruction + terms.log_ratio)[:, 0]

    return log_ratio
