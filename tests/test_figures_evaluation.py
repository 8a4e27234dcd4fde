"""The figures of an evaluation: what they draw, at the edges too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from digitvae import figures
from digitvae.figures import evaluation


def assert_nothing_cut(figure: Any) -> None:
    """Everything drawn lies on the figure, and nothing on the title."""
    figure.canvas.draw()
    boxes = [axes.get_tightbbox() for axes in figure.axes] + [
        legend.get_window_extent() for legend in figure.legends
    ]
    titles = [figure._suptitle.get_window_extent()] if figure._suptitle else []
    for box in boxes + titles:
        assert figure.bbox.x0 - 1 <= box.x0 < box.x1 <= figure.bbox.x1 + 1
        assert figure.bbox.y0 - 1 <= box.y0 < box.y1 <= figure.bbox.y1 + 1
    assert not any(title.overlaps(box) for title in titles for box in boxes)


def texts(figure: Any) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


@pytest.mark.parametrize("k", [[1], [5], [1, 2], [1, 10, 100, 128], [1, 10, 100, 1000, 5000]])
@pytest.mark.parametrize("elbo", [None, -86.4, 1500.25, float("nan")])
def test_nll_curve(k: list[int], elbo: float | None) -> None:
    nll = 86.4 - np.log(k)
    figure = figures.nll_curve(k, nll, elbo)
    axes = figure.axes[0]
    curve = axes.lines[-1]
    np.testing.assert_array_equal(curve.get_xdata(), k)
    np.testing.assert_allclose(curve.get_ydata(), nll)
    assert f"{nll[-1]:,.2f}" in texts(figure)
    drawn = [np.asarray(line.get_ydata())[0] for line in axes.lines[:-1]]
    assert drawn == ([] if elbo is None or elbo != elbo else [-elbo])
    assert axes.get_xscale() == "log"
    assert_nothing_cut(figure)


@pytest.mark.parametrize(
    ("k", "nll"),
    [([], []), ([1, 2], [1.0]), ([0, 1], [2.0, 1.0]), ([2, 1], [2.0, 1.0]), ([1], [float("nan")]), (1, 2.0)],
)
def test_nll_curve_refuses(k: Any, nll: Any) -> None:
    with pytest.raises(ValueError, match="Expected"):
        figures.nll_curve(k, nll)


@pytest.mark.parametrize("count", [1, 2, 40, 300])
@pytest.mark.parametrize("used", [0, 1, "all"])
def test_nats_per_latent(count: int, used: int | str) -> None:
    many = count if used == "all" else min(int(used), count)
    values = np.r_[np.linspace(0.02, 3, many), np.linspace(-1e-4, 0.01, count - many)]
    np.random.default_rng(0).shuffle(values)
    figure = figures.nats_per_latent(values)
    axes = figure.axes[0]
    heights = [bar.get_height() for bar in axes.patches]
    np.testing.assert_array_equal(heights, np.sort(values)[::-1])
    assert axes.lines[0].get_xdata()[0] == many + 0.5
    assert texts(figure) == [f"{many} of {count} above 0.01 nats"]
    blue = [bar.get_facecolor() == axes.patches[0].get_facecolor() for bar in axes.patches]
    assert sum(blue) == (many or count)
    assert_nothing_cut(figure)


@pytest.mark.parametrize("values", [[], [[1.0]], [float("inf")], 3.0])
def test_nats_per_latent_refuses(values: Any) -> None:
    with pytest.raises(ValueError, match="Expected"):
        figures.nats_per_latent(values)


@pytest.mark.parametrize("latents", [[1], [1, 2, 40]])
def test_rate_distortion(latents: list[int]) -> None:
    mse = 0.06 / np.asarray(latents)
    figure = figures.rate_distortion(latents, mse, mse * 1.3)
    axes = figure.axes[0]
    assert len(axes.lines) == 2
    for line, errors in zip(axes.lines, (mse * 1.3, mse), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), latents)
        np.testing.assert_array_equal(line.get_ydata(), errors)
    assert axes.get_ylim()[0] == 0
    assert_nothing_cut(figure)


@pytest.mark.parametrize(
    "arguments",
    [
        ([], [], []),
        ([1, 2], [0.1], [0.1]),
        ([2, 1], [0.1, 0.1], [0.1, 0.1]),
        ([1, 2, 3], [0.1] * 3, [0.1] * 2),
        ([1], [float("nan")], [0.1]),
    ],
)
def test_rate_distortion_refuses(arguments: Any) -> None:
    with pytest.raises(ValueError, match="Expected"):
        figures.rate_distortion(*arguments)


@pytest.mark.parametrize("n", [1, 2, 500])
@pytest.mark.parametrize("classes", [None, 1, 10, 13, 70])
def test_latent_map(n: int, classes: int | None) -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(n, 2))
    labels = None if classes is None else np.arange(n) % classes
    figure = figures.latent_map(points, labels)
    shown = np.concatenate([found.get_offsets() for found in figure.axes[0].collections])
    np.testing.assert_array_equal(np.sort(shown, axis=0), np.sort(points, axis=0))
    if labels is None:
        assert figure.legends == []
    else:
        names = [text.get_text() for text in figure.legends[0].get_texts()]
        assert names == [str(name) for name in np.unique(labels)][:40]
    assert_nothing_cut(figure)


def test_latent_map_colours_follow_the_labels() -> None:
    points = np.random.default_rng(0).normal(size=(30, 2))
    figure = figures.latent_map(points, np.repeat([3, 7, 9], 10))
    [drawn] = figure.axes[0].collections
    colours = drawn.get_facecolors()
    assert len({tuple(colour) for colour in colours}) == 3
    assert [to_hex(colours[i]) for i in (0, 9, 10, 20, 29)] == [
        evaluation.COLOURS[i] for i in (0, 0, 1, 2, 2)
    ]
    assert len(set(evaluation.COLOURS)) == 10


@pytest.mark.parametrize("points", [[[0.0, 0.0], [0.0, 5.0]], [[1.0, 2.0]] * 5, [[0.0, 0.0], [9.0, 0.0]]])
def test_latent_map_of_no_extent(points: Any) -> None:
    assert_nothing_cut(figures.latent_map(points))


@pytest.mark.parametrize(
    "arguments",
    [(np.zeros((0, 2)),), (np.zeros((3, 3)),), (np.full((2, 2), np.nan),), (np.zeros((3, 2)), [1, 2])],
)
def test_latent_map_refuses(arguments: Any) -> None:
    with pytest.raises(ValueError, match="Expected"):
        figures.latent_map(*arguments)


@pytest.mark.parametrize("n", [1, 10, 23])
def test_neighbours_stand_below_their_samples(tmp_path: Path, n: int) -> None:
    rng = np.random.default_rng(0)
    above, below = rng.integers(0, 250, (2, n, 9, 13), dtype=np.uint8)
    figure = figures.neighbours(above, below)
    figures.save(figure, tmp_path / "neighbours.png")
    with Image.open(tmp_path / "neighbours.png") as image:
        assert image.format == "PNG"
    mosaic = np.asarray(figure.axes[0].images[0].get_array())[..., 0]
    centres = figure.axes[0].get_yticks() + 0.5
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert names == ["sample", "nearest"] * -(-n // 10)
    zoom = int((centres[1] - centres[0]) // 9)
    abreast = -(-n // (len(centres) // 2))
    for i, centre in enumerate(centres):
        images = (above, below)[i % 2][i // 2 * abreast : (i // 2 + 1) * abreast]
        line = mosaic[int(centre - 4.5 * zoom) : int(centre + 4.5 * zoom)][::zoom]
        starts = [
            x
            for x in range(line.shape[1] - 13 * zoom + 1)
            for image in images
            if (line[:, x : x + 13 * zoom : zoom] == image).all()
        ]
        # Each pixel is enlarged, so that a tile may be found at the columns of its first pixel.
        assert len({x // (13 * zoom) for x in starts}) == len(images)


def test_neighbours_refuses_other_shapes() -> None:
    with pytest.raises(ValueError, match="nearest"):
        figures.neighbours(np.zeros((3, 9, 9), np.uint8), np.zeros((2, 9, 9), np.uint8))


@pytest.mark.parametrize("title", ["", "word " * 60, "$x_0.npy"])
def test_titles_fit(title: str) -> None:
    assert_nothing_cut(figures.nats_per_latent([1.0], title=title))
    assert_nothing_cut(figures.latent_map([[0.0, 1.0], [1.0, 0.0]], [0, 1], title=title))
