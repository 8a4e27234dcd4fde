"""Verbs that make digits from nothing but the latent space."""

from __future__ import annotations

import argparse
from typing import Any

from digitvae.cli.common import above_zero, from_one
from digitvae.cli.latents import read_latents
from digitvae.cli.verb import Task, Verb, add_label, digits
from digitvae.config import ConfigError

TYPES_OF_PIXELS = ("mean", "sample")
_ACROSS = 10


def _add_pixels(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pixels",
        choices=TYPES_OF_PIXELS,
        default="mean",
        help="the mean of p(x|z), or a draw from it (default: mean)",
    )


def _add_generate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", type=from_one, metavar="N", help="how many images (default: 100)")
    which = parser.add_mutually_exclusive_group()
    add_label(which, "all images show this digit")
    which.add_argument(
        "--digits", type=digits, metavar="DIGITS", help="a row for each of these: 0123456789, 0-9 or 3,12"
    )
    parser.add_argument(
        "--per-digit", type=from_one, metavar="N", help=f"images of a row of --digits (default: {_ACROSS})"
    )
    parser.add_argument(
        "--temperature",
        type=above_zero,
        default=1.0,
        metavar="T",
        help="factor of the noise; below 1 images are more typical and less varied (default: 1)",
    )
    _add_pixels(parser)


def _generate(task: Task) -> Any:
    given = task.arguments
    if given.digits is None and given.per_digit is not None:
        raise ConfigError("Expected --digits with --per-digit. Received: none")
    if given.digits is not None and given.n is not None:
        raise ConfigError("Expected --per-digit in place of -n with --digits. Received: both")
    vae = task.load()

    import numpy as np

    from digitvae.writers import Pictures, Result, split_rows

    rows, columns = None, given.per_digit or _ACROSS
    if given.digits is not None:
        labels = np.repeat(given.digits, columns)
    else:
        count = given.n or 100
        labels = np.full(count, given.label) if given.label is not None else None
        if labels is None and vae.labels:
            labels = vae.draw_labels(count, given.seed)
    n = count if given.digits is None else len(labels)
    images = vae.generate(n, given.seed, pixels=given.pixels, labels=labels, temperature=given.temperature)
    if given.digits is not None:
        # One of each: they are written side by side.
        rows = split_rows(images, columns if columns > 1 else n)
    names, arrays, numbers = [f"{i:05}" for i in range(n)], {"images": images}, {"images": n}
    if labels is not None:
        names = [f"{name}-{label}" for name, label in zip(names, labels, strict=True)]
        arrays["labels"], numbers["labels"] = labels, labels.tolist()
    return Result(arrays, Pictures(images, names, rows), numbers=numbers)


def _add_decode(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "latents",
        metavar="LATENTS",
        help="latents (n, latent_dim) as `encode` writes them: .npz, .csv or .npy",
    )
    _add_pixels(parser)


def _decode(task: Task) -> Any:
    latents, names = read_latents(task.arguments.latents)
    images = task.load().decode(latents, pixels=task.arguments.pixels, seed=task.arguments.seed)

    from digitvae.writers import Pictures, Result

    return Result(
        {"images": images, "names": names}, Pictures(images, names), numbers={"images": len(images)}
    )


VERBS = {
    "generate": Verb(
        "Draw new images from the model's prior.",
        _add_generate,
        _generate,
        "generate.png",
        reads_images=False,
    ),
    "decode": Verb("Turn latents into images.", _add_decode, _decode, "decode.png", reads_images=False),
}
