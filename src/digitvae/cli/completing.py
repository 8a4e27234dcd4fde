"""Verbs that make images whole: by the posterior given what can be seen of them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from digitvae.cli.common import from_one, from_zero, list_of, number
from digitvae.cli.verb import Task, Verb, add_inputs, add_pixels
from digitvae.config import ConfigError

if TYPE_CHECKING:
    import numpy as np

    from digitvae.writers import Result

HALVES = ("lower", "upper", "left", "right")
_HIDDEN = 96  # the grey of a hidden pixel


def _flip(text: str) -> float:
    value = number(text)
    if not 0 < value < 0.5:
        raise argparse.ArgumentTypeError(f"Expected a number above 0 and below 0.5. Received: {text}")
    return value


def _add_denoise(parser: argparse.ArgumentParser) -> None:
    add_inputs(parser)
    parser.add_argument(
        "--flip",
        type=_flip,
        default=0.2,
        metavar="SHARE",
        help="share of the pixels that the noise turned over (default: 0.2)",
    )
    parser.add_argument(
        "--add-noise", action="store_true", help="turn this share of the pixels over first, to see it work"
    )


def _denoise(task: Task) -> Result:
    given = task.arguments
    images, names = task.read(given.inputs)

    import numpy as np

    from digitvae import seeds

    if given.add_noise:
        bits = images > 127
        flips = seeds.stream(given.seed, "flips").random(bits.shape, "float32") < given.flip
        images = np.where(bits ^ flips, 255, 0).astype("uint8")
    vae = task.load(light=False)

    from digitvae.completion import denoise
    from digitvae.writers import Result, pairs

    found = denoise(vae, images, given.flip, seed=given.seed)
    return Result(
        {"images": found, "inputs": images, "names": names},
        lambda: pairs(images, found, names),
        numbers={"images": len(found)},
    )


def _add_inpaint(parser: argparse.ArgumentParser) -> None:
    add_inputs(parser)
    hidden = parser.add_mutually_exclusive_group(required=True)
    hidden.add_argument("--half", choices=HALVES, help="this half is hidden")
    hidden.add_argument(
        "--box",
        type=list_of(from_zero),
        metavar="TOP,LEFT,HEIGHT,WIDTH",
        help="this box is hidden, in pixels",
    )
    hidden.add_argument(
        "--mask", metavar="FILE", help="a picture of the images' size: what is white in it is hidden"
    )
    parser.add_argument(
        "--completions", type=from_one, default=5, metavar="N", help="of each image (default: 5)"
    )
    add_pixels(parser)


def _inpaint(task: Task) -> Result:
    given = task.arguments
    mask = _mask(given, task.model.image_shape)
    images, names = task.read(given.inputs)
    vae = task.load(light=False)

    import numpy as np

    from digitvae.completion import inpaint
    from digitvae.writers import Pictures, Result, beside

    found = inpaint(vae, images, mask, given.completions, given.seed, given.pixels)

    def pictures() -> Pictures:
        named = [f"{name}-{i + 1}" for name in names for i in range(given.completions)]
        return beside(np.where(mask, np.uint8(_HIDDEN), images), found, named)

    return Result(
        {"images": found, "inputs": images, "mask": mask, "names": names},
        pictures,
        numbers={"images": len(images), "completions": given.completions, "hidden": int(mask.sum())},
    )


def _mask(given: argparse.Namespace, image_shape: tuple[int, int]) -> np.ndarray:
    """Return which pixels are hidden, bool (height, width)."""
    import numpy as np

    height, width = image_shape
    mask = np.zeros(image_shape, bool)
    if given.half is not None:
        rows, columns = slice(None), slice(None)
        rows = {"upper": slice(height // 2), "lower": slice(height // 2, None)}.get(given.half, rows)
        columns = {"left": slice(width // 2), "right": slice(width // 2, None)}.get(given.half, columns)
        mask[rows, columns] = True
        return mask
    if given.box is not None:
        box = given.box
        if len(box) != 4 or not box[2] * box[3] or box[0] + box[2] > height or box[1] + box[3] > width:
            raise ConfigError(
                f"Expected --box as TOP,LEFT,HEIGHT,WIDTH inside of {height}x{width} pixels. "
                f"Received: {','.join(map(str, box))}"
            )
        mask[box[0] : box[0] + box[2], box[1] : box[1] + box[3]] = True
        return mask
    from digitvae.data import read_images

    (found, *others), _ = read_images(Path(given.mask))
    if others or found.shape != image_shape:
        shape = f"{len(others) + 1} of them" if others else f"{found.shape[0]}x{found.shape[1]}"
        raise ValueError(
            f"Expected one mask of the images' size, {height}x{width}. Received: {given.mask} ({shape})"
        )
    return found > 127


VERBS = {
    "denoise": Verb(
        "Remove noise that turned pixels over: noisy images above, the likely ones below.",
        _add_denoise,
        _denoise,
        "denoise.png",
    ),
    "inpaint": Verb(
        "Complete images of which a part is hidden: draws from the posterior given the rest.",
        _add_inpaint,
        _inpaint,
        "inpaint.png",
    ),
}
