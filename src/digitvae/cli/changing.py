"""Verbs that make images of images by way of their latents."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from digitvae.cli.common import between
from digitvae.cli.latents import columns, read_latents
from digitvae.cli.verb import INPUTS, TABLES, Task, Verb, add_inputs, digits
from digitvae.config import ConfigError

if TYPE_CHECKING:
    import numpy as np

    from digitvae.writers import Result


def _reconstruct(task: Task) -> Result:
    images, names = task.read(task.arguments.inputs)
    again = task.load().reconstruct(images)

    from digitvae.writers import Result, pairs

    return Result(
        {"images": again, "inputs": images, "names": names},
        lambda: pairs(images, again, names),
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


def _add_interpolate(parser: argparse.ArgumentParser) -> None:
    add_inputs(parser)
    parser.add_argument(
        "--latents", action="store_true", help="the inputs are files of latents in place of images"
    )
    parser.add_argument(
        "--method",
        choices=("noise", "spherical", "linear"),
        default="noise",
        help="the path: great circles of the prior's noise, great circles or straight lines of the latents "
        "(default: noise)",
    )
    parser.add_argument(
        "--steps",
        type=between(2, 1000),
        metavar="N",
        help="images from one to the next, both included (default: 10; with --matrix on each side, 8)",
    )
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--loop", action="store_true", help="return to the first image")
    shape.add_argument("--matrix", action="store_true", help="fill a square between four images")


def _interpolate(task: Task) -> Result:
    given = task.arguments
    points: np.ndarray
    if given.latents:
        points = _joined([read_latents(name)[0] for name in given.inputs])
    else:
        points, _ = task.read(given.inputs)
    wanted = 4 if given.matrix else 2
    if len(points) < wanted or (given.matrix and len(points) > wanted):
        raise ConfigError(
            f"Expected {'four' if given.matrix else 'at least two'} images or latents to go between. "
            f"Received: {len(points)}"
        )
    vae = task.load()

    import numpy as np

    from digitvae.latent import blend, interpolate
    from digitvae.writers import Pictures, Result

    steps = given.steps or (8 if given.matrix else 10)
    if given.matrix:
        found = blend(vae, points, steps, steps, given.method)
        images, rows = found.reshape(-1, *vae.image_shape), list(found)
    else:
        found = images = interpolate(vae, points, steps, given.method, given.loop)
        # A row for each way from one to the next, with both ends.
        around = np.concatenate([images, images[:1]]) if given.loop else images
        rows = [around[i : i + steps] for i in range(0, len(around) - 1, steps - 1)]
    names = [f"{i:05}" for i in range(len(images))]
    return Result({"images": found}, lambda: Pictures(images, names, rows), numbers={"images": len(images)})


def _joined(latents: list[np.ndarray]) -> np.ndarray:
    import numpy as np

    widths = {part.shape[1] for part in latents}
    if len(widths) > 1:
        raise ConfigError(f"Expected latents of one model. Received: {sorted(widths)} in number")
    return np.concatenate(latents)


def _add_restyle(parser: argparse.ArgumentParser) -> None:
    add_inputs(parser)
    parser.add_argument(
        "--digits", type=digits, metavar="DIGITS", help="what to write, such as 0-9 or 137 (default: all)"
    )
    parser.add_argument(
        "--own",
        type=digits,
        metavar="DIGITS",
        help="what the images show, one digit for all or for each (default: the most probable)",
    )


def _restyle(task: Task) -> Result:
    given = task.arguments
    images, names = task.read(given.inputs)
    own = given.own * len(images) if given.own and len(given.own) == 1 else given.own
    if own is not None and len(own) != len(images):
        raise ConfigError(
            f"Expected --own to have one digit, or one for each of {len(images)} images. Received: {len(own)}"
        )
    vae = task.load()

    from digitvae.latent import restyle
    from digitvae.writers import Pictures, Result, beside

    found = restyle(vae, images, given.digits, own)
    labels = given.digits or list(range(vae.labels))

    def pictures() -> Pictures:
        named = [f"{name}-as-{label}" for name in names for label in labels]
        return beside(images, found, named)

    return Result(
        {"images": found, "inputs": images, "labels": labels, "names": names},
        pictures,
        numbers={"images": len(images), "labels": labels},
    )


def _add_arithmetic(parser: argparse.ArgumentParser) -> None:
    for flag, text in (
        ("--base", "images to change"),
        ("--minus", "images whose mean is taken away"),
        ("--plus", "images whose mean is added"),
    ):
        parser.add_argument(flag, nargs="+", required=True, metavar="IMAGE", help=f"{text}: {INPUTS}")


def _arithmetic(task: Task) -> Result:
    given = task.arguments
    base, names = task.read(given.base)
    minus, _ = task.read(given.minus)
    plus, _ = task.read(given.plus)
    vae = task.load()

    from digitvae.latent import arithmetic
    from digitvae.writers import Result, pairs

    found = arithmetic(vae, base, minus, plus)
    return Result(
        {"images": found, "inputs": base, "names": names},
        lambda: pairs(base, found, names),
        numbers={"images": len(found)},
    )


VERBS = {
    "reconstruct": Verb(
        "Encode images and decode them again: originals above, reconstructions below.",
        add_inputs,
        _reconstruct,
        "reconstruct.png",
    ),
    "encode": Verb("Compress images to latents.", _add_encode, _encode, "encode.npz", TABLES),
    "interpolate": Verb(
        "Walk from image to image through the latent space.",
        _add_interpolate,
        _interpolate,
        "interpolate.png",
    ),
    "restyle": Verb(
        "Write other digits in the hand of an image: a row for each image, which stands first.",
        _add_restyle,
        _restyle,
        "restyle.png",
    ),
    "arithmetic": Verb(
        "Add the difference of two sets of images to others: originals above, results below.",
        _add_arithmetic,
        _arithmetic,
        "arithmetic.png",
    ),
}
