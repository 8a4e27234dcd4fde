"""What a model makes of the rows of a shard. A row's result depends on the row, its id and the seed alone.

Random numbers come from the stream of (seed, id). Floating point needs more care: a product of matrices may
round a row otherwise by where in the matrix it stands, or how large the matrix is. So all is computed in
batches of one size, on one thread, and a row always has the same place in its batch: its id modulo the size.
The batches of a shard of consecutive ids are full but for the first and the last one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from digitvae.distributions import Gaussian
from digitvae.distributions.operations import by_numpy
from digitvae.seeds import image_streams
from digitvae.shards import Shard
from digitvae.trained import TrainedModel

BATCH = 64
"""Rows of a batch."""
_GROUP = 16 * BATCH
"""Rows whose noise and draws are in memory at once."""
_DRAWS = 16
"""Draws per row and step; the numbers do not depend on it."""
# Purposes of streams; `evaluation` and `estimator` use the lower numbers.
_BITS, _PRIOR = 8, 9

Columns: TypeAlias = Mapping[str, np.ndarray]
"""Results by name, each (n, ...)."""


class Options(NamedTuple):
    """What results depend on besides rows and model."""

    seed: int
    """Of all noise."""
    draws: int
    """Posterior draws per image, k, of `score`."""
    bits: bool
    """Whether the model is one of bits: `score` gives grey images bits."""


def encode(model: TrainedModel, rows: Shard, options: Options) -> Columns:
    """Return the means of the posteriors: latents, float32 (n, latent_dim)."""
    return {"latents": model.encode(rows.images, BATCH)}


def reconstruct(model: TrainedModel, rows: Shard, options: Options) -> Columns:
    """Return the means of p(x|z) at the means of the posteriors: images, uint8 (n, height, width)."""
    return {"images": model.reconstruct(rows.images, BATCH)}


def generate(model: TrainedModel, rows: Shard, options: Options) -> Columns:
    """Return a new image of each row's label: images, uint8 (n, height, width).

    Rows without a label get one drawn from p(y), where the prior depends on labels.
    """
    streams = image_streams(options.seed, rows.ids, _PRIOR)
    noise = np.stack([stream.standard_normal(model.latent_dim, "float32") for stream in streams])
    labels = None
    if model.labels:
        shares = np.cumsum(model.label_shares())
        drawn = np.searchsorted(shares, [stream.random() for stream in streams], side="right")
        labels = np.where(rows.labels < 0, np.minimum(drawn, model.labels - 1), rows.labels)
    return {"images": model.decode(model.latents_from_noise(noise, labels, BATCH), BATCH)}


def score(model: TrainedModel, rows: Shard, options: Options) -> Columns:
    """Return -ELBO, its two terms, and the NLL (Burda et al. 2016) of every row; float64 (n,), nats.

    They are `evaluation.likelihood.image_bounds` of the rows, with their ids as indices, up to rounding.
    """
    images = row_bits(rows, options.seed) if options.bits else rows.images
    mean, log_scale = model.encode_posterior(images, BATCH)
    streams = image_streams(options.seed, rows.ids)
    sums, total = np.zeros((2, len(images))), np.full(len(images), -np.inf)
    for start in range(0, options.draws, _DRAWS):
        size = min(_DRAWS, options.draws - start)
        shape = (size, model.latent_dim)
        noise = np.stack([stream.standard_normal(shape, "float32") for stream in streams])
        for u in noise.transpose(1, 0, 2):
            z = mean + np.exp(log_scale) * u
            with by_numpy():
                log_posterior = np.asarray(Gaussian(mean, log_scale).log_prob(z), "float64")
            # -log p(x|z), log q(z|x) - log p(z)
            terms = (
                -model.log_likelihood(images, z, BATCH).astype("float64"),
                log_posterior - model.log_prior(z, BATCH),
            )
            sums += terms
            total = np.logaddexp(total, -terms[0] - terms[1])
    reconstruction, kl = sums / options.draws
    return {
        "negative_elbo": reconstruction + kl,
        "reconstruction": reconstruction,
        "kl": kl,
        "nll": math.log(options.draws) - total,
    }


Function: TypeAlias = Callable[[TrainedModel, Shard, Options], Columns]
FUNCTIONS: dict[str, Function] = {
    "encode": encode,
    "score": score,
    "reconstruct": reconstruct,
    "generate": generate,
}


def row_bits(rows: Shard, seed: int) -> npt.NDArray[np.uint8]:
    """Draw x ~ Bernoulli(pixel / 255) for each row from its own stream, uint8 0 or 255; bits stay."""
    streams = image_streams(seed, rows.ids, _BITS)
    bits = np.empty_like(rows.images)
    for found, image, stream in zip(bits, rows.images, streams, strict=True):
        # Of the integers from 0 to 254, as many as the pixel's grey level are below it.
        found[...] = (stream.integers(0, 255, image.shape, "uint8") < image) * np.uint8(255)
    return bits


def results(function: Function, model: TrainedModel, rows: Shard, options: Options) -> Columns:
    """Return what a function gives of each row, in their order, each row in its place of a batch.

    Args:
        function: one of `FUNCTIONS`.
        model: what computes.
        rows: any number of them.
        options: further arguments.
    """
    parts: dict[str, list[np.ndarray]] = {}
    places: list[np.ndarray] = []
    for positions in _groups(rows.ids):
        filled = positions >= 0
        # What stands in the empty places is computed and dropped; nothing depends on it.
        found = function(model, _spread(rows, positions), options)
        places.append(positions[filled])
        for name, values in found.items():
            parts.setdefault(name, []).append(values[filled])
    order = np.argsort(np.concatenate(places), kind="stable")
    return {name: np.concatenate(values)[order] for name, values in parts.items()}


def _groups(ids: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    """Yield which rows stand where in some batches, one batch after another, -1 for an empty place."""
    place = ids % BATCH
    order = np.argsort(place, kind="stable")
    counts = np.bincount(place, minlength=BATCH)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    # The first row of a place goes into the first batch, the second one into the second.
    table = np.full((max(1, counts.max()), BATCH), -1)
    table[np.arange(len(ids)) - starts, place[order]] = order
    flat = table.ravel()
    for start in range(0, len(flat), _GROUP):
        yield flat[start : start + _GROUP]


def _spread(rows: Shard, positions: npt.NDArray[np.int64]) -> Shard:
    filled = positions >= 0

    def placed(values: np.ndarray) -> np.ndarray:
        spread = np.zeros((len(positions), *values.shape[1:]), values.dtype)
        spread[filled] = values[positions[filled]]
        return spread

    return Shard(placed(rows.images), placed(rows.labels), placed(rows.ids))
