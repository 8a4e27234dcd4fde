"""What one can do in the latent space of a trained model: arrays in, arrays out.

The functions need no Keras: they take any `TrainedModel`. They compute a batch at a time, so that memory
grows with their inputs and results alone.
"""

from __future__ import annotations

from digitvae.latent.paths import blend, interpolate, slerp
from digitvae.latent.planes import LabelPlane, Manifold, label_plane, manifold, most_visible_axes
from digitvae.latent.sets import arithmetic, neighbours
from digitvae.latent.styles import classify, restyle
from digitvae.latent.traversal import Traversal, traverse

__all__ = [
    "LabelPlane",
    "Manifold",
    "Traversal",
    "arithmetic",
    "blend",
    "classify",
    "interpolate",
    "label_plane",
    "manifold",
    "most_visible_axes",
    "neighbours",
    "restyle",
    "slerp",
    "traverse",
]
