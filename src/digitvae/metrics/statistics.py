"""Confidence intervals of means over test images."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from digitvae.metrics._checks import Floats, as_floats, check_count, check_equal


def bootstrap_interval(
    values: npt.ArrayLike, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean over images (Efron & Tibshirani 1993, chapter 13).

    The same seed and number of images resample the same images, whatever the values are.

    Args:
        values: real (n,), one number per image, n at least 2.
        resamples: number of times n images are drawn with replacement.
        level: coverage of the interval, between 0 and 1.
        seed: of the draws.

    Returns:
        The lower and the upper end, in the unit of the values.

    Raises:
        ValueError: fewer than 2 values, values that are not finite, no resample, or a level outside (0, 1).
    """
    sample = as_floats(values, "values", ndim=1, at_least=2)
    check_count(resamples, 1, None, "resamples")
    if not 0 < level < 1:
        raise ValueError(f"Expected level between 0 and 1. Received: level={level}")
    # Sums of deviations from the mean lose fewer digits than sums of large values of one sign.
    centre = sample.mean()
    deviations = sample - centre
    count, generator = len(sample), np.random.default_rng(seed)
    means = [deviations[generator.integers(count, size=count)].mean() for _ in range(resamples)]
    low, high = centre + np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_difference(a: npt.ArrayLike, b: npt.ArrayLike) -> tuple[float, float, float]:
    """Return the mean of a - b over images with its 95% paired bootstrap interval.

    Both are resampled with the same images. What makes an image easy or hard for both models cancels, so the
    interval is much narrower than two separate ones suggest.

    Args:
        a: real (n,), one number per image.
        b: real (n,), another number of the same image.

    Returns:
        The mean difference, the lower and the upper end of its interval, in the unit of the values.

    Raises:
        ValueError: numbers of values that differ, and whatever `bootstrap_interval` rejects.
    """
    first, second = as_floats(a, "a", ndim=1, at_least=2), as_floats(b, "b", ndim=1, at_least=2)
    check_equal(len(first), len(second), "a and b with the same number of images")
    difference = first - second
    return float(difference.mean()), *bootstrap_interval(difference)


def regression_estimate(
    values: Floats, controls: Floats, every_control: Floats
) -> tuple[float, list[float] | None]:
    """Estimate a mean over all images from some, with a quantity known of all as control variate.

    The regression estimator of survey sampling (Cochran 1977, chapter 7): an easy subset has easy controls,
    and the luck of the subset cancels as far as values and controls are correlated.

    Args:
        values: of the chosen images, (m,).
        controls: of the same images, (m,).
        every_control: of all images, (n,).

    Returns:
        The estimate, and the 95% interval of the mean over all images; None where fewer than three images,
        or all of them, were measured.
    """
    count, total = len(values), len(every_control)
    if count == total or count < 3:
        return float(values.mean()), None
    slope = np.cov(values, controls)[0, 1] / max(float(controls.var(ddof=1)), 1e-12)
    estimate = float(values.mean() + slope * (every_control.mean() - controls.mean()))
    residuals = values - values.mean() - slope * (controls - controls.mean())
    error = math.sqrt((1 - count / total) / count * float(np.square(residuals).sum()) / (count - 2))
    return estimate, [estimate - 1.96 * error, estimate + 1.96 * error]
