"""Figures: samples, latent planes, reconstructions, interpolations, training curves and evaluation charts.

Every drawing function takes plain arrays and returns a `matplotlib.figure.Figure` that is not registered with
pyplot: it can be saved on a machine without a screen and is freed like any other object. Importing this
package imports neither Keras nor Matplotlib.
"""

from __future__ import annotations

from digitvae.figures.canvas import load_matplotlib
from digitvae.figures.curves import training_curves
from digitvae.figures.evaluation import latent_map, nats_per_latent, nll_curve, rate_distortion
from digitvae.figures.mosaics import (
    interpolations,
    label_grid,
    latent_grid,
    neighbours,
    reconstructions,
    samples,
)
from digitvae.figures.output import png, save, show

__all__ = [
    "interpolations",
    "label_grid",
    "latent_grid",
    "latent_map",
    "load_matplotlib",
    "nats_per_latent",
    "neighbours",
    "nll_curve",
    "png",
    "rate_distortion",
    "reconstructions",
    "samples",
    "save",
    "show",
    "training_curves",
]
