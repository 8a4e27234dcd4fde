"""Verbs that make images of images by way of their latents."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from digitvae.cli.latents import columns
from digitvae.cli.verb import TABLES, Task, Verb, add_inputs

if TYPE_CHECKING:
    from digitvae.writers import Result


def _reconstruct(task: Task) -> Result:
    images, names = task.read(task.arguments.inputs)
    again = task.load().reconstruct(images)

    from digitvae.writers import Result, pairs

    return Result(
        {"images": again, "inputs": images, "names": names},
        pairs(images, again, names),
        numbers={"images": len(images)},
    )


def _add_encode(parser: argparse.ArgumentParser) -> None:
    add_inputs(parser)
    parser.add_argument(
        "--sample", action="store_true", help="draw from the posterior instead of taking its mean"
    )


def _encode(task: Task) -> Result:
    images, names = task.read(task.arguments.inputs)
    latents = task.load().encode(images, sample=task.arguments.sample, seed=task.arguments.seed)

    from digitvae.writers import Result

    return Result(
        {"latents": latents, "names": names},
        table={"name": names, **columns(latents)},
        numbers={"images": len(images), "latent_dim": latents.shape[1]},
    )


VERBS = {
    "reconstruct": Verb(
        "Encode images and decode them again: originals above, reconstructions below.",
        add_inputs,
        _reconstruct,
        "reconstruct.png",
    ),
    "encode": Verb("Compress images to latents.", _add_encode, _encode, "encode.npz", TABLES),
}
