"""Metrics of latents, reconstructions and samples: arrays in, numbers out.

Nothing here depends on a model, a run or Keras, so the same functions measure any generator. SciPy,
scikit-learn and scikit-image are imported when first needed.
"""

from __future__ import annotations

from digitvae.metrics.images import mse_per_image, pca_errors, psnr, ssim
from digitvae.metrics.latents import (
    active_units,
    aggregate_mismatch,
    clustering_accuracy,
    knn_accuracy,
    linear_probe,
    map_2d,
)
from digitvae.metrics.samples import (
    class_balance,
    confidence,
    frechet_distance,
    kernel_distance,
    memorisation,
    nearest_neighbours,
    precision_recall_density_coverage,
)
from digitvae.metrics.statistics import bootstrap_interval, paired_difference, regression_estimate

__all__ = [
    "active_units",
    "aggregate_mismatch",
    "bootstrap_interval",
    "class_balance",
    "clustering_accuracy",
    "confidence",
    "frechet_distance",
    "kernel_distance",
    "knn_accuracy",
    "linear_probe",
    "map_2d",
    "memorisation",
    "mse_per_image",
    "nearest_neighbours",
    "paired_difference",
    "pca_errors",
    "precision_recall_density_coverage",
    "psnr",
    "regression_estimate",
    "ssim",
]
