"""The figures: what the PNG files show, pixel by pixel, and how they behave without a screen."""

from __future__ import annotations

import gc
import io
import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from statistics import NormalDist

import matplotlib
import numpy as np
import pytest
from PIL import Image

import digitvae
from digitvae import figures
from digitvae.figures import output

LINES = [(58, 62, 68), (230, 159, 0), (255, 255, 255)]  # borders, frames of real digits, page
NAN = float("nan")


def noise_images(*shape: int) -> np.ndarray:
    """Random grey images that hold no white, so that they differ from the page."""
    return np.random.default_rng(0).integers(0, 250, shape, dtype=np.uint8)


def read(path: Path) -> np.ndarray:
    """Decode a PNG to RGB, all of it."""
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def runs(mask: np.ndarray) -> list[slice]:
    """Where a mask is true, run by run."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    return [slice(start, stop) for start, stop in edges.reshape(-1, 2)]


def shrink(tile: np.ndarray, height: int, width: int) -> np.ndarray:
    """Undo a whole enlargement and check that it was one."""
    zoom = tile.shape[0] // height
    small = tile[::zoom, ::zoom, 0]
    assert small.shape == (height, width)
    np.testing.assert_array_equal(tile, small.repeat(zoom, 0).repeat(zoom, 1)[..., None].repeat(3, 2))
    return small


def tiles_in(path: Path, height: int, width: int) -> np.ndarray:
    """Cut a picture at its border lines and give the tiles in reading order."""
    picture = read(path)
    border, frame, page = ((picture == colour).all(-1) for colour in LINES)
    rows, columns = np.nonzero(border | frame)
    box = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    mosaic, line = picture[box], (border | frame | page)[box]
    tiles = [
        shrink(mosaic[y, x], height, width)
        for y in runs(~line.all(axis=1))
        for x in runs(~line.all(axis=0))
        if not page[box][y, x].all()
    ]
    return np.stack(tiles)


def picture_of_axes(figure: matplotlib.figure.Figure, path: Path) -> np.ndarray:
    """Cut a picture to its axes."""
    picture = read(path)
    height, width = picture.shape[:2]
    box = figure.axes[0].get_position()
    return picture[
        round((1 - box.y1) * height) : round((1 - box.y0) * height),
        round(box.x0 * width) : round(box.x1 * width),
    ]


def assert_nothing_cut(figure: matplotlib.figure.Figure) -> None:
    """Everything drawn lies on the figure, and nothing on the title."""
    figure.canvas.draw()
    drawn = [axes.get_tightbbox() for axes in figure.axes]
    titles = [text.get_window_extent() for text in figure.texts if text.get_text().strip()]
    legends = [legend.get_window_extent() for legend in figure.legends]
    for box in drawn + titles + legends:
        assert figure.bbox.x0 - 0.01 <= box.x0 < box.x1 <= figure.bbox.x1 + 0.01
        assert figure.bbox.y0 - 0.01 <= box.y0 < box.y1 <= figure.bbox.y1 + 0.01
    for title in titles:
        assert not any(title.overlaps(box) for box in drawn + legends)


def history(epochs: int) -> dict[str, list[float]]:
    """A plausible run."""
    steps = np.arange(1, epochs + 1)
    columns = {"reconstruction": 62 + 60 * np.exp(-steps / 2.5), "kl": 25 - 8 * np.exp(-steps / 3)}
    columns["elbo"] = -columns["reconstruction"] - columns["kl"]
    validation = {f"val_{name}": values * 1.01 for name, values in columns.items()}
    rate = np.full(epochs, 2e-3)
    return {
        name: list(values)
        for name, values in {"epoch": steps, **columns, **validation, "learning_rate": rate}.items()
    }


# --- the digits ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dpi", [100, 150, 200])
@pytest.mark.parametrize(("height", "width"), [(28, 28), (9, 13)])
@pytest.mark.parametrize("n", [1, 7])
def test_samples_hold_every_pixel(tmp_path: Path, n: int, height: int, width: int, dpi: int) -> None:
    images = noise_images(n, height, width)
    figures.save(figures.samples(images), tmp_path / "samples.png", dpi)
    np.testing.assert_array_equal(tiles_in(tmp_path / "samples.png", height, width), images)


@pytest.mark.parametrize(
    ("n", "height", "width", "dpi"),
    [(100, 28, 28, 150), (400, 28, 28, 150), (400, 9, 13, 100), (5, 128, 128, 200)],
)
def test_many_or_large_samples_hold_every_pixel(
    tmp_path: Path, n: int, height: int, width: int, dpi: int
) -> None:
    images = noise_images(n, height, width)
    figures.save(figures.samples(images), tmp_path / "samples.png", dpi)
    np.testing.assert_array_equal(tiles_in(tmp_path / "samples.png", height, width), images)


@pytest.mark.parametrize(
    ("n", "height", "width"), [(100, 28, 28), (400, 28, 28), (100, 64, 24), (97, 28, 28)]
)
def test_many_samples_make_about_a_square(n: int, height: int, width: int) -> None:
    across, down = figures.samples(noise_images(n, height, width), "").get_size_inches()
    assert 0.8 < across / down < 1.3
    assert max(across, down) < 9.5


def test_resampled_pictures_keep_their_brightness(tmp_path: Path) -> None:
    # 128 x 128 pixels do not come out whole at 150 dpi: they are resampled, not dropped.
    images = np.zeros((1, 128, 128), np.uint8)
    images[0, ::2] = 200
    images = np.repeat(images, 100, axis=0)
    figure = figures.samples(images, "")
    figures.save(figure, tmp_path / "samples.png", dpi=60)
    picture = picture_of_axes(figure, tmp_path / "samples.png")
    assert picture.mean() == pytest.approx(100, abs=8)
    assert picture.max() < 180


def test_floats_and_bools_look_like_bytes(tmp_path: Path) -> None:
    images = noise_images(2, 8, 8)
    figures.save(figures.samples(images), tmp_path / "bytes.png")
    figures.save(figures.samples((images / 255).astype("float32")), tmp_path / "floats.png")
    np.testing.assert_array_equal(read(tmp_path / "bytes.png"), read(tmp_path / "floats.png"))
    figures.save(figures.samples(images > 99), tmp_path / "bools.png")
    figures.save(figures.samples((images > 99) * 1.0), tmp_path / "ones.png")
    np.testing.assert_array_equal(read(tmp_path / "bools.png"), read(tmp_path / "ones.png"))


@pytest.mark.parametrize("n", [1, 10, 25, 60])
def test_reconstructions_stand_below_their_originals(tmp_path: Path, n: int) -> None:
    originals, copies = noise_images(2 * n, 8, 8).reshape(2, n, 8, 8)
    figure = figures.reconstructions(originals, copies)
    figures.save(figure, tmp_path / "pairs.png", dpi=100)
    shown = tiles_in(tmp_path / "pairs.png", 8, 8)
    lines = len(figure.axes[0].get_yticks()) // 2
    across = -(-n // lines)
    expected = [
        np.concatenate([originals[first : first + across], copies[first : first + across]])
        for first in range(0, n, across)
    ]
    np.testing.assert_array_equal(shown, np.concatenate(expected))
    assert (lines == 1) == (n <= 10)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        "original",
        "reconstruction",
    ] * lines


@pytest.mark.parametrize(("rows", "steps"), [(1, 2), (3, 5)])
def test_interpolations_frame_the_real_ends(tmp_path: Path, rows: int, steps: int) -> None:
    images = noise_images(rows, steps, 28, 28)
    figure = figures.interpolations(images)
    figures.save(figure, tmp_path / "walks.png", dpi=100)
    np.testing.assert_array_equal(tiles_in(tmp_path / "walks.png", 28, 28), images.reshape(-1, 28, 28))
    assert [text.get_text() for text in figure.axes[0].texts] == ["start", "end"]
    # The accent colour touches the first and the last column and leaves a space to those between.
    framed = runs((read(tmp_path / "walks.png") == LINES[1]).all(-1).any(axis=0))
    assert len(framed) == 2


def test_latent_grid_grows_upwards_and_to_the_right(tmp_path: Path) -> None:
    images = noise_images(3, 3, 10, 8)
    figure = figures.latent_grid(images, [0.1, 0.5, 0.9], axes=(3, 17))
    figures.save(figure, tmp_path / "plane.png", dpi=100)
    seen = shrink(picture_of_axes(figure, tmp_path / "plane.png"), 30, 24)
    np.testing.assert_array_equal(seen, np.block([list(row) for row in images[::-1]]))
    assert "u_{3}" in figure.axes[0].get_ylabel()
    assert "u_{17}" in figure.axes[0].get_xlabel()


def test_latent_grid_ticks_name_the_noise() -> None:
    quantiles = np.linspace(0.02, 0.98, 21)
    axes = figures.latent_grid(noise_images(21, 21, 28, 28), quantiles).axes[0]
    height, width = (side / 21 for side in axes.images[0].get_size())
    for ticks, labels, size, flip in (
        (axes.get_xticks(), axes.get_xticklabels(), width, False),
        (axes.get_yticks(), axes.get_yticklabels(), height, True),
    ):
        names = [float(label.get_text().replace("\N{MINUS SIGN}", "-")) for label in labels]
        assert 0.0 in names
        assert min(names) < -1 < 1 < max(names)
        for place, name in zip(ticks, names, strict=True):
            # Undo: pixel -> tile -> probability -> noise.
            tile = (place + 0.5) / size - 0.5
            tile = 20 - tile if flip else tile
            probability = np.interp(tile, np.arange(21), quantiles)
            assert NormalDist().inv_cdf(probability) == pytest.approx(name, abs=0.05)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_small_latent_grids_have_ticks(size: int) -> None:
    quantiles = (np.arange(size) + 0.5) / size
    axes = figures.latent_grid(noise_images(size, size, 8, 8), quantiles).axes[0]
    assert len(axes.get_xticks()) == len(axes.get_yticks()) >= min(size, 2)


def test_latent_grid_of_one_coordinate_has_one_axis() -> None:
    axes = figures.latent_grid(noise_images(4, 4, 8, 8), [0.2, 0.4, 0.6, 0.8], axes=(0, 0)).axes[0]
    assert len(axes.get_yticks()) > 0
    assert len(axes.get_xticks()) == 0
    assert axes.get_xlabel() == ""


def test_label_grid_names_its_rows_downwards(tmp_path: Path) -> None:
    images = noise_images(3, 4, 10, 8)
    figure = figures.label_grid(images, ["zero", "", "one"], [0.1, 0.3, 0.7, 0.9], axis=5)
    figures.save(figure, tmp_path / "labels.png", dpi=100)
    seen = shrink(picture_of_axes(figure, tmp_path / "labels.png"), 30, 32)
    np.testing.assert_array_equal(seen, np.block([list(row) for row in images]))
    axes = figure.axes[0]
    height = axes.images[0].get_size()[0] / 3
    assert [label.get_text() for label in axes.get_yticklabels()] == ["zero", "one"]
    np.testing.assert_allclose((axes.get_yticks() + 0.5) / height, [0.5, 2.5])
    assert "u_{5}" in axes.get_xlabel()
    assert_nothing_cut(figure)


@pytest.mark.parametrize(
    ("names", "quantiles"), [(["0"], [0.2, 0.8]), (["0", "1"], [0.5]), (["0", "1"], [0.8, 0.2])]
)
def test_impossible_label_grids_are_refused(names: list[str], quantiles: list[float]) -> None:
    with pytest.raises(ValueError, match=r"^Expected .* Received: "):
        figures.label_grid(noise_images(2, 2, 8, 8), names, quantiles)


@pytest.mark.parametrize(("height", "width"), [(28, 28), (8, 128), (128, 8)])
@pytest.mark.parametrize(
    "title", ["", "Short", "A title of $many words_ that need several lines " * 3, "m" * 90, "a\nb"]
)
def test_nothing_is_cut(height: int, width: int, title: str) -> None:
    images = noise_images(4, 4, height, width)
    assert_nothing_cut(figures.samples(images[0], title))
    assert_nothing_cut(figures.reconstructions(images[0], images[0], title))
    assert_nothing_cut(figures.interpolations(images, title))
    assert_nothing_cut(figures.interpolations(images[:1, :2], title))
    assert_nothing_cut(figures.latent_grid(images, [0.05, 0.35, 0.65, 0.95], title=title))


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((28, 28), np.uint8),
        np.zeros((0, 28, 28), np.uint8),
        np.zeros((1, 28, 28, 1), np.uint8),
        np.zeros((1, 28, 28), np.int64),
        np.full((1, 28, 28), 1.5),
        np.full((1, 28, 28), -0.5),
        np.full((1, 28, 28), NAN),
    ],
)
def test_bad_images_are_refused(images: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"^Expected images .* Received: [^\n]*$"):
        figures.samples(images)


def test_a_long_title_fits_a_wide_figure() -> None:
    assert_nothing_cut(figures.samples(noise_images(64, 28, 28), "m" * 150))
    assert_nothing_cut(figures.samples(noise_images(400, 28, 28), "m" * 150))


def test_bad_shapes_and_quantiles_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one shape.*Received: originals"):
        figures.reconstructions(noise_images(2, 8, 8), noise_images(3, 8, 8))
    with pytest.raises(ValueError, match="Expected reconstructions"):
        figures.reconstructions(noise_images(2, 8, 8), np.full((2, 8, 8), NAN))
    with pytest.raises(ValueError, match="at least two steps"):
        figures.interpolations(noise_images(2, 1, 8, 8))
    with pytest.raises(ValueError, match="as many rows as columns"):
        figures.latent_grid(noise_images(2, 3, 8, 8), [0.2, 0.8])
    with pytest.raises(ValueError, match="one quantile for each"):
        figures.latent_grid(noise_images(2, 2, 8, 8), [0.2, 0.5, 0.8])
    for quantiles in ([0.8, 0.2], [0.0, 0.5], [0.5, 1.0], [0.5, NAN]):
        with pytest.raises(ValueError, match="increasing quantiles"):
            figures.latent_grid(noise_images(2, 2, 8, 8), quantiles)


# --- the curves ---------------------------------------------------------------------------------------------


def values_written(axes: matplotlib.axes.Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


@pytest.mark.parametrize("epochs", [1, 2, 10, 45])
def test_training_curves_show_the_last_values(epochs: int) -> None:
    columns = history(epochs)
    figure = figures.training_curves(columns)
    assert_nothing_cut(figure)
    for axes, key, sign in zip(figure.axes, ("elbo", "reconstruction", "kl"), (-1, 1, 1), strict=True):
        assert values_written(axes) == [f"{sign * columns[name][-1]:.2f}" for name in (key, f"val_{key}")]
        curve = axes.lines[0]
        np.testing.assert_allclose(curve.get_xdata(), columns["epoch"])
        np.testing.assert_allclose(curve.get_ydata(), sign * np.array(columns[key]))
        ticks = axes.get_xticks()
        assert len(ticks) > 0
        assert set(ticks) <= set(columns["epoch"])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["training", "validation"]


def test_training_curves_go_without_validation() -> None:
    columns = {name: values for name, values in history(5).items() if not name.startswith("val_")}
    figure = figures.training_curves(columns)
    assert [len(values_written(axes)) for axes in figure.axes] == [1, 1, 1]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["training"]


def test_training_curves_leave_out_what_is_not_finite(tmp_path: Path) -> None:
    columns = history(6)
    columns["elbo"][3:] = [float("-inf"), NAN, NAN]
    columns["val_elbo"][::2] = [NAN] * 3
    columns["kl"] = [NAN] * 6
    columns["val_kl"] = [NAN] * 6
    figure = figures.training_curves(columns)
    figures.save(figure, tmp_path / "curves.png")
    assert_nothing_cut(figure)
    assert values_written(figure.axes[0]) == [f"{-columns['elbo'][2]:.2f}", f"{-columns['val_elbo'][5]:.2f}"]
    assert list(figure.axes[0].lines[1].get_xdata()) == [2, 4, 6]
    assert values_written(figure.axes[2]) == ["no finite value"]


@pytest.mark.parametrize("title", ["", "Costs $5 and more " * 12, "m" * 200])
def test_any_title_fits_the_training_curves(title: str) -> None:
    assert_nothing_cut(figures.training_curves(history(12), title))


@pytest.mark.parametrize("apart", [0.0, 1e-9, 0.01, 5.0, -0.01])
def test_last_values_are_not_written_over_each_other(apart: float) -> None:
    columns = history(10)
    for key in ("elbo", "reconstruction", "kl"):
        columns[f"val_{key}"] = [value + apart for value in columns[key]]
    figure = figures.training_curves(columns)
    figure.canvas.draw()
    for axes in figure.axes:
        first, second = (text.get_window_extent() for text in axes.texts)
        assert not first.overlaps(second)


def test_bad_histories_are_refused() -> None:
    with pytest.raises(ValueError, match=r"columns \['kl'\]"):
        figures.training_curves({name: values for name, values in history(3).items() if name != "kl"})
    with pytest.raises(ValueError, match="at least one epoch"):
        figures.training_curves({name: [] for name in history(3)})
    with pytest.raises(ValueError, match="3 values in each column"):
        figures.training_curves({**history(3), "val_kl": [1.0]})


# --- files --------------------------------------------------------------------------------------------------


def test_saving_twice_gives_the_same_bytes_and_nothing_else(tmp_path: Path) -> None:
    images = noise_images(3, 8, 8)
    for name in ("a.png", "b.PNG"):
        figures.save(figures.samples(images), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.PNG").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.PNG"]
    with Image.open(tmp_path / "a.png") as image:
        assert "Software" not in image.info  # nor do they depend on the version of Matplotlib


@pytest.mark.parametrize("dpi", [72, 100, 200])
def test_dpi_sets_the_size(tmp_path: Path, dpi: int) -> None:
    figure = figures.training_curves(history(3))
    figures.save(figure, str(tmp_path / "curves.png"), dpi)
    with Image.open(tmp_path / "curves.png") as image:
        image.load()
        assert image.size == pytest.approx(figure.get_size_inches() * dpi, abs=1)


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_failing_while_writing_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    figure = figures.samples(noise_images(3, 8, 8))
    target = tmp_path / "samples.png"
    target.write_bytes(b"old")

    def half(buffer: io.BytesIO, **_: object) -> None:
        buffer.write(b"\x89PNG half")
        raise error

    monkeypatch.setattr(figure, "savefig", half)
    with pytest.raises(type(error)):
        figures.save(figure, target)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]
    with pytest.raises(type(error)):
        figures.save(figure, tmp_path / "new.png")
    assert list(tmp_path.iterdir()) == [target]


def test_bad_paths_are_refused(tmp_path: Path) -> None:
    figure = figures.samples(noise_images(1, 8, 8))
    with pytest.raises(ValueError, match=r"ends in \.png\. Received: path="):
        figures.save(figure, tmp_path / "samples.pdf")
    with pytest.raises(FileNotFoundError, match="folder that exists"):
        figures.save(figure, tmp_path / "nowhere" / "samples.png")
    assert list(tmp_path.iterdir()) == []


def test_settings_of_the_user_neither_matter_nor_change(tmp_path: Path) -> None:
    images = noise_images(3, 8, 8)
    figures.save(figures.samples(images), tmp_path / "plain.png")
    odd = {"text.usetex": True, "savefig.bbox": "tight", "axes.facecolor": "red", "image.origin": "lower"}
    with matplotlib.rc_context(odd):
        before = dict(matplotlib.rcParams)
        figures.save(figures.samples(images), tmp_path / "odd.png")
        figures.save(figures.training_curves(history(2)), tmp_path / "curves.png")
        assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "plain.png").read_bytes() == (tmp_path / "odd.png").read_bytes()


def test_figures_are_freed_and_unknown_to_pyplot(tmp_path: Path) -> None:
    import matplotlib.pyplot as plt

    figure = figures.samples(noise_images(1, 8, 8))
    figures.save(figure, tmp_path / "samples.png")
    assert plt.get_fignums() == []
    gone = weakref.ref(figure)
    del figure
    gc.collect()
    assert gone() is None


# --- the screen ---------------------------------------------------------------------------------------------

HEADLESS = """
import sys
import numpy as np
from digitvae import figures
assert not {"matplotlib", "keras"} & set(sys.modules)
figure = figures.samples(np.zeros((3, 8, 8), np.uint8))
figures.save(figure, sys.argv[1])
assert figures.output.window_backend() is None
figures.show([figure])
figures.save(figure, sys.argv[1])
"""


def run_python(
    code: str, *args: object, path: str = "", **variables: str | None
) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own; a variable that is None is taken away."""
    source = str(Path(digitvae.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [path, source]))}
    for name, value in {"DISPLAY": None, "WAYLAND_DISPLAY": None, "MPLBACKEND": None, **variables}.items():
        environment.pop(name, None)
        if value is not None:
            environment[name] = value
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *map(str, args)],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="there the screen has no variable")
@pytest.mark.parametrize("backend", [None, "", "nonsense", "TkAgg", "agg", "module://nothing"])
@pytest.mark.parametrize("display", [None, "127.0.0.1:4000"])
def test_no_screen_means_no_windows_but_files(
    tmp_path: Path, backend: str | None, display: str | None
) -> None:
    done = run_python(HEADLESS, tmp_path / "samples.png", MPLBACKEND=backend, DISPLAY=display)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert read(tmp_path / "samples.png").size


def test_a_bad_backend_stays_in_the_environment() -> None:
    code = (
        "import os; from digitvae import figures; figures.load_matplotlib(); print(os.environ['MPLBACKEND'])"
    )
    done = run_python(code, MPLBACKEND="nonsense")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "nonsense", "")


def test_a_good_backend_is_kept() -> None:
    code = "import matplotlib; print(matplotlib.get_backend())"
    done = run_python(f"from digitvae import figures; figures.load_matplotlib(); {code}", MPLBACKEND="svg")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "svg", "")


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that there is a screen, as far as the environment tells."""
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    monkeypatch.setattr(matplotlib, "get_backend", lambda auto_select=True: "tkagg")
    output._probe.cache_clear()


def answer(monkeypatch: pytest.MonkeyPatch, result: str | Exception) -> list[object]:
    """Replace the process that tries a backend, and count how often it starts."""
    calls: list[object] = []

    def run(*args: object, **_: object) -> subprocess.CompletedProcess[str]:
        calls.append(args)
        if isinstance(result, Exception):
            raise result
        return subprocess.CompletedProcess([], 0, result, "")

    monkeypatch.setattr(output.subprocess, "run", run)
    return calls


@pytest.mark.usefixtures("screen")
def test_a_working_backend_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = answer(monkeypatch, "tkagg\n")
    assert figures.output.window_backend() == figures.output.window_backend() == "tkagg"
    assert len(calls) == 1


@pytest.mark.usefixtures("screen")
@pytest.mark.parametrize(
    "result", ["agg\n", "", "nonsense\n", subprocess.TimeoutExpired("python", 30), OSError()]
)
def test_a_hanging_or_failing_backend_shows_nothing(
    monkeypatch: pytest.MonkeyPatch, result: str | Exception
) -> None:
    answer(monkeypatch, result)
    assert figures.output.window_backend() is None


@pytest.mark.usefixtures("screen")
@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell script as Python")
@pytest.mark.parametrize("end", ["kill -ABRT $$", "exit 3", "echo no backend; exit 0"])
def test_a_toolkit_that_aborts_takes_only_its_own_process_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\ntouch '{tmp_path}/started'\n{end}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    assert figures.output.window_backend() is None
    assert (tmp_path / "started").exists()


@pytest.mark.usefixtures("screen")
def test_other_threads_show_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, "tkagg\n")
    answers: list[str | None] = []
    thread = threading.Thread(target=lambda: answers.append(figures.output.window_backend()))
    thread.start()
    thread.join()
    assert answers == [None]


FAKE_BACKEND = """
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

log = []

class FigureManager(FigureManagerBase):
    def show(self):
        if fail:
            raise RuntimeError("the screen went away")
        self.canvas.draw()
        log.append(self.canvas.figure)

    def destroy(self):
        pass  # the managers of some toolkits leave the figure with their canvas

    @classmethod
    def start_main_loop(cls):
        log.append("loop")

class FigureCanvas(FigureCanvasAgg):
    manager_class = FigureManager
"""


@pytest.mark.parametrize("fail", [False, True])
def test_show_opens_a_window_for_each_figure_and_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fail: bool
) -> None:
    import matplotlib.pyplot as plt

    name = f"fake_backend_{fail}".lower()
    (tmp_path / f"{name}.py").write_text(f"fail = {fail}\n{FAKE_BACKEND}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(output, "window_backend", lambda: f"module://{name}")
    drawn = [figures.samples(noise_images(2, 8, 8)), figures.training_curves(history(3))]
    try:
        figures.show(drawn)
        assert sys.modules[name].log == ([] if fail else [*drawn, "loop"])
        assert all(figure.canvas.manager is None for figure in drawn)
        figures.show(drawn)
        assert sys.modules[name].log == ([] if fail else [*drawn, "loop"] * 2)
    finally:
        plt.switch_backend("agg")
    assert plt.get_fignums() == []
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == ("digitvae: no windows: the screen went away\n" * 2 if fail else "")
    for figure in drawn:
        figures.save(figure, tmp_path / "after.png")
    np.testing.assert_equal(read(tmp_path / "after.png").shape[1], 1500)


def test_show_without_figures_does_not_look_for_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "window_backend", lambda: pytest.fail("looked for a screen"))
    figures.show([])
