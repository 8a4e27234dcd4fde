"""Images of one shard to bytes and back, by bits-back coding (Townsend et al. 2019).

For each batch of images the latents are taken off the stack as if they were bits, under q(z|x); the pixels
are put on it under p(x|z), then the latents under p(z). An image costs -log p(x|z) p(z) / q(z|x): its -ELBO.
Reading goes the other way and puts back the bits that the latents were.

Only the first batch finds nothing on the stack. It is one image, and batches grow as the stack does: a shard
pays for the latents of about one image, and needs few calls of the networks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from digitvae.codec.levels import LEVELS, Stack
from digitvae.codec.model import CodecModel

SHARD = 1000
"""Images in a shard."""
# Of a batch, so that memory does not grow with the size of the images.
_MOST_PIXELS = 1 << 19


class Cost(NamedTuple):
    """What images cost, in bits; the rest of a file is the first image's latents, checksums and the index."""

    pixels: float = 0
    """Put on the stack under p(x|z)."""
    latents: float = 0
    """Put on it under p(z)."""
    back: float = 0
    """Taken off it under q(z|x)."""

    def plus(self, other: Cost) -> Cost:
        """Return the sum."""
        return Cost(*(a + b for a, b in zip(self, other, strict=True)))


class Shard(NamedTuple):
    """Images in bits."""

    kept: int
    """Words of the filler that lie below the content as they are."""
    content: bytes
    """The words above them."""
    cost: Cost


def encoded(model: CodecModel, images: npt.NDArray[np.uint8]) -> Shard:
    """Code images.

    Args:
        model: one that takes the images.
        images: uint8 (n, h, w).
    """
    numbers = model.numbers(images)
    below = filler(_filler_words(model, len(images)))
    stack = Stack(below)
    cost = Cost()
    for rows in batches(len(images), model.growth, model.pixels):
        x, sizes = numbers[rows], [stack.bits()]
        bins = stack.pop(len(x) * model.latent_dim, model.posterior(x), LEVELS, False)
        bins = bins.reshape(len(x), model.latent_dim)
        sizes.append(stack.bits())
        stack.push(x.ravel(), model.likelihood(bins), model.levels, True)
        sizes.append(stack.bits())
        conditionals = []
        following = model.prior.conditionals(len(x))
        found = next(following)
        for latent in bins.T[:-1]:
            conditionals.append(found)
            found = following.send(latent)
        for latent, given in zip(bins.T[::-1], [found, *conditionals[::-1]], strict=True):
            stack.push(latent, given, LEVELS, False)
        start, without, with_pixels = sizes
        cost = cost.plus(Cost(with_pixels - without, stack.bits() - with_pixels, start - without))
    words = stack.words()
    common = min(len(words), len(below))
    differs = np.flatnonzero(words[:common] != below[:common])
    kept = int(differs[0]) if len(differs) else common
    # The coder needs words above the filler that are not all zero.
    kept = min(kept, max(0, len(words) - 2))
    return Shard(kept, words[kept:].astype("<u4").tobytes(), cost)


def decoded(model: CodecModel, count: int, kept: int, content: bytes) -> npt.NDArray[np.uint8]:
    """Undo `encoded`.

    Args:
        model: the same.
        count: number of images.
        kept: how many words of the filler lie below.
        content: the words above them.

    Returns:
        uint8 (count, h, w).

    Raises:
        ValueError: the content is not that of so many images of this model.
    """
    if kept > _filler_words(model, count) or len(content) % 4 or len(content) < 8:
        raise ValueError("Expected a shard of this model. Received: another length")
    above = np.frombuffer(content, "<u4").astype("uint32")
    if not above[-1]:
        raise ValueError("Expected a shard of this model. Received: words that end in 0")
    below = filler(_filler_words(model, count))
    stack = Stack(np.concatenate([below[:kept], above]))
    numbers = np.zeros((count, model.pixels), "int64")
    for rows in reversed(list(batches(count, model.growth, model.pixels))):
        size = rows.stop - rows.start
        bins = np.zeros((size, model.latent_dim), "int64")
        following = model.prior.conditionals(size)
        given = next(following)
        for i in range(model.latent_dim):
            bins[:, i] = stack.pop(size, given, LEVELS, False)
            if i + 1 < model.latent_dim:
                given = following.send(bins[:, i])
        x = stack.pop(size * model.pixels, model.likelihood(bins), model.levels, True)
        numbers[rows] = x.reshape(size, model.pixels)
        stack.push(bins.ravel(), model.posterior(numbers[rows]), LEVELS, False)
    if not np.array_equal(stack.words(), below):
        raise ValueError("Expected a shard of this model. Received: one of another model, or damaged")
    return model.images(numbers)


def _filler_words(model: CodecModel, count: int) -> int:
    """Return more words than the posteriors of all images can take: 24 bits for each of four digits."""
    return 4 + 3 * model.latent_dim * count


def filler(count: int) -> npt.NDArray[np.uint32]:
    """Return the bits that lie below everything on a stack, uint32 (count,): random, and known to all."""
    words = np.frombuffer(hashlib.shake_128(b"digitvae codec").digest(4 * count), "<u4").astype("uint32")
    # The coder does not see zeros on top.
    words[-1] |= 1
    return words


def batches(count: int, growth: float, pixels: int) -> Iterator[slice]:
    """Cut a shard into batches that grow: each takes its bits from what those before it left.

    Args:
        count: of images.
        growth: images of a batch for each one before it.
        pixels: of an image.
    """
    start = 0
    while start < count:
        size = max(1, min(int(growth * start), _MOST_PIXELS // pixels))
        yield slice(start, min(start + size, count))
        start += size
