"""Pictures inside the page: their bytes, titles, descriptions and explanations."""

from __future__ import annotations

import base64
import struct
from typing import TYPE_CHECKING, NamedTuple

from digitvae.figures import png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIGNATURE = b"\x89PNG\r\n\x1a\n"

# name: title, what it shows for those who do not see it, how to read it
_KNOWN = {
    "samples": ("Samples", "A grid of generated digits", "Decoded from latents drawn from the prior."),
    "latent_grid": (
        "Latent plane",
        "A grid of digits that change smoothly along both sides",
        "Coordinates of the base noise at equal steps of probability, the others at their median. Of a prior "
        "with labels, the rows are the labels, with a transition between each two.",
    ),
    "reconstructions": (
        "Reconstructions",
        "Pairs of test digits and their reconstructions",
        "Test images and their reconstructions from the posterior mean.",
    ),
    "best_reconstructions": (
        "Best reconstructions",
        "Pairs of test digits and similar reconstructions",
        "The test images with the smallest squared error.",
    ),
    "worst_reconstructions": (
        "Worst reconstructions",
        "Pairs of test digits and dissimilar reconstructions",
        "The test images with the largest squared error.",
    ),
    "interpolations": (
        "Interpolations",
        "Rows of digits, each turning one test digit into another",
        "Paths in the base noise; the framed images at both ends are real digits.",
    ),
    "training_curves": (
        "Training",
        "Curves of -ELBO, reconstruction and KL over the epochs, for training and validation",
        "Nats per image. The ELBO is shown at beta = 1, whatever the training objective.",
    ),
    "nll_curve": (
        "NLL and draws",
        "A curve of the NLL falling with the number of draws k",
        "Where the curve is flat, more draws would change little.",
    ),
    "kl_per_latent": (
        "KL of each latent",
        "Bars of the KL of each latent, in descending order",
        "Information in each latent, in nats. Latents at 0 are unused.",
    ),
    "information_per_latent": (
        "Information of each latent",
        "Bars of the mutual information of the image and each latent, in descending order",
        "What each latent alone says about the image, in nats. Latents at 0 are unused.",
    ),
    "rate_distortion": (
        "Error and latents",
        "A curve of the squared error falling with the number of latents kept",
        "Squared error when only the most used latents are kept.",
    ),
    "latent_map": (
        "Map of the latent space",
        "A scatter plot of the latents of test images in two dimensions, coloured by label",
        "Posterior means in two dimensions. Near points are similar; large distances have no meaning.",
    ),
    "neighbours": (
        "Nearest training images",
        "Pairs of samples and their nearest training images",
        "Below each sample is the training image at the smallest pixel distance. A copy would be identical.",
    ),
}


class Picture(NamedTuple):
    """A picture for the page: heading, what it shows, how to read it, the PNG as a data URI, its pixels."""

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
    data = bytes(content) if isinstance(content, (bytes, bytearray)) else png(content)
    if not data.startswith(_SIGNATURE) or len(data) < 24:
        raise ValueError(f"Expected a figure or the bytes of a PNG file. Received: {name}={data[:8]!r}...")
    width, height = struct.unpack(">II", data[16:24])
    title, alt, caption = _KNOWN.get(name, (name.replace("_", " ").capitalize(), name.replace("_", " "), ""))
    uri = f"data:image/png;base64,{base64.b64encode(data).decode('ascii')}"
    return Picture(title, f"{alt}. Run {run}.", caption, uri, width, height)
