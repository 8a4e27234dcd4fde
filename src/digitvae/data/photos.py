"""From a photo or drawing of a digit to an image like those of MNIST.

MNIST's digits are light strokes on black. Each was scaled, with its proportions, to fit a box of 20 x 20
pixels, and shifted by whole pixels until its centre of mass was at pixel (14, 14) of 28 x 28 (LeCun, Bottou,
Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998).

Pillow, SciPy and scikit-image are imported on first use.
"""

from __future__ import annotations

import math
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from digitvae.data.arrays import Images, check_size
from digitvae.data.image_files import decoding
from digitvae.data.strokes import Floats, Strokes, cropped, find_strokes

if TYPE_CHECKING:
    from PIL import Image

Photo: TypeAlias = "str | Path | Image.Image | npt.NDArray[np.uint8]"

MAX_PIXELS = 100_000_000  # phones make up to 50 million; a small file may decode to anything
_LONG_SIDE, _SHORT_SIDE = 640, 160  # where strokes are found: means over pixels take the grain away
_BOX = 20 / 28
# In pixels of a box of 20: 99 of 100 digits of MNIST have wider strokes, and thinner ones would only be grey.
_THINNEST = 1.5


def read_photo(photo: Photo, image_shape: tuple[int, int] = (28, 28)) -> Images:
    """Turn a photo or drawing of one digit into an image like those of MNIST.

    Size, colours, dark on light or light on dark, uneven light and shadows, the rotation that a camera notes
    in the file, and transparency do not matter. The picture should show one digit on a plain ground, upright.

    Args:
        photo: the path of an image file; a Pillow image; or uint8 (height, width) grey levels or (height,
            width, 3 or 4) colours with or without opacity.
        image_shape: (height, width) of the result, 8 to 128 each; the digit fills 20/28 of it.

    Returns:
        uint8 (height, width), light strokes from 0 (none) to 255.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no picture, damaged or too large, or shows no strokes.
    """
    height, width = image_shape
    check_size(height, width, f"image_shape={image_shape}")
    name, pixels = _decoded(photo)
    strokes = find_strokes(pixels)
    if strokes is None:
        raise ValueError(
            "Expected a picture of a digit: strokes that stand out from a plain ground. "
            f"Received: {name}, which shows none"
        )
    return _centred(_fitted(strokes, image_shape), image_shape)


def _decoded(photo: Photo) -> tuple[str, Floats]:
    """Return a name for error messages, and float32 (height, width, 1 or 3), 0..255, of a size to work on."""
    from PIL import Image, ImageOps

    with ExitStack() as stack:
        name = str(photo) if isinstance(photo, str | Path) else "picture"
        file = stack.enter_context(Path(photo).open("rb")) if isinstance(photo, str | Path) else None
        with decoding(name):
            image: Image.Image
            if isinstance(photo, Image.Image):
                image = photo
            else:
                image = Image.fromarray(photo) if isinstance(photo, np.ndarray) else Image.open(file or photo)
            width, height = image.size
        if width * height > MAX_PIXELS:
            raise ValueError(
                f"Expected a picture of at most {MAX_PIXELS:,} pixels. "
                f"Received: {name} with {height}x{width} (height x width)"
            )
        scale = max(_LONG_SIDE / max(width, height), _SHORT_SIDE / min(width, height))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        with decoding(name):
            if scale < 1:
                # Only JPEG can do that: it decodes to a fraction of its size, which is faster.
                image.draft(None, size)
            colours = _colours(image)
            if scale < 1:
                colours = colours.resize(size, Image.Resampling.BOX)
            colours = ImageOps.exif_transpose(colours)
            pixels = np.asarray(_opaque(colours), np.float32)
    return name, pixels.reshape(*pixels.shape[:2], -1)


def _colours(image: Image.Image) -> Image.Image:
    """Convert any mode to L, RGB or RGBA."""
    from PIL import Image

    if image.mode.startswith(("I", "F")):
        # More than 8 bits: Pillow would clip these levels instead of scaling them.
        levels = np.asarray(image, np.float64)
        low, high = levels.min(), levels.max()
        return Image.fromarray(np.rint(255 * (levels - low) / max(high - low, 1)).astype(np.uint8))
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _opaque(image: Image.Image) -> Image.Image:
    """Fill transparent parts: like the median of the rest, or in contrast to strokes that are alone."""
    from PIL import Image

    if image.mode != "RGBA":
        return image
    pixels = np.asarray(image)
    visible = pixels[pixels[..., 3] > 127][:, :3]
    if 2 * len(visible) > pixels[..., 3].size:
        ground = tuple(int(level) for level in np.median(visible, axis=0))
    else:
        ground = (255, 255, 255) if not visible.size or visible.mean() < 128 else (0, 0, 0)
    return Image.alpha_composite(Image.new("RGBA", image.size, (*ground, 255)), image).convert("RGB")


def _fitted(strokes: Strokes, image_shape: tuple[int, int]) -> Floats:
    """Scale strokes to fit 20/28 of an image, with their proportions."""
    from PIL import Image
    from scipy.ndimage import distance_transform_edt

    box = [max(1, round(_BOX * side)) for side in image_shape]
    ink = strokes.ink
    scale = min(box[0] / ink.shape[0], box[1] / ink.shape[1])
    missing = (_THINNEST * min(box) / 20 / scale - strokes.width) / 2
    if missing > 0:
        ink = np.pad(ink, math.ceil(missing))
        # Grown by that, with edges of one pixel.
        ink = cropped(np.maximum(ink, np.clip(missing + 1 - distance_transform_edt(ink < 0.5), 0, 1)))
        scale = min(box[0] / ink.shape[0], box[1] / ink.shape[1])
    size = [max(1, round(scale * side)) for side in ink.shape]
    # Means over pixels where they shrink, as in the making of MNIST; smooth where they grow.
    way = Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(ink.astype(np.float32)).resize((size[1], size[0]), way))


def _centred(ink: Floats, image_shape: tuple[int, int]) -> Images:
    """Put ink where its centre of mass is at the middle pixel, and give it the full range of grey levels."""
    image = np.zeros(image_shape, np.uint8)
    place = []
    for axis, side in enumerate(image_shape):
        profile = ink.sum(1 - axis)
        centre = profile @ np.arange(len(profile)) / profile.sum()
        # By whole pixels: in MNIST the centre is from 13.5 to 14.5, counted from 0, in either direction.
        start = int(np.clip(math.ceil((side - 1) / 2 - centre), 0, side - len(profile)))
        place.append(slice(start, start + len(profile)))
    image[tuple(place)] = np.rint(255 * np.clip(ink / ink.max(), 0, 1))
    return image
