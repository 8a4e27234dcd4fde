"""Draws of p(z|observation) for any observation of an image, from the prior to the posterior in small steps.

A population of latents starts as draws of the prior. The likelihood of the observation is turned on by
steps: at each, latents that explain it badly give way to copies of those that explain it well, and
Hamiltonian transitions move all of them (sequential Monte Carlo; Del Moral, Doucet & Jasra 2006). Nothing
asks the encoder, which has only seen whole and clean images; and because the start covers the prior,
different explanations of one observation survive side by side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from keras import ops

from digitvae import seeds
from digitvae.distributions import Tensor
from digitvae.evaluation.annealing import (
    FIRST_STEP_SIZE,
    STEP_SIZE_SPREAD,
    TARGET_ACCEPTANCE,
    ChainNoise,
    State,
    hamiltonian_transition,
)
from digitvae.evaluation.gradients import value_and_gradient
from digitvae.evaluation.likelihood import even_batch_size, padded
from digitvae.model import VAE
from digitvae.progress import progress_bar
from digitvae.rows import padded_batches

LogLikelihood = Callable[..., Tensor]
"""Maps p(x|z) with parameters (n, k, height, width, channels) and observations (n, 1, ...) to nats (n, k)."""

CHAINS_AT_ONCE = 512
"""Images times draws per call: bounds the memory."""
PRIOR_DRAWS = 2048
"""Where every population starts; all images share them, so they are decoded once."""
NUMBERS_AT_ONCE = 2**22
"""Pixels of images times prior draws whose likelihood is computed at a time: bounds the memory."""
TEMPERATURES = 12
"""Steps from the first temperature to the posterior."""
LAST_MOVES = 4
"""Transitions at the posterior itself, which part what resampling has copied."""
LEAPFROG_STEPS = 4
LEAST_SCALE = 0.02
"""Of a direction, in units of the prior's: copies of few latents look narrower than the posterior is."""


def posterior_draws(
    vae: VAE, log_likelihood: LogLikelihood, observations: Sequence[np.ndarray], draws: int, seed: int = 0
) -> Iterator[tuple[slice, np.ndarray]]:
    """Draw latents given what was observed of every image.

    The noise of an image depends on the seed and its position alone, not on the batch.

    Args:
        vae: the model.
        log_likelihood: log p(observation|z).
        observations: arrays (n, ...), passed to it as float32.
        draws: latents per image, at most `CHAINS_AT_ONCE`; more of them also follow the posterior better.
        seed: seed of all noise.

    Yields:
        Which images a batch holds, and their draws, float32 (images, draws, latent_dim), of equal weight.
    """
    start, params = _prior_draws(vae, seed)
    function = value_and_gradient(_target(vae, log_likelihood))
    count = len(observations[0])
    size = even_batch_size(count, CHAINS_AT_ONCE // draws)
    # In steps, since a batch of images takes minutes.
    steps = math.ceil(count / max(1, size)) * (TEMPERATURES + LAST_MOVES)
    with progress_bar(steps, "drawing latents", " steps") as bar:
        for first in range(0, count, size):
            rows = slice(first, min(first + size, count))
            batch = [padded(part[rows].astype("float32"), size) for part in observations]
            noise = ChainNoise(seed, np.arange(rows.start, rows.stop), 4, size, draws, vae.latent_dim)
            population = _Population(function, batch, draws, noise)
            log_likelihoods = _weigh(vae, log_likelihood, params, batch)
            latents = population.annealed(start, log_likelihoods, bar.update)
            yield rows, latents[: rows.stop - rows.start]


def _target(vae: VAE, log_likelihood: LogLikelihood) -> Callable[..., Tensor]:
    """Return log p(z) + beta log p(observation|z) as a function of z (r, d), beta (r,) and observations."""

    def target(z: Tensor, beta: Tensor, *observations: Tensor) -> Tensor:
        likelihood = vae.likelihood(vae.decode_params(z[:, None]))
        nats = log_likelihood(likelihood, *(part[:, None] for part in observations))[:, 0]
        return vae.prior.distribution(vae.posterior).log_prob(z) + beta * nats

    return target


def _prior_draws(vae: VAE, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return draws of p(z), float64 (m, d), and what the decoder makes of them."""
    labels = vae.draw_labels(PRIOR_DRAWS, seed) if vae.labels else None
    # Another stream than that of `generate`, so that no completion is one of its images.
    noise = seeds.stream(seed, "tempering").standard_normal((PRIOR_DRAWS, vae.latent_dim), "float32")
    latents = vae.latents_from_noise(noise, labels)
    params = [
        vae.decoder.predict_on_batch(batch)[: rows.stop - rows.start]
        for rows, batch in padded_batches(latents, 256)
    ]
    return latents.astype("float64"), np.concatenate(params)


def _weigh(
    vae: VAE, log_likelihood: LogLikelihood, params: np.ndarray, batch: list[np.ndarray]
) -> np.ndarray:
    """Return log p(observation|z) for every image and every prior draw, float64 (n, m)."""
    observed = [ops.convert_to_tensor(part[:, None]) for part in batch]
    at_once = max(1, NUMBERS_AT_ONCE // (len(batch[0]) * math.prod(params.shape[1:])))
    found = []
    for first in range(0, len(params), at_once):
        likelihood = vae.likelihood(ops.convert_to_tensor(params[None, first : first + at_once]))
        found.append(ops.convert_to_numpy(log_likelihood(likelihood, *observed)))
    return np.concatenate(found, axis=1).astype("float64")


class _Population:
    """Latents of a batch of images.

    Args:
        function: gives log p(z) + beta log p(observation|z) and its gradient.
        batch: observations of the images.
        draws: latents per image.
        noise: random numbers of the images.
    """

    def __init__(
        self,
        function: Callable[..., tuple[np.ndarray, np.ndarray]],
        batch: list[np.ndarray],
        draws: int,
        noise: ChainNoise,
    ):
        self.function, self.size, self.draws, self.noise = function, len(batch[0]), draws, noise
        self.batch = [ops.convert_to_tensor(np.repeat(part, draws, axis=0)) for part in batch]
        self.log_step = np.full(self.size, math.log(FIRST_STEP_SIZE))

    def annealed(
        self, start: np.ndarray, log_likelihoods: np.ndarray, step_done: Callable[[], object]
    ) -> np.ndarray:
        """Go from the prior to the posterior.

        Args:
            start: draws of the prior, (m, d).
            log_likelihoods: log p(observation|z) of each under every image, (n, m).
            step_done: called after every temperature.

        Returns:
            float32 (n, draws, d).
        """
        least = LEAST_SCALE * start.std(axis=0)
        first = _first_temperature(log_likelihoods, min(4 * self.draws, len(start) // 4))
        z = start[self._resampled(first[:, None] * log_likelihoods)]
        values, gradient = self._evaluate(z, first)
        for i in range(TEMPERATURES + LAST_MOVES):
            beta = first ** max(0.0, 1 - i / (TEMPERATURES - 1))
            scale = np.maximum(z.std(axis=1), least)
            if 0 < i < TEMPERATURES:
                before = values
                values, gradient = self._evaluate(z, beta)
                # The weight of a step: p(observation|z)^(beta - beta before)
                chosen = self._resampled(values - before)
                z, values, gradient = (
                    part[np.arange(self.size)[:, None], chosen] for part in (z, values, gradient)
                )
            z, values, gradient = self._move(z, values, gradient, beta, scale)
            step_done()
        return z.astype("float32")

    def _resampled(self, log_weights: np.ndarray) -> np.ndarray:
        """Choose by weights (n, m), systematically, which adds least variance; indices (n, draws)."""
        weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
        passed = np.cumsum(weights, axis=1) / weights.sum(axis=1, keepdims=True)
        offset = self.noise.uniform().reshape(self.size, self.draws)[:, :1]
        points = (np.arange(self.draws) + offset) / self.draws
        found = [np.searchsorted(row, at, side="right") for row, at in zip(passed, points, strict=True)]
        return np.minimum(np.stack(found), log_weights.shape[1] - 1)

    def _move(
        self, z: np.ndarray, values: np.ndarray, gradient: np.ndarray, beta: np.ndarray, scale: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return latents after a transition at beta, their values and gradients.

        Args:
            z: (n, draws, d).
            values: log p(z) + beta log p(observation|z), (n, draws).
            gradient: of the values, (n, draws, d).
            beta: (n,).
            scale: about the width of the target in every direction, (n, d).
        """
        shape = (-1, z.shape[-1])
        scale = np.repeat(scale, self.draws, axis=0)

        def state(position: np.ndarray, values: np.ndarray, gradient: np.ndarray) -> State:
            # The transition is one of N(e; 0, I) exp(r(e)): r = log target + e^2 / 2, z = scale * e.
            log_ratio = values.reshape(-1) + np.square(position).sum(axis=1) / 2
            return State(position, log_ratio, scale * gradient.reshape(shape) + position)

        def evaluate(position: np.ndarray) -> State:
            return state(position, *self._evaluate((scale * position).reshape(z.shape), beta))

        step = np.exp(self.log_step).repeat(self.draws)
        step = step * (1 + STEP_SIZE_SPREAD * (2 * self.noise.uniform() - 1))
        end, acceptance = hamiltonian_transition(
            evaluate,
            state(z.reshape(shape) / scale, values, gradient),
            1.0,
            step,
            self.noise.normal(),
            self.noise.uniform(),
            LEAPFROG_STEPS,
        )
        self.log_step += acceptance.reshape(self.size, self.draws).mean(axis=1) - TARGET_ACCEPTANCE
        values = end.log_ratio - np.square(end.position).sum(axis=1) / 2
        gradient = (end.gradient - end.position) / scale
        return (scale * end.position).reshape(z.shape), values.reshape(z.shape[:2]), gradient.reshape(z.shape)

    def _evaluate(self, z: np.ndarray, beta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        flat = z.reshape(-1, z.shape[-1]).astype("float32")
        values, gradient = self.function(flat, beta.repeat(self.draws).astype("float32"), *self.batch)
        return values.astype("float64").reshape(z.shape[:2]), gradient.astype("float64").reshape(z.shape)


def _first_temperature(log_likelihoods: np.ndarray, effective: int) -> np.ndarray:
    """Return for every image the highest beta, at most 1, at which prior draws are worth `effective` ones.

    Draws of weights w are worth (sum w)^2 / sum w^2.
    """
    relative = log_likelihoods - log_likelihoods.max(axis=1, keepdims=True)
    # The lower end keeps later temperatures, a geometric series, above zero.
    low, high = np.full(len(relative), 1e-4), np.ones(len(relative))
    for _ in range(30):
        middle = (low + high) / 2
        weights = np.exp(middle[:, None] * relative)
        enough = weights.sum(axis=1) ** 2 >= effective * np.square(weights).sum(axis=1)
        low, high = np.where(enough, middle, low), np.where(enough, high, middle)
    return np.where(high > 1 - 1e-6, 1.0, low)
