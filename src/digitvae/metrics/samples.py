"""Metrics of generated images: realism, variety, and whether they are copies.

Most take features of a classifier, (n, f), or its class probabilities, (n, classes); the last two take
pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from digitvae.metrics._checks import (
    Floats,
    Images,
    Indices,
    as_floats,
    as_images,
    as_two_sets,
    check_count,
    check_equal,
)
from digitvae.metrics._distances import distance_blocks

# A block of pixel distances is at most 2,000 x 2,000, and fewer where the images are large.
_BLOCK_IMAGES, _BLOCK_PIXELS = 2000, 1 << 22

_CONFIDENT = 0.9  # the classifier is confident where its largest probability is above this


def frechet_distance(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Return the squared Frechet distance of Gaussians fitted to two sets of features (Heusel et al. 2017).

    It equals the usual formula with the matrix square root, but never forms the covariances, so it stays
    accurate where these are singular (unused features, fewer rows than features).

    Args:
        a: real (n, f), n at least 2.
        b: real (m, f), m at least 2.

    Returns:
        At least 0, in squared units of the features.

    Raises:
        ValueError: shapes that do not fit together, too few rows, or values that are not finite.
    """
    first, second = as_two_sets(a, b, ("a", "b"), at_least=2)
    # |m_a - m_b|^2 + tr S_a + tr S_b - 2 tr (S_a S_b)^(1/2). With S = R'R, the eigenvalues of S_a S_b are the
    # squared singular values of R_a R_b': the last trace is the sum of these singular values.
    shift = first.mean(axis=0) - second.mean(axis=0)
    root_a, root_b = _covariance_root(first), _covariance_root(second)
    spread = np.square(root_a).sum() + np.square(root_b).sum()
    shared = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    return max(0.0, float(shift @ shift + spread - 2 * shared))


def kernel_distance(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the unbiased squared maximum mean discrepancy with a cubic kernel (Binkowski et al. 2018).

    Args:
        a: real (n, f).
        b: real (m, f).
        subsets: number of times a subset of each is drawn and compared.
        subset_size: rows per subset, drawn without replacement; at least 2, at most n and m.
        seed: of the draws.

    Returns:
        Mean and standard deviation over the subsets. The mean may be negative; its expectation is 0 for equal
        distributions.

    Raises:
        ValueError: shapes that do not fit together, too large a subset, or values that are not finite.
    """
    first, second = as_two_sets(a, b, ("a", "b"), at_least=2)
    check_count(subsets, 1, None, "subsets")
    check_count(subset_size, 2, min(len(first), len(second)), "subset_size")
    generator = np.random.default_rng(seed)
    values = np.empty(subsets)
    for index in range(subsets):
        x, y = (p[generator.choice(len(p), subset_size, replace=False)] for p in (first, second))
        # MMD^2 = mean_{i != j} [k(x_i, x_j) + k(y_i, y_j)] - 2 mean_{i, j} k(x_i, y_j)
        within = _kernel(x, x) + _kernel(y, y)
        pairs = subset_size * (subset_size - 1)
        values[index] = (within.sum() - within.trace()) / pairs - 2 * _kernel(x, y).mean()
    return float(values.mean()), float(values.std())


def precision_recall_density_coverage(
    real: npt.ArrayLike, fake: npt.ArrayLike, neighbours: int = 5
) -> dict[str, float]:
    """Measure realism and variety with balls around the points that reach to their k-th nearest neighbour.

    Precision and recall are those of Kynkaanniemi et al. (2019), density and coverage of Naeem et al. (2020).

    Args:
        real: real (n, f).
        fake: real (m, f).
        neighbours: k, below n and m.

    Returns:
        precision: share of fake points within a real point's ball.
        recall: share of real points within a fake point's ball.
        density: number of real balls around a fake point, divided by k; about 1 for equal distributions, and
            possibly larger.
        coverage: share of real points with a fake point in their ball.

    Raises:
        ValueError: shapes that do not fit together, too many neighbours, or values that are not finite.
    """
    truth, made = as_two_sets(real, fake, ("real", "fake"), at_least=2)
    check_count(neighbours, 1, min(len(truth), len(made)) - 1, "neighbours")
    # Distances do not depend on the origin, but their rounding errors do.
    centre = truth.mean(axis=0)
    truth -= centre
    made -= centre
    truth_radii, made_radii = (_squared_radii(points, neighbours) for points in (truth, made))
    balls = np.zeros(len(made), np.int64)
    recalled = covered = 0
    for rows, squares in distance_blocks(truth, made):
        recalled += int((squares < made_radii).any(axis=1).sum())
        within = squares < truth_radii[rows, None]
        covered += int(within.any(axis=1).sum())
        balls += within.sum(axis=0)
    return {
        "precision": float((balls > 0).mean()),
        "recall": recalled / len(truth),
        "density": float(balls.mean()) / neighbours,
        "coverage": covered / len(truth),
    }


def class_balance(probabilities: npt.ArrayLike, reference: npt.ArrayLike | None = None) -> dict[str, Any]:
    """Return the class distribution of samples, each assigned to its most probable class.

    Args:
        probabilities: real (n, classes), p(class | sample).
        reference: real (classes,), the fractions to compare with, such as those of the training set; equal
            ones by default.

    Returns:
        fractions: share of each class, float64 (classes,).
        entropy: of these fractions, nats; log(classes) if all are equal.
        total_variation: half the sum of the absolute differences to the reference, 0 to 1: the share of
            samples that would have to change class.

    Raises:
        ValueError: probabilities or reference that are negative or do not sum to 1, or of another shape.
    """
    rows = _probabilities(probabilities)
    count, classes = rows.shape
    if reference is None:
        expected = np.full(classes, 1 / classes)
    else:
        expected = as_floats(reference, "reference", ndim=1, at_least=2)
        if len(expected) != classes or expected.min() < 0 or abs(expected.sum() - 1) > 1e-3:
            raise ValueError(
                f"Expected reference as {classes} fractions that sum to 1. "
                f"Received: {len(expected)} of sum {expected.sum():g} and minimum {expected.min():g}"
            )
    fractions = np.bincount(rows.argmax(axis=1), minlength=classes) / count
    from scipy.stats import entropy

    return {
        "fractions": fractions,
        "entropy": float(entropy(fractions)),
        "total_variation": float(np.abs(fractions - expected).sum() / 2),
    }


def confidence(probabilities: npt.ArrayLike) -> dict[str, float]:
    """Return how confident the classifier is; blurred or malformed digits lower its confidence.

    Args:
        probabilities: real (n, classes), p(class | sample).

    Returns:
        mean: of each sample's largest probability.
        share_confident: share of the samples whose largest probability is above 0.9.

    Raises:
        ValueError: probabilities that are negative or do not sum to 1, or of another shape.
    """
    largest = _probabilities(probabilities).max(axis=1)
    return {"mean": float(largest.mean()), "share_confident": float((largest > _CONFIDENT).mean())}


def nearest_neighbours(samples: npt.ArrayLike, train: npt.ArrayLike) -> tuple[Indices, Floats]:
    """Find the training image nearest to each sample in pixel space, the first of several equally near.

    Args:
        samples: uint8 (n, height, width).
        train: uint8 (m, height, width).

    Returns:
        Rows of the training images, int64 (n,), and their distances, float64 (n,): the Euclidean norm over
        pixels in [0, 1], 0 for equal images.

    Raises:
        ValueError: arrays that are not images of one size.
    """
    queries, images = as_images(samples, "samples"), as_images(train, "train")
    check_equal(queries.shape[1:], images.shape[1:], "samples and train of one size in pixels")
    from sklearn.metrics.pairwise import euclidean_distances
    from sklearn.utils import gen_batches

    step = max(1, min(_BLOCK_IMAGES, _BLOCK_PIXELS // images[0].size))
    indices, squares = np.zeros(len(queries), np.int64), np.full(len(queries), np.inf)
    for rows in gen_batches(len(queries), step):
        block = _flat(queries[rows])
        for columns in gen_batches(len(images), step):
            # Grey levels are integers, for which the products and sums in float64 are exact.
            distances = euclidean_distances(block, _flat(images[columns]), squared=True)
            least = distances.min(axis=1)
            nearer = least < squares[rows]
            indices[rows] = np.where(nearer, distances.argmin(axis=1) + columns.start, indices[rows])
            squares[rows] = np.minimum(least, squares[rows])
    return indices, np.sqrt(squares) / 255


def memorisation(samples: npt.ArrayLike, test: npt.ArrayLike, train: npt.ArrayLike) -> dict[str, float]:
    """Measure whether samples are copies of training images, relative to test images.

    Smooth images are nearer to every other image than sharp ones are, copied or not. This changes the first
    two numbers in the same direction as copies do. It does not affect the third, which compares distances of
    the same sample.

    Args:
        samples: uint8 (n, height, width).
        test: uint8 (m, height, width), images that were not trained on.
        train: uint8 (l, height, width), those that were.

    Returns:
        median_ratio: median distance of samples to their nearest training image, divided by that of test
            images; about 1 for new images, 0 for copies.
        share_closer: share of samples that are closer to a training image than 99% of the test images are;
            about 0.01 for new images, 1 for copies.
        train_preference: how much more often than chance, l / (l + m), the nearest image of a sample among
            train and test is in train, scaled such that copies have 1; about 0 for new images.

    Raises:
        ValueError: arrays that are not images of one size, or test images that are training images.
    """
    made, held_out, seen = as_images(samples, "samples"), as_images(test, "test"), as_images(train, "train")
    made_to_seen, held_out_to_seen = (nearest_neighbours(images, seen)[1] for images in (made, held_out))
    median = float(np.median(held_out_to_seen))
    if median == 0:
        raise ValueError(
            "Expected test images that are not in train. Received: at least half of test is in train too"
        )
    made_to_held_out = nearest_neighbours(made, held_out)[1]
    chance = len(seen) / (len(seen) + len(held_out))
    # An image in both sets counts as chance has it.
    nearer = np.mean(made_to_seen < made_to_held_out) + chance * np.mean(made_to_seen == made_to_held_out)
    return {
        "median_ratio": float(np.median(made_to_seen)) / median,
        "share_closer": float(np.mean(made_to_seen < np.quantile(held_out_to_seen, 0.01))),
        "train_preference": float((nearer - chance) / (1 - chance)),
    }


def _covariance_root(points: Floats) -> Floats:
    """Return R (min(n, f), f) with R'R the unbiased covariance of the points."""
    root: Floats = np.linalg.qr((points - points.mean(axis=0)) / np.sqrt(len(points) - 1)).R
    return root


def _kernel(x: Floats, y: Floats) -> Floats:
    # k(x, y) = (x.y / f + 1)^3. Products are some ten times faster than a general power.
    base = x @ y.T / x.shape[1] + 1
    return base * base * base


def _squared_radii(points: Floats, neighbours: int) -> Floats:
    """Return each point's squared distance to its k-th nearest other point, (n,)."""
    # The nearest of all is the point itself.
    blocks = distance_blocks(points, points)
    return np.concatenate([np.partition(squares, neighbours)[:, neighbours].copy() for _, squares in blocks])


def _flat(images: Images) -> Floats:
    return images.reshape(len(images), -1).astype(np.float64)


def _probabilities(probabilities: npt.ArrayLike) -> Floats:
    rows = as_floats(probabilities, "probabilities")
    if rows.shape[1] < 2 or rows.min() < 0 or np.abs(rows.sum(axis=1) - 1).max() > 1e-3:
        raise ValueError(
            "Expected probabilities (n, classes) whose rows sum to 1. "
            f"Received: shape={rows.shape}, minimum={rows.min():g}, "
            f"sums from {rows.sum(axis=1).min():g} to {rows.sum(axis=1).max():g}"
        )
    return rows
