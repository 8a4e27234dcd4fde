from __future__ import annotations

import math

import numpy as np
import pytest
from prdc import compute_prdc
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist
from scipy.stats import ortho_group

from digitvae.metrics import (
    _distances,
    class_balance,
    confidence,
    frechet_distance,
    kernel_distance,
    memorisation,
    nearest_neighbours,
    precision_recall_density_coverage,
    samples,
)


@pytest.fixture
def features() -> tuple[np.ndarray, np.ndarray]:
    """Correlated features of two sets that overlap in part, far from the origin."""
    generator = np.random.default_rng(0)
    mix = generator.normal(size=(8, 8))
    a, b = generator.normal(size=(700, 8)) @ mix, 0.8 * generator.normal(size=(600, 8)) @ mix + 0.7
    return 50 + a, 50 + b


# -- Frechet distance --


def test_frechet_distance_is_that_of_the_matrix_square_root(features):
    a, b = features
    covariance_a, covariance_b = np.cov(a.T), np.cov(b.T)
    expected = np.square(a.mean(0) - b.mean(0)).sum()
    expected += np.trace(covariance_a + covariance_b - 2 * sqrtm(covariance_a @ covariance_b).real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_in_one_dimension_by_hand():
    # Means 0 and 5, standard deviations sqrt(2) and 3 sqrt(2).
    assert frechet_distance([[-1.0], [1.0]], [[2.0], [8.0]]) == pytest.approx(25 + 8)


def test_frechet_distance_of_singular_covariances():
    a = np.random.default_rng(0).normal(size=(40, 3))
    wide = np.pad(a, ((0, 0), (0, 2)))
    shifted = wide + np.array([0, 0, 0, 2.0, 0])
    assert frechet_distance(wide, 3 * shifted) == pytest.approx(frechet_distance(a, 3 * a) + 36, rel=1e-12)
    assert frechet_distance(wide, wide) == pytest.approx(0, abs=1e-12)
    # Fewer rows than features.
    assert frechet_distance(wide[:3], wide[:3] + 1) == pytest.approx(5, rel=1e-12)


def test_frechet_distance_is_symmetric_and_knows_no_directions(features):
    a, b = features
    turn = ortho_group.rvs(8, random_state=0)
    expected = frechet_distance(a, b)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance((a - 7) @ turn, (b - 7) @ turn) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(2 * a, 2 * b) == pytest.approx(4 * expected, rel=1e-9)


def test_frechet_distance_is_not_negative():
    generator = np.random.default_rng(0)
    for _ in range(30):
        points = generator.normal(size=(20, 5))
        # 0 but for rounding, which has either sign.
        assert 0 <= frechet_distance(points, points[::-1]) < 1e-12


# -- kernel distance --


def test_kernel_distance_of_whole_sets_is_the_sum_over_pairs():
    a, b = np.random.default_rng(0).normal(size=(2, 7, 3))
    b += 0.5

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return (float(x @ y) / 3 + 1) ** 3

    within = sum(kernel(p[i], p[j]) for p in (a, b) for i in range(7) for j in range(7) if i != j) / 42
    between = sum(kernel(x, y) for x in a for y in b) / 49
    mean, deviation = kernel_distance(a, b, subsets=3, subset_size=7)
    assert mean == pytest.approx(within - 2 * between, rel=1e-9)
    assert deviation == pytest.approx(0, abs=1e-12)  # the whole set is the only subset


def test_kernel_distance_is_unbiased():
    x, y = np.random.default_rng(0).normal(size=(2, 3000, 4))
    mean, deviation = kernel_distance(x, y, subsets=200, subset_size=30)
    assert abs(mean) < 5 * deviation / math.sqrt(200)
    far, _ = kernel_distance(x, y + 0.5, subsets=200, subset_size=30)
    # The biased estimate would lie above 0 by about this much.
    assert far > 0.05 > abs(mean)


def test_kernel_distance_is_seeded(features):
    settings = {"subsets": 4, "subset_size": 50}
    assert kernel_distance(*features, **settings, seed=1) == kernel_distance(*features, **settings, seed=1)
    assert kernel_distance(*features, **settings, seed=1) != kernel_distance(*features, **settings, seed=2)


# -- precision, recall, density, coverage --


@pytest.mark.parametrize("neighbours", [1, 5, 300])
@pytest.mark.parametrize("entries", [1 << 22, 999, 1])
def test_equals_the_prdc_package(monkeypatch, features, neighbours, entries):
    monkeypatch.setattr(_distances, "_ENTRIES", entries)
    expected = compute_prdc(*features, nearest_k=neighbours)
    found = precision_recall_density_coverage(*features, neighbours=neighbours)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert 0 < value < 1.5  # no number is trivial here
        assert value == pytest.approx(expected[name], abs=1e-9)


def test_prdc_on_a_line_by_hand():
    # With k = 1 the radii of the real balls are 1, 1 and 6, of the fake ones 4, 4 and 94.5.
    real = np.array([[0.0], [1.0], [7.0]])
    fake = np.array([[1.5], [5.5], [100.0]])
    found = precision_recall_density_coverage(real, fake, neighbours=1)
    # The ball of 0 holds no fake point, that of 1 holds 1.5, that of 7 holds 1.5 and 5.5.
    assert found["precision"] == pytest.approx(2 / 3)
    assert found["density"] == pytest.approx(3 / 3)
    assert found["coverage"] == pytest.approx(2 / 3)
    # Every real point is nearer than 4 to 1.5 or 5.5.
    assert found["recall"] == 1


def test_prdc_balls_do_not_hold_their_surface():
    inner, outer = np.array([[0.0], [2.0]]), np.array([[-2.0], [4.0]])
    found = precision_recall_density_coverage(inner, outer, neighbours=1)
    assert found == {"precision": 0, "recall": 1, "density": 0, "coverage": 0}
    found = precision_recall_density_coverage(outer, inner, neighbours=1)
    assert found == {"precision": 1, "recall": 0, "density": 2, "coverage": 1}


def test_prdc_of_equal_sets_is_perfect():
    points = np.random.default_rng(0).normal(size=(80, 5))
    found = precision_recall_density_coverage(points, points)
    assert found == {"precision": 1, "recall": 1, "density": 1, "coverage": 1}


def test_prdc_tells_lost_variety_from_lost_realism():
    generator = np.random.default_rng(0)
    real = np.concatenate([generator.normal(size=(100, 3)), 30 + generator.normal(size=(100, 3))])
    one_mode = precision_recall_density_coverage(real, generator.normal(size=(200, 3)))
    assert one_mode["precision"] > 0.8
    assert one_mode["recall"] < 0.55
    assert one_mode["coverage"] < 0.55
    noise = precision_recall_density_coverage(real, 100 + generator.normal(size=(200, 3)))
    assert noise == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}


def test_inputs_are_left_alone(features):
    a, b = (points.copy() for points in features)
    precision_recall_density_coverage(a, b)
    frechet_distance(a, b)
    np.testing.assert_array_equal((a[0], b[0]), (features[0][0], features[1][0]))


# -- class probabilities --


def test_class_balance_counts_the_most_probable_class():
    rows = np.array([[0.6, 0.4, 0.0], [0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.5, 0.3, 0.2]])
    found = class_balance(rows)
    np.testing.assert_array_equal(found["fractions"], [0.75, 0.25, 0])
    assert found["entropy"] == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    assert found["total_variation"] == pytest.approx(0.75 - 1 / 3)
    assert class_balance(rows, [0.5, 0.25, 0.25])["total_variation"] == pytest.approx(0.25)


def test_class_balance_of_all_and_of_one_class():
    even, one = class_balance(np.eye(10)), class_balance(np.eye(10)[[3, 3]])
    assert even["entropy"] == pytest.approx(math.log(10))
    assert even["total_variation"] == pytest.approx(0, abs=1e-15)
    assert math.copysign(1, one["entropy"]) == 1
    assert one["entropy"] == 0
    assert one["total_variation"] == pytest.approx(0.9)


def test_confidence_is_of_the_largest_probability():
    rows = np.array([[0.95, 0.05], [0.1, 0.9], [0.5, 0.5]])
    assert confidence(rows) == {"mean": pytest.approx(2.35 / 3), "share_confident": pytest.approx(1 / 3)}


# -- pixels --


@pytest.mark.parametrize("block", [2000, 70])
def test_nearest_neighbours_are_those_of_all_pairs(monkeypatch, make_images, block):
    monkeypatch.setattr(samples, "_BLOCK_IMAGES", block)
    queries, train = make_images(8), make_images(900, seed=1)
    expected = cdist(queries.reshape(8, -1) / 255, train.reshape(900, -1) / 255)
    indices, distances = nearest_neighbours(queries, train)
    np.testing.assert_allclose(distances, expected.min(axis=1), rtol=1e-12)
    np.testing.assert_array_equal(indices, expected.argmin(axis=1))


def test_a_copy_is_at_distance_zero(make_images):
    train = make_images(50, 28, 28)
    indices, distances = nearest_neighbours(train[[41, 7]], train)
    np.testing.assert_array_equal(indices, [41, 7])
    np.testing.assert_array_equal(distances, [0, 0])


def test_distances_are_exact_to_one_grey_level():
    train = np.full((5, 28, 28), 250, np.uint8)
    for count, image in enumerate(train):
        image[0, :count] -= 1
    for count in range(5):
        indices, distances = nearest_neighbours(train[:1], train[count:])
        np.testing.assert_array_equal(indices, [0])
        np.testing.assert_array_equal(distances, [np.sqrt(count) / 255])


@pytest.fixture
def make_blobs():
    """Return a maker of smooth pictures that all differ."""

    def make(count: int, seed: int) -> np.ndarray:
        generator = np.random.default_rng(seed)
        y, x = generator.uniform(2, 6, (2, count, 1, 1))
        grid = np.arange(8)
        square = (grid[:, None] - y) ** 2 + (grid[None, :] - x) ** 2
        return (255 * np.exp(-square / 4) * generator.uniform(0.7, 1, (count, 1, 1))).astype(np.uint8)

    return make


def test_fresh_images_are_not_memorised(make_blobs):
    found = memorisation(make_blobs(400, 0), make_blobs(400, 1), make_blobs(400, 2))
    assert found["median_ratio"] == pytest.approx(1, abs=0.1)
    assert found["share_closer"] == pytest.approx(0.01, abs=0.015)
    assert found["train_preference"] == pytest.approx(0, abs=0.15)


def test_copies_are_memorised(make_blobs):
    train = make_blobs(300, 2)
    found = memorisation(train[::3], make_blobs(200, 1), train)
    assert found == {"median_ratio": 0, "share_closer": 1, "train_preference": pytest.approx(1)}
    half = memorisation(np.concatenate([train[:100], make_blobs(100, 5)]), make_blobs(200, 1), train)
    assert half["share_closer"] == pytest.approx(0.5, abs=0.03)
    assert half["train_preference"] == pytest.approx(0.5, abs=0.15)


def test_smoothness_alone_shows_no_preference(make_images):
    train, test, fresh = (make_images(200, seed=seed) for seed in range(3))
    found = memorisation((fresh // 2) + 64, test, train)
    assert found["median_ratio"] < 0.9
    assert found["train_preference"] == pytest.approx(0, abs=0.25)


def test_copies_of_images_in_both_sets_prefer_neither(make_images):
    both, train, test = make_images(10), make_images(30, seed=1), make_images(20, seed=2)
    found = memorisation(both, np.concatenate([test, both]), np.concatenate([train, both]))
    assert found["train_preference"] == pytest.approx(0)


# -- refusals --


@pytest.mark.parametrize(
    ("fake", "parts"),
    [
        (np.zeros((9, 3)), ("4 and 3",)),
        (np.zeros(9), ("(n, d)", "(9,)")),
        (np.full((9, 4), np.nan), ("finite", "36 of 36")),
        (np.zeros((1, 4)), ("at least 2", "1")),
    ],
)
@pytest.mark.parametrize(
    "measure",
    [frechet_distance, lambda a, b: kernel_distance(a, b, subset_size=2), precision_recall_density_coverage],
)
def test_bad_features_are_refused(refused, measure, fake, parts):
    real = np.random.default_rng(0).normal(size=(9, 4))
    with refused(*parts):
        measure(real, fake)
    with refused(*(part if part != "4 and 3" else "3 and 4" for part in parts)):
        measure(fake, real)


def test_bad_settings_are_refused(refused, features, make_images):
    a, b = features
    with refused("subset_size", "600", "subset_size=1000"):
        kernel_distance(a, b)
    with refused("subsets=0"):
        kernel_distance(a, b, subsets=0)
    for neighbours in (0, 600):
        with refused("neighbours", "599", f"neighbours={neighbours}"):
            precision_recall_density_coverage(a, b, neighbours)


@pytest.mark.parametrize("measure", [class_balance, confidence])
@pytest.mark.parametrize(
    ("rows", "part"),
    [
        (np.array([[0.5, 0.6]]), "1.1"),
        (np.array([[1.5, -0.5]]), "-0.5"),
        (np.ones((3, 1)), "(3, 1)"),
        (np.array([[np.nan, 1.0]]), "NaN"),
        (np.zeros((0, 10)), "0"),
    ],
)
def test_what_are_not_probabilities_is_refused(refused, measure, rows, part):
    with refused("probabilities", part):
        measure(rows)


@pytest.mark.parametrize("reference", [[0.5, 0.5], [0.5, 0.6, 0.2], [1.5, -0.5, 0.0]])
def test_bad_reference_is_refused(refused, reference):
    with refused("reference", "3 fractions"):
        class_balance(np.eye(3), reference)


def test_images_that_do_not_fit_together_are_refused(refused, make_images):
    images = make_images(5)
    with refused("(13, 11) and (9, 9)"):
        nearest_neighbours(images, make_images(5, 9, 9))
    with refused("uint8", "float64"):
        nearest_neighbours(images / 255, images)
    with refused("(0, 13, 11)"):
        memorisation(images, images[:0], images)
    with refused("half"):
        memorisation(images, images, images)
