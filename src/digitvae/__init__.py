"""digitvae: train, evaluate and use variational autoencoders of handwritten digits.

Importing this package imports neither Keras nor a backend; the names below load on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from digitvae.backends import backend_needed

if TYPE_CHECKING:
    from digitvae.building import build
    from digitvae.completion import denoise, inpaint
    from digitvae.config import RECIPES, Config, resolve
    from digitvae.data import Dataset, fixed_bits, read_images, split_validation
    from digitvae.estimator import VAEEstimator
    from digitvae.evaluation import SCHEMA_VERSION, Evaluation, evaluate, evaluate_fully, score_samples
    from digitvae.exporting import Exported, export, load_onnx
    from digitvae.figures import show
    from digitvae.gallery import draw_evaluation, draw_figures
    from digitvae.latent import (
        arithmetic,
        blend,
        classify,
        interpolate,
        label_plane,
        manifold,
        neighbours,
        restyle,
        traverse,
    )
    from digitvae.model import VAE
    from digitvae.runs import Run, find_run, load, load_light
    from digitvae.scoring import Scores, score
    from digitvae.streaming import load_dataset
    from digitvae.training import resume, train

__version__ = "0.1.0"

_HOMES = {
    "config": ("Config", "RECIPES", "resolve"),
    "data": ("Dataset", "fixed_bits", "read_images", "split_validation"),
    "streaming": ("load_dataset",),
    "building": ("build",),
    "model": ("VAE",),
    "runs": ("Run", "find_run", "load", "load_light"),
    "training": ("resume", "train"),
    "evaluation": ("SCHEMA_VERSION", "Evaluation", "evaluate", "evaluate_fully", "score_samples"),
    "latent": (
        "arithmetic",
        "blend",
        "classify",
        "interpolate",
        "label_plane",
        "manifold",
        "neighbours",
        "restyle",
        "traverse",
    ),
    "estimator": ("VAEEstimator",),
    "exporting": ("Exported", "export", "load_onnx"),
    "figures": ("show",),
    "completion": ("denoise", "inpaint"),
    "scoring": ("Scores", "score"),
    "gallery": ("draw_evaluation", "draw_figures"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "RECIPES",
    "SCHEMA_VERSION",
    "VAE",
    "Config",
    "Dataset",
    "Evaluation",
    "Exported",
    "Run",
    "Scores",
    "VAEEstimator",
    "arithmetic",
    "blend",
    "build",
    "classify",
    "denoise",
    "draw_evaluation",
    "draw_figures",
    "evaluate",
    "evaluate_fully",
    "export",
    "find_run",
    "fixed_bits",
    "inpaint",
    "interpolate",
    "label_plane",
    "load",
    "load_dataset",
    "load_light",
    "load_onnx",
    "manifold",
    "neighbours",
    "read_images",
    "resolve",
    "restyle",
    "resume",
    "score",
    "score_samples",
    "show",
    "split_validation",
    "train",
    "traverse",
]


def __getattr__(name: str):
    if name not in _HOME_OF:
        raise AttributeError(f"module 'digitvae' has no attribute {name!r}")
    with backend_needed():
        value = getattr(importlib.import_module(f"digitvae.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
