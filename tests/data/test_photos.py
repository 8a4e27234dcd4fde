"""Photos of digits: real digits of MNIST on synthetic paper, and back."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from digitvae.data.photos import read_photo

Resampling = Image.Resampling
KINDS = ("shadow", "squared", "chalk", "marker", "rotated", "transparent", "white on transparent")


def photograph(digit, kind, seed):
    """Write a digit as a PNG or JPEG of 300 to 2000 pixels, and return its bytes.

    shadow: blue ink on cream paper with grain, light from one side, the soft shadow of a hand.
    squared: pencil on squared paper. chalk: yellow on a grained board. marker: red on green of the same luma.
    rotated: as a camera writes it that was held upright. transparent: strokes alone.
    """
    rng = np.random.default_rng(seed)
    height, width = rng.integers(300, 800, 2) if seed % 10 else rng.integers(1500, 2001, 2)
    side = int(rng.uniform(0.45, 1) * min(height, width))
    top, left = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
    ink = np.zeros((height, width))
    enlarged = Image.fromarray(digit).resize((side, side), Resampling.BICUBIC)
    ink[top : top + side, left : left + side] = np.asarray(enlarged) / 255
    rows, columns = np.mgrid[:height, :width] / min(height, width)
    grain = gaussian_filter(rng.normal(0, 6, ink.shape), 0.7) + rng.normal(0, 3, ink.shape)
    if "transparent" in kind:
        pixels = np.full((height, width, 4), 255 if "white" in kind else 0, np.uint8)
        pixels[..., 3] = np.rint(255 * ink)
        return _encoded(Image.fromarray(pixels), "PNG")
    pen, ground = {
        "shadow": ((30, 40, 120), (244, 236, 214)),
        "squared": ((95, 95, 95), (235, 235, 235)),
        "chalk": ((235, 225, 150), (40, 70, 55)),
        "marker": ((205, 60, 60), (60, 135, 60)),
        "rotated": ((20, 20, 20), (225, 225, 220)),
    }[kind]
    light = np.ones_like(ink)
    paper = np.ones((*ink.shape, 1)) * ground
    if kind == "squared":
        step = max(8, min(height, width) // 16)
        lines = (np.arange(height)[:, None] % step < 2) | (np.arange(width) % step < 2)
        paper[lines] = (190, 200, 225)
    if kind == "shadow":
        angle = rng.uniform(0, 2 * np.pi)
        slope = np.cos(angle) * rows + np.sin(angle) * columns
        light = 1 - 0.45 * (slope - slope.min()) / np.ptp(slope)
        edge = np.sin(angle) * (rows - rows.mean()) - np.cos(angle) * (columns - columns.mean())
        light *= 1 - 0.35 / (1 + np.exp(-(edge + rng.uniform(-0.3, 0.3)) / 0.02))
    colours = (paper * (1 - ink[..., None]) + np.array(pen) * ink[..., None]) * light[..., None]
    image = Image.fromarray(np.clip(colours + grain[..., None], 0, 255).astype(np.uint8))
    if kind != "rotated":
        return _encoded(image, "JPEG", quality=int(rng.integers(25, 90)))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    return _encoded(image.rotate(90, expand=True), "JPEG", quality=80, exif=exif)


def _encoded(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


