"""Pictures inside the page: their bytes, titles, descriptions and explanations."""

from __future__ import annotations

import base64
import io
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 150
_SIGNATURE = b"\x89PNG\r\n\x1a\n"

# name: title, description for those who do not see it, explanation
_KNOWN = {
    "samples": (
        "Samples",
        "A grid of digits that the model made up",
        "Codes drawn from the prior, decoded. Grey is the decoder's mean.",
    ),
    "latent_grid": (
        "Latent plane",
        "A square of digits that change smoothly along both sides",
        "Two coordinates of the prior's noise at equal steps of probability, the others at their median.",
    ),
    "reconstructions": (
        "Reconstructions",
        "Pairs of test digits and their reconstructions",
        "Test images, and what is left of them after the posterior mean and the decoder.",
    ),
    "best_reconstructions": (
        "Best reconstructions",
        "Pairs of test digits and reconstructions that are close to them",
        "The test images with the smallest squared error.",
    ),
    "worst_reconstructions": (
        "Worst reconstructions",
        "Pairs of test digits and reconstructions that miss them",
        "The test images with the largest squared error.",
    ),
    "interpolations": (
        "Interpolations",
        "Rows of digits, each row turning one test digit into another",
        "Ways through the prior's noise; the framed ends are real digits.",
    ),
    "training_curves": (
        "Training",
        "Curves of -ELBO, reconstruction and KL over the epochs, for training and validation",
        "Nats per image. The bound is at beta = 1, whatever was trained.",
    ),
    "nll_curve": (
        "NLL and draws",
        "A curve of the NLL falling with the number of draws k",
        "A flat end says that more draws would change little.",
    ),
    "kl_per_latent": (
        "KL of each latent",
        "Bars of the KL of each latent, from the largest to the smallest",
        "How many nats each latent carries. Latents at 0 are not used.",
    ),
    "information_per_latent": (
        "Information of each latent",
        "Bars of the mutual information of the image and each latent, from the largest to the smallest",
        "How many nats each latent alone tells of the image. Latents at 0 are not used.",
    ),
    "rate_distortion": (
        "Error and latents",
        "A curve of the squared error falling with the number of latents kept",
        "Squared error when only the most used latents are kept.",
    ),
    "latent_map": (
        "Map of the codes",
        "A scatter plot of the test images' codes in two dimensions, coloured by label if there are labels",
        "Codes of test images in two dimensions: neighbours mean something, distances and axes do not.",
    ),
    "neighbours": (
        "Nearest training images",
        "Pairs of samples and the training images that are nearest to them",
        "Below each sample the training image with the smallest distance in pixels: alike, not equal.",
    ),
    "traversals": (
        "Traversals",
        "Rows of digits, each row changing one latent",
        "One coordinate changes along each row, the others stay.",
    ),
    "conditional_confusion": (
        "Confusion of conditional samples",
        "A table of the classes that were asked for and those that the classifier sees",
        "Rows: the class asked for. Columns: what the classifier sees.",
    ),
}


@dataclass(frozen=True)
class Picture:
    """A picture, ready for the page.

    Attributes:
        title: its heading.
        alt: what it shows.
        caption: how to read it; may be empty.
        uri: the PNG as a data URI.
        width: in pixels.
        height: in pixels.
    """

    title: str
    alt: str
    caption: str
    uri: str
    width: int
    height: int

    @property
    def wide(self) -> bool:
        """Whether it needs the whole width of the page."""
        return self.width > 2.6 * self.height


def picture(name: str, content: Figure | bytes, run: str) -> Picture:
    """Make a picture ready for the page.

    Args:
        name: its key in the entry.
        content: a figure, or the bytes of a PNG file.
        run: the name of its run.

    Raises:
        ValueError: the bytes are not those of a PNG file.
    """
    data = bytes(content) if isinstance(content, (bytes, bytearray)) else _png(content)
    if not data.startswith(_SIGNATURE) or len(data) < 24:
        raise ValueError(f"Expected a figure or the bytes of a PNG file. Received: {name}={data[:8]!r}...")
    width, height = struct.unpack(">II", data[16:24])
    title, alt, caption = _KNOWN.get(name, (name.replace("_", " ").capitalize(), name.replace("_", " "), ""))
    uri = f"data:image/png;base64,{base64.b64encode(data).decode('ascii')}"
    return Picture(title, f"{alt}. Run {run}.", caption, uri, width, height)


def _png(figure: Figure) -> bytes:
    """Draw a figure, free of the user's own settings."""
    import matplotlib.style

    # Pixels of digits that become a whole number of dots stay squares; Matplotlib would blur some of them.
    squares = [
        image
        for axes in figure.axes
        for image in axes.images
        if image.get_interpolation() in ("auto", "antialiased")
        and _is_whole(axes.get_position().width * figure.get_figwidth() * DPI / image.get_size()[1])
    ]
    try:
        for image in squares:
            image.set_interpolation("nearest")
        buffer = io.BytesIO()
        with matplotlib.style.context("default"):
            # Without the version of Matplotlib in it, the same figure gives the same bytes.
            figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    finally:
        for image in squares:
            image.set_interpolation("auto")
    return buffer.getvalue()


def _is_whole(zoom: float) -> bool:
    return abs(zoom - max(1, round(zoom))) < 1e-6
