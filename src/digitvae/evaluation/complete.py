"""The full evaluation of a model: likelihood, latents, reconstructions and samples."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from digitvae import metrics
from digitvae.data import Dataset
from digitvae.evaluation.annealing import annealed_likelihood
from digitvae.evaluation.latents import measure_latents
from digitvae.evaluation.likelihood import ImageBounds, image_bounds
from digitvae.evaluation.protocols import (
    SCHEMA_VERSION,
    check_counts,
    evenly_spaced,
    measured_images,
    protocol,
)
from digitvae.evaluation.refinement import refine_posteriors
from digitvae.evaluation.samples import mixture_samples, score_samples
from digitvae.markup import html_table
from digitvae.model import VAE
from digitvae.progress import progress_bar

GENERATED = 10_000
REFINED_IMAGES = 500
AIS_IMAGES, AIS_CHAINS, AIS_TEMPERATURES = 100, 16, 50
AIS_DRAWS = 1000
"""k of importance sampling on the same images."""
EXTREMES = 20
"""Best, and worst, reconstructions shown."""
KEPT_LATENTS = 8
"""Points on the rate-distortion curve."""


class Evaluation(NamedTuple):
    """The numbers of an evaluation and the arrays behind its figures."""

    numbers: dict[str, Any]
    """The object of `evaluation.json` (docs/evaluation_schema.md), without the times."""
    nll: np.ndarray
    """NLL of every test image, float64 (n,), to compare models image by image."""
    elbo: np.ndarray
    """ELBO of every test image, float64 (n,)."""
    generated: np.ndarray
    """Samples, uint8 (at most 100, height, width)."""
    nearest: np.ndarray
    """Training images nearest to the first samples, uint8 (m, height, width)."""
    extremes: np.ndarray
    """Indices of the test images with the smallest and the largest squared error, int64 (2, m)."""
    map: np.ndarray
    """Positions of latents on a two-dimensional map, float64 (m, 2)."""
    map_images: np.ndarray
    """Indices of the test images on the map, int64 (m,)."""

    def _repr_html_(self) -> str:
        """Show the main numbers in a notebook."""
        test = self.numbers["test"]
        rows = [
            ("-ELBO", f"{-test['elbo']:.2f} nats"),
            ("reconstruction", f"{test['reconstruction']:.2f} nats"),
            ("KL", f"{test['kl']:.2f} nats"),
            (f"NLL (k={test['nll_k']})", f"{test['nll']:.2f} nats"),
            ("MSE", f"{test['mse']:.5f}"),
            ("MSE of as many principal components", f"{test['pca_mse']:.5f}"),
        ]
        return html_table(f"{test['images']:,} test images, protocol {self.numbers['protocol']}", rows)


def evaluate_fully(
    vae: VAE,
    dataset: Dataset,
    samples: int = 128,
    refine: int = 0,
    ais: bool = False,
    seed: int = 0,
    progress: bool = False,
) -> Evaluation:
    """Measure a model in full on the test set of a data set.

    Args:
        vae: the model.
        dataset: its data. Probes, PCA and the mixture are fitted to the training images; the test images are
            measured.
        samples: k, posterior draws per image for all likelihoods.
        refine: optimisation steps per posterior, on up to 500 test images; 0 for none.
        ais: also estimate the likelihood by annealed importance sampling, on up to 100 test images.
        seed: seed of all noise.
        progress: show progress on stderr where that is a terminal.

    Returns:
        The evaluation.

    Raises:
        ValueError: samples below 1, refine below 0, images of another size, or weights that are not finite.
    """
    check_counts(samples=samples)
    if refine < 0:
        raise ValueError(f"Expected refine to be at least 0. Received: refine={refine}")
    bits = measured_images(vae, dataset)
    steps = sorted({k for k in (1, 10, 100, 1000) if k < samples} | {samples})
    terms = image_bounds(vae, bits, samples, seed, progress=progress, curve=steps)
    refined = _refined(vae, bits, terms, refine, samples, seed, progress) if refine else None
    annealed = _annealed(vae, bits, seed, progress) if ais else None

    with progress_bar(3, "reconstructions", " parts", progress) as bar:
        codes, log_scales = vae.encode_posterior(dataset.test_images)
        reconstructed = vae.decode(codes)
        errors = metrics.mse_per_image(dataset.test_images, reconstructed)
        principal = metrics.pca_errors(dataset.train_images, dataset.test_images, vae.latent_dim)
        test = _likelihood(terms, samples, vae) | {
            "mse": float(errors.mean()),
            "psnr": metrics.psnr(dataset.test_images, reconstructed),
            "ssim": metrics.ssim(dataset.test_images, reconstructed),
            "pca_mse": float(principal[-1]),
        }
        # How much a latent is used: the variance of its means in units of the posterior's variance.
        used = codes.var(axis=0) / np.exp(2 * log_scales).mean(axis=0)
        distortion = rate_distortion(
            vae, dataset.test_images, codes, np.argsort(-used, kind="stable"), principal
        )
        bar.update()
        bar.set_description("latent code")
        code = measure_latents(vae, dataset, bits, codes, seed)
        bar.update()
        bar.set_description("samples")
        count = min(GENERATED, max(2, len(dataset.test_images)))
        generated = vae.generate(count, seed=seed)
        scores = score_samples(generated, dataset, mixture_samples(vae, dataset, count, seed), seed)

    order = np.argsort(errors, kind="stable")
    shown = min(EXTREMES, len(order))
    numbers = {
        "schema_version": SCHEMA_VERSION,
        "protocol": protocol(vae),
        "seed": seed,
        "test": test,
        "nll_curve": {"k": steps, "nll": [-float(row.mean()) for row in terms.curve]},
        "per_class": _per_class(terms, dataset.test_labels),
        "refined": refined,
        "ais": annealed,
        "latents": code.numbers,
        "rate_distortion": distortion,
        "samples": scores.numbers,
    }
    return Evaluation(
        numbers,
        nll=-terms.bound,
        elbo=-(terms.reconstruction + terms.kl),
        generated=generated[:100],
        nearest=scores.nearest,
        extremes=np.stack([order[:shown], order[::-1][:shown]]),
        map=code.map,
        map_images=code.map_images,
    )


def rate_distortion(
    vae: VAE, images: np.ndarray, codes: np.ndarray, order: np.ndarray, principal: np.ndarray
) -> list[dict[str, float]]:
    """Measure reconstructions from the most used latents alone, the others at their mean over images.

    Args:
        vae: the model.
        images: uint8 (n, height, width).
        codes: their posterior means, (n, latent_dim).
        order: the latents, the most used first, (latent_dim,).
        principal: errors of 1 to latent_dim principal components, (latent_dim,).

    Returns:
        Objects with `latents`, the number kept, increasing; `mse`, per pixel in [0, 1]; and `pca_mse`, of as
        many principal components.
    """
    kept = np.unique(np.geomspace(1, vae.latent_dim, min(KEPT_LATENTS, vae.latent_dim)).round().astype(int))
    found = []
    for latents in kept:
        truncated = np.broadcast_to(codes.mean(axis=0), codes.shape).copy()
        truncated[:, order[:latents]] = codes[:, order[:latents]]
        error = metrics.mse_per_image(images, vae.decode(truncated)).mean()
        pca = float(principal[latents - 1])
        found.append({"latents": int(latents), "mse": float(error), "pca_mse": pca})
    return found


def _likelihood(terms: ImageBounds, samples: int, vae: VAE) -> dict[str, Any]:
    elbo, nll = -(terms.reconstruction + terms.kl), -terms.bound
    return {
        "images": len(nll),
        "elbo": float(elbo.mean()),
        "elbo_interval": _interval(elbo),
        "elbo_draws": samples,
        "reconstruction": float(terms.reconstruction.mean()),
        "kl": float(terms.kl.mean()),
        "nll": float(nll.mean()),
        "nll_interval": _interval(nll),
        "nll_k": samples,
        "nll_images": len(nll),
        "bits_per_dim": float(nll.mean()) / (math.prod(vae.image_shape) * math.log(2)),
    }


def _interval(values: np.ndarray) -> list[float] | None:
    return list(metrics.bootstrap_interval(values)) if len(values) > 1 else None


def _per_class(terms: ImageBounds, labels: np.ndarray | None) -> list[dict[str, Any]]:
    if labels is None:
        return []
    found = []
    for label in np.unique(labels[labels >= 0]):
        rows = labels == label
        reconstruction, kl = float(terms.reconstruction[rows].mean()), float(terms.kl[rows].mean())
        found.append(
            {
                "label": int(label),
                "images": int(rows.sum()),
                "elbo": -(reconstruction + kl),
                "reconstruction": reconstruction,
                "kl": kl,
                "nll": -float(terms.bound[rows].mean()),
            }
        )
    return found


def _refined(
    vae: VAE, bits: np.ndarray, terms: ImageBounds, steps: int, samples: int, seed: int, progress: bool
) -> dict[str, Any]:
    """Measure the gain of posteriors fitted to each image: the amortisation gap (Cremer et al. 2018)."""
    chosen = evenly_spaced(REFINED_IMAGES, len(bits))
    images = bits[chosen]
    posteriors = refine_posteriors(vae, images, steps, seed=seed, indices=chosen, progress=progress)
    # The noise belongs to the images, so the encoder's posteriors were measured with the same noise.
    after = image_bounds(vae, images, samples, seed, chosen, progress, posteriors=posteriors)
    elbo, refined = -(terms.reconstruction + terms.kl)[chosen], -(after.reconstruction + after.kl)
    return {
        "steps": steps,
        "images": len(images),
        "elbo": float(refined.mean()),
        "elbo_before": float(elbo.mean()),
        "amortisation_gap": float((refined - elbo).mean()),
        "amortisation_gap_interval": _interval(refined - elbo),
        "nll": -float(after.bound.mean()),
        "nll_before": -float(terms.bound[chosen].mean()),
    }


def _annealed(vae: VAE, bits: np.ndarray, seed: int, progress: bool) -> dict[str, Any]:
    """Estimate the likelihood of some images by annealing and by importance sampling."""
    chosen = evenly_spaced(AIS_IMAGES, len(bits))
    images = bits[chosen]
    nll = -annealed_likelihood(
        vae, images, AIS_CHAINS, AIS_TEMPERATURES, seed=seed, indices=chosen, progress=progress
    )
    other = -image_bounds(vae, images, AIS_DRAWS, seed, chosen, progress).bound
    return {
        "images": len(images),
        "chains": AIS_CHAINS,
        "temperatures": AIS_TEMPERATURES,
        "nll": float(nll.mean()),
        "interval": _interval(nll),
        "is_nll": float(other.mean()),
        "is_interval": _interval(other),
        "is_k": AIS_DRAWS,
        "difference": float((nll - other).mean()),
        "difference_interval": _interval(nll - other),
    }
