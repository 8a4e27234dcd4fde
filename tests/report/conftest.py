"""Evaluations as they might be, made up."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

_SAMPLES = {
    "frechet": 5.312,
    "kernel": 0.00123,
    "kernel_std": 0.0002,
    "precision": 0.912,
    "recall": 0.934,
    "density": 0.95,
    "coverage": 0.91,
    "class_fractions": [0.1] * 10,
    "class_entropy": 2.297,
    "total_variation": 0.021,
    "confidence": 0.962,
    "share_confident": 0.911,
}
_FULL: dict[str, Any] = {
    "schema_version": 1,
    "protocol": "dynamic",
    "seed": 0,
    "test": {
        "images": 10000,
        "elbo": -86.41,
        "elbo_interval": [-86.79, -86.03],
        "elbo_draws": 96,
        "reconstruction": 60.52,
        "kl": 25.89,
        "nll": 81.93,
        "nll_interval": [81.57, 82.29],
        "nll_k": 128,
        "nll_images": 9000,
        "bits_per_dim": 0.15077,
        "mse": 0.00521,
        "psnr": 23.41,
        "ssim": 0.921,
        "pca_mse": 0.01214,
    },
    "nll_curve": {"k": [1, 10, 100, 128], "nll": [86.41, 83.24, 82.01, 81.93]},
    "per_class": [
        {"label": 0, "images": 980, "elbo": -96.2, "reconstruction": 68.1, "kl": 28.1, "nll": 91.7},
        {"label": 1, "images": 1135, "elbo": -48.8, "reconstruction": 30.3, "kl": 18.5, "nll": 45.6},
    ],
    "refined": {
        "steps": 50,
        "images": 70,
        "elbo": -84.72,
        "elbo_before": -86.12,
        "amortisation_gap": 1.40,
        "nll": 81.62,
    },
    "ais": {
        "images": 60,
        "chains": 8,
        "temperatures": 55,
        "nll": 81.41,
        "interval": [77.8, 85.1],
        "is_nll": 81.70,
        "is_interval": [78.02, 85.45],
        "is_k": 512,
    },
    "latents": {
        "latent_dim": 40,
        "active_units": 30,
        "kl_per_latent": [2.0, 1.0, 0.0],
        "mutual_information": 9.21,
        "mismatch": {
            "gaussian_kl": 0.214,
            "gaussian_kl_floor": 0.082,
            "energy_distance": 0.0123,
            "energy_distance_floor": 0.00041,
        },
        "linear_probe": 0.9312,
        "knn": 0.9722,
        "clustering": 0.742,
    },
    "rate_distortion": [{"latents": 1, "mse": 0.05}, {"latents": 40, "mse": 0.0052}],
    "samples": {
        "count": 10000,
        "model": _SAMPLES,
        "floor": {**_SAMPLES, "frechet": 0.0412},
        "gmm": {**_SAMPLES, "frechet": 12.34},
        "memorisation": {"median_ratio": 1.03, "share_closer": 0.0082, "train_preference": -0.0121},
    },
    "train_seconds": 272.4,
    "wall_seconds": 598.1,
}
_CONFIG: dict[str, Any] = {
    "config": {"recipe": "default", "data": "mnist", "epochs": 10, "latent_dim": 40},
    "versions": {"python": "3.11.2", "keras": "3.15.1"},
    "image_shape": [28, 28],
    "data_sha256": "9f" * 32,
    "created": "2026-11-22T11:27:11+00:00",
}


@pytest.fixture
def evaluation() -> Callable[..., dict[str, Any]]:
    """Return a maker of evaluations; keywords replace parts, with __ between the keys of a path."""

    def make(**changes: Any) -> dict[str, Any]:
        made = copy.deepcopy(_FULL)
        for path, value in changes.items():
            *parents, last = path.split("__")
            part = made
            for key in parents:
                part = part[key]
            part[last] = value
        return made

    return make


@pytest.fixture
def config() -> dict[str, Any]:
    """What a run folder's config.json holds."""
    return copy.deepcopy(_CONFIG)
