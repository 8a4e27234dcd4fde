"""Metrics of the latents: how many are used, what they say about labels, how well they match the prior."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

from digitvae.metrics._checks import Floats, Indices, as_floats, as_labels, as_two_sets, check_count
from digitvae.metrics._distances import distance_blocks


def active_units(means: npt.ArrayLike, threshold: float = 0.01) -> int:
    """Count the latents whose posterior mean depends on the image (Burda et al. 2016, section 5.2).

    Args:
        means: real (n, d), the posterior mean E[z|x] of n images, n at least 2.
        threshold: variance over the images above which a latent is active.

    Returns:
        From 0 to d.

    Raises:
        ValueError: fewer than 2 images, or means that are not finite or not (n, d).
    """
    # Var_x(E[z|x]) > threshold
    return int((as_floats(means, "means", at_least=2).var(axis=0) > threshold).sum())


def linear_probe(
    train_latents: npt.ArrayLike,
    train_labels: npt.ArrayLike,
    test_latents: npt.ArrayLike,
    test_labels: npt.ArrayLike,
) -> float:
    """Return the test accuracy of multinomial logistic regression on standardised latents.

    Args:
        train_latents: real (n, d).
        train_labels: integers (n,), at least two different ones.
        test_latents: real (m, d).
        test_labels: integers (m,).

    Returns:
        Share of the test images that are classified correctly.

    Raises:
        ValueError: shapes that do not fit together, values that are not finite, or one class alone.
    """
    train, classes, test, truth = _labelled(train_latents, train_labels, test_latents, test_labels)
    if len(np.unique(classes)) < 2:
        raise ValueError(f"Expected train_labels of at least 2 classes. Received: all are {classes[0]}")
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return float(probe.fit(train, classes).score(test, truth))


def knn_accuracy(
    train_latents: npt.ArrayLike,
    train_labels: npt.ArrayLike,
    test_latents: npt.ArrayLike,
    test_labels: npt.ArrayLike,
    neighbours: int = 5,
) -> float:
    """Return the test accuracy of a vote among the nearest training latents.

    Distances are Euclidean, without standardisation, which would amplify the noise of inactive latents.

    Args:
        train_latents: real (n, d).
        train_labels: integers (n,).
        test_latents: real (m, d).
        test_labels: integers (m,).
        neighbours: how many vote, at most n; ties go to the smallest label.

    Returns:
        Share of the test images that are classified correctly.

    Raises:
        ValueError: shapes that do not fit together, values that are not finite, or too many neighbours.
    """
    train, classes, test, truth = _labelled(train_latents, train_labels, test_latents, test_labels)
    check_count(neighbours, 1, len(train), "neighbours")
    from sklearn.neighbors import KNeighborsClassifier

    vote = KNeighborsClassifier(neighbours, algorithm="brute")
    return float(vote.fit(train, classes).score(test, truth))


def clustering_accuracy(latents: npt.ArrayLike, labels: npt.ArrayLike, seed: int = 0) -> float:
    """Return the accuracy of k-means as a classifier, with as many clusters as classes.

    Args:
        latents: real (n, d).
        labels: integers (n,).
        seed: of k-means, of whose 10 starts the best counts.

    Returns:
        Share of points in the cluster of their class, under the best one-to-one assignment of clusters to
        classes.

    Raises:
        ValueError: shapes that do not fit together or values that are not finite.
    """
    points = as_floats(latents, "latents")
    classes = as_labels(labels, len(points), "labels")
    from scipy.optimize import linear_sum_assignment
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics.cluster import contingency_matrix

    with warnings.catch_warnings():
        # A collapsed posterior has fewer distinct points than classes; the accuracy shows that by itself.
        warnings.simplefilter("ignore", ConvergenceWarning)
        clusters = KMeans(len(np.unique(classes)), n_init=10, random_state=seed).fit_predict(points)
    counts = contingency_matrix(classes, clusters)
    return float(counts[linear_sum_assignment(counts, maximize=True)].sum() / len(points))


def map_2d(latents: npt.ArrayLike, points: int = 2000) -> tuple[Floats, Indices]:
    """Project latents to two dimensions such that neighbours stay neighbours.

    By t-SNE (van der Maaten & Hinton 2008), which starts from the plane of largest variance. One or two
    latents are returned as they are.

    Args:
        latents: real (n, d).
        points: the largest number of points, evenly spaced over the n; t-SNE of 2,000 takes about 10 seconds.

    Returns:
        Positions float64 (m, 2), without a unit, and the rows int64 (m,) of the latents they belong to.

    Raises:
        ValueError: no point, or latents that are not finite or not (n, d).
    """
    check_count(points, 1, None, "points")
    chosen = as_floats(latents, "latents")
    indices = np.linspace(0, len(chosen), min(points, len(chosen)), endpoint=False).astype(np.int64)
    chosen = chosen[indices]
    if chosen.shape[1] <= 2:
        return np.pad(chosen, ((0, 0), (0, 2 - chosen.shape[1]))), indices
    plane = _principal_plane(chosen)
    spread = plane[:, 0].std()
    # Three points lie in a plane anyway, and constant latents have no neighbours to keep.
    if len(chosen) <= 3 or spread == 0:
        return plane, indices
    from sklearn.manifold import TSNE

    # A small start lets groups still pass through each other (Kobak & Berens 2019). From a given start
    # t-SNE draws nothing at random.
    tsne = TSNE(init=plane / spread * 1e-4, perplexity=min(30, (len(chosen) - 1) / 3))
    return tsne.fit_transform(chosen).astype(np.float64), indices


def aggregate_mismatch(latents_noise: npt.ArrayLike, seed: int = 0) -> dict[str, float]:
    """Measure how far the aggregate posterior is from the prior, in the prior's base noise u.

    Take one draw of q(z|x) for each test image. If together they follow the prior, they are standard normal
    when mapped to u. Posterior means cannot be used: they vary less than the prior even in a perfect model.

    Args:
        latents_noise: real (n, d), u of one posterior draw for each of n images, n above d.
        seed: of the standard normal draws to which u is compared.

    Returns:
        gaussian_kl: KL from the Gaussian with their mean and covariance to N(0, I), nats; infinite where u
            does not vary in some direction.
        energy_distance: 2 E|u - v| - E|u - u'| - E|v - v'| for as many standard normal v (Szekely & Rizzo
            2013); it is sensitive to every difference, not to those of mean and covariance alone.
        gaussian_kl_floor, energy_distance_floor: the same for n standard normal draws in place of u, the
            values of a perfect model.

    Raises:
        ValueError: not more rows than columns, or values that are not finite or not (n, d).
    """
    noise = as_floats(latents_noise, "latents_noise", at_least=2)
    count, dim = noise.shape
    if count <= dim:
        raise ValueError(f"Expected more rows than columns of latents_noise. Received: shape={noise.shape}")
    generator = np.random.default_rng(seed)
    normal, other = generator.standard_normal((2, count, dim))
    within = _mean_distance(normal, normal)

    def energy(points: Floats) -> float:
        return 2 * _mean_distance(points, normal) - _mean_distance(points, points) - within

    return {
        "gaussian_kl": _gaussian_kl(noise),
        "gaussian_kl_floor": _gaussian_kl(other),
        "energy_distance": energy(noise),
        "energy_distance_floor": energy(other),
    }


def _labelled(
    train_latents: npt.ArrayLike,
    train_labels: npt.ArrayLike,
    test_latents: npt.ArrayLike,
    test_labels: npt.ArrayLike,
) -> tuple[Floats, Indices, Floats, Indices]:
    train, test = as_two_sets(train_latents, test_latents, ("train_latents", "test_latents"))
    classes = as_labels(train_labels, len(train), "train_labels")
    return train, classes, test, as_labels(test_labels, len(test), "test_labels")


def _principal_plane(points: Floats) -> Floats:
    """Return the coordinates along the two directions of largest variance, (n, 2)."""
    centred = points - points.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    plane = directions[:, :-3:-1]
    # The sign of an eigenvector is arbitrary: make its largest component positive.
    largest = np.abs(plane).argmax(axis=0)
    coordinates: Floats = centred @ (plane * np.sign(plane[largest, [0, 1]]))
    return coordinates


def _gaussian_kl(noise: Floats) -> float:
    """Return KL(N(mean, covariance of the noise) || N(0, I)) in nats."""
    mean = noise.mean(axis=0)
    eigenvalues = np.linalg.eigvalsh(np.atleast_2d(np.cov(noise, rowvar=False, bias=True)))
    # Smaller eigenvalues are rounding errors, which the logarithm would turn into arbitrary numbers.
    if eigenvalues[0] <= eigenvalues[-1] * len(eigenvalues) * np.finfo(np.float64).eps:
        return float("inf")
    # KL = 1/2 (tr S + m.m - d - log det S); trace and determinant are sum and product of the eigenvalues
    return float(np.sum(eigenvalues - 1 - np.log(eigenvalues)) + mean @ mean) / 2


def _mean_distance(a: Floats, b: Floats) -> float:
    """Return the mean of |a_i - b_j| over all pairs."""
    return sum(float(np.sqrt(squares).sum()) for _, squares in distance_blocks(a, b)) / (len(a) * len(b))
