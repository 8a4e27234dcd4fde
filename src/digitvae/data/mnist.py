"""The MNIST data set, embedded in the package as the four original IDX files, gzipped.

LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998.
"""

from __future__ import annotations

import io
from importlib.resources import files
from typing import Literal

from digitvae.data.arrays import Images, Part, make_part
from digitvae.data.checksums import verify_content
from digitvae.data.idx import decode_idx, gunzipped


def read_mnist(part: Literal["train", "t10k"]) -> Part:
    """Read one part of the embedded MNIST and verify its checksums.

    Args:
        part: `"train"` (60,000 images) or `"t10k"` (10,000).

    Returns:
        uint8 images `(n, 28, 28)` and labels 0..9.

    Raises:
        ValueError: if an installed file is not the original.
    """
    images, labels = (
        _decode(f"{part}-{kind}-ubyte.gz", int(kind[-1])) for kind in ("images-idx3", "labels-idx1")
    )
    return make_part(images, labels, "mnist")


def _decode(name: str, dimensions: int) -> Images:
    with files("digitvae.data").joinpath("files", name).open("rb") as file, gunzipped(file, name) as unzipped:
        content = unzipped.read()
    verify_content(name, content)
    return decode_idx(io.BytesIO(content), dimensions, name)
