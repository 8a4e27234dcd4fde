"""Results written by the ending of a file."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from digitvae import writers
from digitvae.config import ConfigError
from digitvae.writers import FOLDER, Pictures, Result, Target, beside, check_target, grid, pairs, write

ALL = (".png", ".gif", ".webp", ".npz", ".csv", FOLDER)


@pytest.fixture
def images(blobs):
    return blobs(5)


def inside(folder):
    return sorted(path.name for path in Path(folder).iterdir())


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("a.png", ".png"),
        ("a.PNG", ".png"),
        ("a.b.gif", ".gif"),
        ("digits", FOLDER),
        ("digits/", FOLDER),
        ("v1.5/", FOLDER),
    ],
)
def test_the_ending_says_what_is_written(monkeypatch, tmp_path, text, kind):
    monkeypatch.chdir(tmp_path)
    assert check_target(text, ALL) == Target(Path(text), kind)
    assert inside(tmp_path) == []


def test_kinds_that_a_verb_cannot_write_are_refused(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for text, kinds, endings in (
        ("a.jpg", ALL, ".png, .gif, .webp, .npz or .csv, or a folder"),
        ("digits/", (".png",), ".png. Received: digits/"),
        ("a.csv", (".npz", ".png"), ".npz or .png. Received"),
    ):
        with pytest.raises(ConfigError) as caught:
            check_target(text, kinds)
        assert f"ends in {endings}" in str(caught.value)


def test_a_pipe_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(FileExistsError, match="regular file"):
        check_target(str(tmp_path / "pipe.png"), ALL)


def test_arrays_are_stored_by_name_without_pickles(tmp_path, images):
    target = check_target(str(tmp_path / "a.npz"), ALL)
    write(target, Result({"images": images, "names": ["ä", "b"]}))
    with np.load(target.path, allow_pickle=False) as stored:
        np.testing.assert_array_equal(stored["images"], images)
        assert stored["names"].tolist() == ["ä", "b"]


def test_a_table_keeps_every_digit_of_its_numbers(tmp_path):
    values = np.array([1 / 3, 1e-30], "float32")
    columns = {"name": ['say "a", b', "c"], "single": values, "double": values.astype("float64") / 3}
    target = check_target(str(tmp_path / "a.csv"), ALL)
    write(target, Result({}, table=columns))
    rows = list(csv.DictReader(target.path.read_text().splitlines()))
    assert [row["name"] for row in rows] == columns["name"]
    for name in ("single", "double"):
        read = np.array([row[name] for row in rows]).astype(columns[name].dtype)
        np.testing.assert_array_equal(read, columns[name])
    assert rows[0]["single"] == "0.33333334"


def test_a_picture_shows_the_rows_it_is_given(tmp_path, images):
    target = check_target(str(tmp_path / "a.png"), ALL)
    write(target, Result({}, lambda: Pictures(images, (), [images[:1], images[1:4]])))
    with Image.open(target.path) as picture:
        shown = np.asarray(picture)
    np.testing.assert_array_equal(shown, grid(Pictures(images, (), [images[:1], images[1:4]])))
    # Two rows of three columns; behind the short row it is white.
    height, width = shown.shape[:2]
    assert width / height == pytest.approx(3 * 13 / (2 * 9), rel=0.1)
    assert (shown[: height // 3, width // 2 :] == 255).all()


def test_a_picture_of_very_many_images_does_not_grow_as_they_do(monkeypatch, blobs):
    many = Pictures(blobs(3000), ())
    whole = grid(many)
    for zoom in (3, 2, 1):
        monkeypatch.setattr(writers, "MOST_PIXELS", whole[..., 0].size * zoom**2 // 9)
        smaller = grid(many)
        assert smaller.shape == (whole.shape[0] * zoom // 3, whole.shape[1] * zoom // 3, 3)
        np.testing.assert_array_equal(smaller[::zoom, ::zoom], whole[::3, ::3])
    monkeypatch.setattr(writers, "MOST_PIXELS", 1)
    np.testing.assert_array_equal(grid(many), smaller)


def test_pairs_stand_one_above_the_other(images):
    found = pairs(images, 255 - images, "abcde")
    np.testing.assert_array_equal(found.rows, [images, 255 - images])
    np.testing.assert_array_equal(found.images, 255 - images)
    many = pairs(np.repeat(images, 5, axis=0), np.repeat(images, 5, axis=0), range(25))
    assert [len(row) for row in many.rows] == [10, 10, 10, 10, 5, 5]
    assert list(many.gaps) == [2, 4]


def test_an_image_stands_at_the_head_of_what_was_made_of_it(blobs):
    images, made = blobs(2), blobs(6, seed=1).reshape(2, 3, 9, 13)
    found = beside(images, made, "abcdef")
    for row, image, others in zip(found.rows, images, made, strict=True):
        np.testing.assert_array_equal(row, [image, *others])
    np.testing.assert_array_equal(found.images, blobs(6, seed=1))
    assert found.names == "abcdef"
    # An animation shows the first that was made of every image, then the second ...
    np.testing.assert_array_equal(found.frames, np.stack([made[:, i] for i in range(3)]))


def test_the_tiles_of_a_frame_stand_in_a_near_square(tmp_path, blobs):
    target = check_target(str(tmp_path / "a.webp"), ALL)
    tiles = blobs(4)
    write(target, Result({}, lambda: Pictures(tiles, (), frames=np.stack([tiles, tiles[::-1]]))))
    with Image.open(target.path) as picture:
        zoom = picture.width // 26
        shown = np.asarray(picture.convert("L"))[zoom // 2 :: zoom, zoom // 2 :: zoom]
    np.testing.assert_array_equal(shown, np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])]))


@pytest.mark.parametrize("ending", ["gif", "webp"])
def test_frames_may_have_several_tiles(tmp_path, images, ending):
    target = check_target(str(tmp_path / f"a.{ending}"), ALL)
    frames = np.stack([images[:2], images[1:3], images[2:4]])
    write(target, Result({}, lambda: Pictures(images, (), frames=frames)), frames_per_second=20)
    with Image.open(target.path) as picture:
        assert (picture.n_frames, picture.info["loop"]) == (3, 0)
        for i, tiles in enumerate(frames):
            picture.seek(i)
            picture.load()
            assert picture.info["duration"] == 50
            # One below the other: the tiles are wide.
            zoom = picture.width // 13
            shown = np.asarray(picture.convert("L"))[zoom // 2 :: zoom, zoom // 2 :: zoom]
            np.testing.assert_array_equal(shown, np.concatenate(tiles))


def test_a_folder_must_have_a_name_for_each_image(tmp_path, images):
    target = check_target(str(tmp_path / "new"), ALL)
    with pytest.raises(ValueError, match="shorter"):
        write(target, Result({}, lambda: Pictures(images, ["a", "b"])))
    assert inside(tmp_path) == []
    write(target, Result({}, lambda: Pictures(images, "abcde")))
    assert inside(target.path) == [f"{name}.png" for name in "abcde"]
