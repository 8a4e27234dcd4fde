"""Verbs that make digits from nothing but the latent space."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from digitvae.cli.common import above_zero, between, from_one, from_zero, list_of
from digitvae.cli.latents import read_latents
from digitvae.cli.verb import INPUTS, Task, Verb, add_label, add_pixels, digits
from digitvae.config import ConfigError

if TYPE_CHECKING:
    from digitvae.writers import Result

_ACROSS = 10
MOST = 10_000_000
"""Images at a time: all of them are in memory, 784 bytes each where they have 28x28 pixels."""


def _add_generate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", type=between(1, MOST), metavar="N", help="how many images (default: 100)")
    which = parser.add_mutually_exclusive_group()
    add_label(which, "all images show this digit")
    which.add_argument(
        "--digits", type=digits, metavar="DIGITS", help="a row for each of these: 0123456789, 0-9 or 3,12"
    )
    parser.add_argument(
        "--per-digit",
        type=between(1, 10_000),
        metavar="N",
        help=f"images of a row of --digits (default: {_ACROSS})",
    )
    parser.add_argument(
        "--temperature",
        type=above_zero,
        default=1.0,
        metavar="T",
        help="factor of the noise; below 1 images are more typical and less varied (default: 1)",
    )
    add_pixels(parser)


def _generate(task: Task) -> Result:
    given = task.arguments
    if given.digits is None and given.per_digit is not None:
        raise ConfigError("Expected --digits with --per-digit. Received: none")
    if given.digits is not None and given.n is not None:
        raise ConfigError("Expected --per-digit in place of -n with --digits. Received: both")
    vae = task.load()

    import numpy as np

    from digitvae.writers import Pictures, Result, split_rows

    n, columns, labels = given.n or 100, None, None
    if given.digits is not None:
        columns = given.per_digit or _ACROSS
        labels = np.repeat(given.digits, columns)
        n = len(labels)
    elif given.label is not None:
        labels = np.full(n, given.label)
    elif vae.labels:
        labels = vae.draw_labels(n, given.seed)
    images = vae.generate(n, given.seed, pixels=given.pixels, labels=labels, temperature=given.temperature)

    def pictures() -> Pictures:
        # With one of each digit they stand side by side, as they were asked for.
        rows = None if columns is None else split_rows(images, n if columns == 1 else columns)
        endings = [""] * n if labels is None else [f"-{label}" for label in labels]
        return Pictures(images, [f"{i:05}{ending}" for i, ending in enumerate(endings)], rows)

    if labels is None:
        return Result({"images": images}, pictures, numbers={"images": n})
    return Result(
        {"images": images, "labels": labels},
        pictures,
        numbers={"images": n},
        entries=lambda: {"labels": labels.tolist()},
    )


def _add_decode(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "latents",
        metavar="LATENTS",
        help="a file of latents, as `digitvae encode` writes it: .npz, .csv or .npy",
    )
    add_pixels(parser)


def _decode(task: Task) -> Result:
    latents, names = read_latents(task.arguments.latents)
    images = task.load().decode(latents, pixels=task.arguments.pixels, seed=task.arguments.seed)

    from digitvae.writers import Pictures, Result

    arrays = {"images": images, "names": names}
    return Result(arrays, lambda: Pictures(images, names), numbers={"images": len(images)})


def _add_traverse(parser: argparse.ArgumentParser) -> None:
    around = parser.add_mutually_exclusive_group()
    add_label(around, "around the middle of this digit (default: of all)")
    around.add_argument("--image", metavar="IMAGE", help=f"around this image: {INPUTS}")
    parser.add_argument(
        "--dimensions",
        type=list_of(from_zero),
        metavar="NUMBERS",
        help="these latents, such as 3,0,12 (default: those with the most information)",
    )
    parser.add_argument(
        "--top",
        type=from_one,
        default=10,
        metavar="N",
        help="how many latents without --dimensions (default: 10)",
    )
    parser.add_argument(
        "--steps", type=between(2, 1000), default=11, metavar="N", help="values of a latent (default: 11)"
    )


def _traverse(task: Task) -> Result:
    given = task.arguments
    start = None
    if given.image is not None:
        images, _ = task.read([given.image])
        if len(images) > 1:
            raise ConfigError(f"Expected one image to start from. Received: {len(images)}")
        start = images[0]
    vae = task.load()

    import numpy as np

    from digitvae.latent import traverse
    from digitvae.writers import Pictures, Result

    found = traverse(vae, start, given.label, given.dimensions, given.steps)
    shown = len(found.images) if given.dimensions is not None else given.top
    rows, dimensions = found.images[:shown], found.dimensions[:shown]

    def pictures() -> Pictures:
        images = rows.reshape(-1, *vae.image_shape)
        names = [f"z{dimension}-{i:02}" for dimension in dimensions for i in range(given.steps)]
        # One latent a tile, there and back.
        frames = rows.swapaxes(0, 1)
        return Pictures(images, names, list(rows), frames=np.concatenate([frames, frames[-2:0:-1]]))

    return Result(
        {"images": rows, "dimensions": dimensions, "values": found.values},
        pictures,
        numbers={"dimensions": dimensions.tolist(), "values": found.values.tolist()},
    )


def _add_manifold(parser: argparse.ArgumentParser) -> None:
    add_label(parser, "all images show this digit (default: from digit to digit, where the model has them)")
    parser.add_argument(
        "--axes",
        type=list_of(from_zero),
        metavar="I,J",
        help="coordinates of the noise for rows and columns (default: those that change images most)",
    )
    parser.add_argument(
        "--size", type=between(1, 1000), default=20, metavar="N", help="images on each side (default: 20)"
    )


def _manifold(task: Task) -> Result:
    given = task.arguments
    if given.axes is not None and len(given.axes) != 2:
        raise ConfigError(f"Expected two --axes. Received: {len(given.axes)}")
    vae = task.load()

    from digitvae.latent import label_plane, manifold
    from digitvae.writers import Pictures, Result

    found: Any
    if vae.labels and given.label is None and given.axes is None:
        found = label_plane(vae, columns=given.size)
    else:
        found = manifold(vae, given.size, given.axes, given.label)
    rows = found.images
    names = [f"{i:02}-{j:02}" for i in range(rows.shape[0]) for j in range(rows.shape[1])]
    images = rows.reshape(-1, *vae.image_shape)
    numbers = {"axis": found.axis} if hasattr(found, "axis") else {"axes": list(found.axes)}
    return Result(
        found._asdict(),
        lambda: Pictures(images, names, list(rows)),
        numbers={"images": len(images), **numbers},
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
    "traverse": Verb(
        "Change one latent at a time: a row for each, those with the most information first.",
        _add_traverse,
        _traverse,
        "traverse.png",
    ),
    "manifold": Verb(
        "Lay a plane of the latent space out as images, evenly in probability.",
        _add_manifold,
        _manifold,
        "manifold.png",
        reads_images=False,
    ),
}
