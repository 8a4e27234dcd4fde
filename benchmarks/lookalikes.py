"""Write generated images of garments, to train on data other than digits where no such data set is at hand.

They look like Fashion-MNIST (ten kinds of grey garments on black, named alike) but are drawn here from a few
outlines with random measures, light and pattern: easier than photographs, and no number measured on them says
anything about Fashion-MNIST.

    python benchmarks/lookalikes.py lookalikes
    digitvae train --data lookalikes/garments
    digitvae train --data lookalikes/folder
"""

from __future__ import annotations

import argparse
import gzip
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

KINDS = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
_FINER = 4  # drawn at this multiple of the size, for smooth edges
_Outline = list[tuple[float, float]]


def garment(
    label: int, rng: np.random.Generator, image_shape: tuple[int, int] = (28, 28)
) -> npt.NDArray[np.uint8]:
    """Draw a garment.

    Args:
        label: its place in `KINDS`.
        rng: of measures, light and pattern.
        image_shape: (height, width) of the image.

    Returns:
        uint8 (height, width), light on black.
    """
    height, width = (side * _FINER for side in image_shape)
    canvas = Image.new("L", (width, height))
    pen = ImageDraw.Draw(canvas)

    def draw(outline: _Outline, level: int = 255) -> None:
        pen.polygon([(x * width, y * height) for x, y in outline], fill=level)

    _SHAPES[KINDS[label]](draw, rng)
    rows, columns = np.mgrid[:height, :width] / max(height, width)
    slope = rng.normal(0, 0.25, 2)
    shade = rng.uniform(0.35, 0.95) + slope[0] * (rows - 0.5) + slope[1] * (columns - 0.5)
    waves = np.sin(2 * np.pi * rng.uniform(4, 9) * (rows if rng.random() < 0.5 else columns))
    shade += rng.choice([0, 0, 0.12, 0.25]) * waves + rng.normal(0, 0.06, shade.shape)
    pixels = np.asarray(canvas) * np.clip(shade, 0.15, 1)
    fine = Image.fromarray(np.rint(pixels).astype(np.uint8))
    return np.asarray(fine.resize(image_shape[::-1], Image.Resampling.BOX))


def garments(
    count: int, rng: np.random.Generator, image_shape: tuple[int, int] = (28, 28)
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Draw garments of all kinds in random order: uint8 images (count, height, width) and labels (count,)."""
    labels = rng.permutation(np.arange(count) % len(KINDS)).astype(np.uint8)
    return np.stack([garment(label, rng, image_shape) for label in labels]), labels


def write_idx_files(folder: Path, count: int, test_count: int, rng: np.random.Generator) -> None:
    """Write garments of 28 x 28 as four gzipped IDX files, named as those of Fashion-MNIST."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, size in (("train", count), ("t10k", test_count)):
        for kind, array in zip(("images-idx3", "labels-idx1"), garments(size, rng), strict=True):
            header = struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape)
            (folder / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(header + array.tobytes()))


def write_folder(folder: Path, count: int, rng: np.random.Generator) -> None:
    """Write garments of 33 x 47 as PNG files, in a sub-folder for each kind."""
    for index, (image, label) in enumerate(zip(*garments(count, rng, (33, 47)), strict=True)):
        place = folder / KINDS[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{index:05}.png")


def _top(draw, rng, sleeve, length, spread):
    """Draw a garment for the upper body; measures are shares of the image."""
    neck, shoulder = rng.uniform(0.07, 0.12), rng.uniform(0.2, 0.26)
    chest, hem = shoulder - rng.uniform(0.02, 0.06), shoulder + spread
    top, end = rng.uniform(0.05, 0.12), min(0.97, length + rng.uniform(-0.05, 0.05))
    arm, reach = rng.uniform(0.09, 0.13), rng.uniform(0.1, 0.17)
    right = [
        (neck, top),
        (shoulder, top + 0.05),
        (shoulder + reach, top + 0.08 + sleeve),
        (shoulder + reach - arm, top + 0.12 + sleeve),
        (chest, top + 0.26),
        (hem, end),
    ]
    draw([(0.5 + x, y) for x, y in right] + [(0.5 - x, y) for x, y in reversed(right)])
    depth = rng.uniform(0.03, 0.12)
    draw([(0.5 - neck, top - 0.01), (0.5 + neck, top - 0.01), (0.5, top + depth)], 0)
    return top + depth, end


def _t_shirt(draw, rng):
    _top(draw, rng, rng.uniform(0.12, 0.2), 0.88, 0.0)


def _pullover(draw, rng):
    _top(draw, rng, rng.uniform(0.55, 0.68), 0.88, 0.01)


def _coat(draw, rng):
    top, end = _top(draw, rng, rng.uniform(0.55, 0.7), 0.95, 0.05)
    draw([(0.485, top), (0.515, top), (0.515, end), (0.485, end)], 60)


def _shirt(draw, rng):
    top, end = _top(draw, rng, rng.uniform(0.4, 0.62), 0.9, 0.0)
    for y in np.arange(top + 0.05, end - 0.05, 0.12):
        draw([(0.48, y), (0.52, y), (0.52, y + 0.03), (0.48, y + 0.03)], 90)


def _dress(draw, rng):
    _top(draw, rng, rng.uniform(0.02, 0.3), 0.95, rng.uniform(0.02, 0.12))


def _trouser(draw, rng):
    waist, hip, gap = rng.uniform(0.12, 0.18), rng.uniform(0.18, 0.24), rng.uniform(0.01, 0.05)
    top, crotch, leg = rng.uniform(0.03, 0.08), rng.uniform(0.28, 0.4), rng.uniform(0.09, 0.14)
    for side in (-1, 1):
        right = [(0, top), (waist, top), (hip, crotch), (gap + leg, 0.96), (gap, 0.96), (0, crotch)]
        draw([(0.5 + side * x, y) for x, y in right])


def _shoe(draw, rng, ankle):
    sole, toe, heel = rng.uniform(0.72, 0.8), rng.uniform(0.05, 0.1), rng.uniform(0.9, 0.96)
    tip = sole - rng.uniform(0.08, 0.14)
    draw(
        [
            (toe, sole),
            (toe + 0.03, tip),
            (0.5, ankle + 0.12),
            (0.6, ankle),
            (heel - 0.04, ankle),
            (heel, sole),
        ]
    )
    draw([(toe, sole), (heel, sole), (heel, sole + 0.06), (toe, sole + 0.06)], 180)
    return sole


def _sneaker(draw, rng):
    ankle = rng.uniform(0.42, 0.5)
    _shoe(draw, rng, ankle)
    draw([(0.62, ankle - 0.01), (0.84, ankle - 0.01), (0.73, ankle + 0.07)], 0)


def _ankle_boot(draw, rng):
    sole = _shoe(draw, rng, rng.uniform(0.1, 0.2))
    draw([(0.7, sole), (0.93, sole), (0.93, sole + 0.14), (0.75, sole + 0.14)])


def _sandal(draw, rng):
    sole, thick = rng.uniform(0.65, 0.78), rng.uniform(0.04, 0.08)
    heel = rng.uniform(0, 0.16)
    draw(
        [
            (0.05, sole + heel),
            (0.6, sole),
            (0.95, sole - heel),
            (0.95, sole + thick),
            (0.05, sole + heel + thick),
        ]
    )
    for x in rng.uniform(0.15, 0.8, rng.integers(2, 5)):
        draw([(x, sole + heel), (x + 0.05, sole + heel), (x + 0.2, sole - 0.25), (x + 0.15, sole - 0.25)])


def _bag(draw, rng):
    left, top, flare = rng.uniform(0.08, 0.2), rng.uniform(0.35, 0.5), rng.uniform(-0.05, 0.06)
    draw([(0.4 - left, top - 0.28), (0.6 + left, top - 0.28), (0.65 + left, top), (0.35 - left, top)])
    draw([(0.44 - left, top - 0.22), (0.56 + left, top - 0.22), (0.6 + left, top), (0.4 - left, top)], 0)
    draw([(left, top), (1 - left, top), (1 - left + flare, 0.92), (left - flare, 0.92)])
    draw([(left, top + 0.12), (1 - left, top + 0.12), (1 - left, top + 0.15), (left, top + 0.15)], 110)


_SHAPES = dict(
    zip(
        KINDS,
        (_t_shirt, _trouser, _pullover, _dress, _coat, _sandal, _shirt, _sneaker, _bag, _ankle_boot),
        strict=True,
    )
)


def main() -> None:
    """Write both sets."""
    parser = argparse.ArgumentParser(description="Write generated images of garments.")
    parser.add_argument("out", type=Path, help="folder for the folders garments and folder")
    parser.add_argument("--count", type=int, default=12_000, help="training images (default: 12000)")
    parser.add_argument("--test-count", type=int, default=2_000, help="test images (default: 2000)")
    parser.add_argument("--folder-count", type=int, default=3_000, help="images of 33x47 (default: 3000)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    write_idx_files(arguments.out / "garments", arguments.count, arguments.test_count, rng)
    write_folder(arguments.out / "folder", arguments.folder_count, rng)


if __name__ == "__main__":
    main()
