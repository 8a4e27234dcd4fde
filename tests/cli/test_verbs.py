"""The verbs on trained models, from the command line to the files they write."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

from digitvae import load_light
from digitvae.data import load_dataset

TEST = load_dataset().test_images


def arrays(path):
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_generate_writes_a_picture_with_a_row_for_each_digit(digitvae, labelled, tmp_path):
    found = digitvae("generate", labelled, "--digits", "0123456789", "-o", "d.png")
    assert found["labels"] == np.repeat(range(10), 10).tolist()
    assert found["output"] == "d.png"
    assert [path.name for path in tmp_path.iterdir()] == ["d.png"]
    images = load_light(labelled).generate(100, labels=np.repeat(range(10), 10))
    with Image.open("d.png") as picture:
        # Tiles of 28 pixels, three dots each, and borders between them.
        assert picture.size == (873, 873)
        tile = np.asarray(picture.convert("L"))[3 + 2 * 87 : 3 + 2 * 87 + 84, 3 + 87 : 3 + 87 + 84]
    np.testing.assert_array_equal(tile[::3, ::3], images[21])


@pytest.mark.parametrize(
    ("options", "labels"),
    [
        (["--digit", "7", "-n", "3"], [7, 7, 7]),
        (["--digits", "202", "--per-digit", "1"], [2, 0, 2]),
        (["--digits", "3", "--per-digit", "2"], [3, 3]),
        (["--digits", "1-3", "--per-digit", "2"], [1, 1, 2, 2, 3, 3]),
    ],
)
def test_generate_makes_the_digits_asked_for(digitvae, labelled, options, labels):
    digitvae("generate", labelled, *options, "--seed", "5", "-o", "d.npz")
    found = arrays("d.npz")
    np.testing.assert_array_equal(found["labels"], labels)
    expected = load_light(labelled).generate(len(labels), seed=5, labels=np.array(labels))
    np.testing.assert_array_equal(found["images"], expected)


def test_generate_draws_labels_where_none_are_asked_for(digitvae, labelled, plain):
    digitvae("generate", labelled, "-n", "30", "-o", "a.npz")
    vae = load_light(labelled)
    np.testing.assert_array_equal(arrays("a.npz")["images"], vae.generate(30))
    np.testing.assert_array_equal(arrays("a.npz")["labels"], vae.draw_labels(30))
    assert digitvae("generate", plain, "-n", "3")["output"] == "generate.png"
    digitvae("generate", plain, "-n", "3", "-o", "b.npz")
    assert list(arrays("b.npz")) == ["images"]


def test_temperature_seed_and_pixels_reach_the_model(digitvae, plain):
    digitvae(
        "generate",
        plain,
        "-n",
        "4",
        "--temperature",
        "0.5",
        "--seed",
        "3",
        "--pixels",
        "sample",
        "-o",
        "a.npz",
    )
    expected = load_light(plain).generate(4, seed=3, pixels="sample", temperature=0.5)
    np.testing.assert_array_equal(arrays("a.npz")["images"], expected)


@pytest.mark.parametrize("ending", ["gif", "webp"])
def test_an_animation_shows_the_images_one_by_one(digitvae, plain, ending):
    digitvae("generate", plain, "-n", "5", "--fps", "4", "-o", f"a.{ending}")
    expected = load_light(plain).generate(5)
    with Image.open(f"a.{ending}") as picture:
        assert picture.n_frames == 5
        for i, image in enumerate(expected):
            picture.seek(i)
            zoom = picture.width // 28
            shown = np.asarray(picture.convert("L"))[zoom // 2 :: zoom, zoom // 2 :: zoom]
            np.testing.assert_array_equal(shown, image)
            picture.load()
            assert picture.info["duration"] == 250


def test_a_folder_gets_a_picture_of_each_image(digitvae, labelled, tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("empty", "new/"):
        digitvae("generate", labelled, "--digits", "42", "--per-digit", "2", "-o", name)
        files = sorted((tmp_path / name).iterdir())
        assert [file.name for file in files] == ["00000-4.png", "00001-4.png", "00002-2.png", "00003-2.png"]
        expected = load_light(labelled).generate(4, labels=np.array([4, 4, 2, 2]))
        for file, image in zip(files, expected, strict=True):
            with Image.open(file) as picture:
                np.testing.assert_array_equal(np.asarray(picture), image)


@pytest.mark.parametrize("ending", ["npz", "csv"])
def test_latents_go_to_a_file_and_come_back(digitvae, plain, ending):
    found = digitvae("encode", plain, "mnist:3-5", "-o", f"z.{ending}")
    assert (found["images"], found["latent_dim"]) == (3, 4)
    vae = load_light(plain)
    latents = vae.encode(TEST[3:6])
    if ending == "npz":
        np.testing.assert_array_equal(arrays("z.npz")["latents"], latents)
        assert arrays("z.npz")["names"].tolist() == ["mnist-3", "mnist-4", "mnist-5"]
    else:
        assert list(table("z.csv")[0]) == ["name", "z0", "z1", "z2", "z3"]
    digitvae("decode", plain, f"z.{ending}", "-o", "digits/")
    with Image.open("digits/mnist-4.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), vae.decode(latents)[1])


def test_encode_can_draw_from_the_posterior(digitvae, plain):
    digitvae("encode", plain, "mnist:3-5", "--sample", "--seed", "4", "-o", "z.npz")
    expected = load_light(plain).encode(TEST[3:6], sample=True, seed=4)
    np.testing.assert_array_equal(arrays("z.npz")["latents"], expected)


def test_decode_reads_plain_arrays_too(digitvae, plain):
    np.save("z.npy", np.eye(4))
    digitvae("decode", plain, "z.npy", "--pixels", "sample", "--seed", "2", "-o", "d.npz")
    expected = load_light(plain).decode(np.eye(4), pixels="sample", seed=2)
    np.testing.assert_array_equal(arrays("d.npz")["images"], expected)


def test_reconstruct_shows_what_the_model_saw(digitvae, plain):
    found = digitvae("reconstruct", plain, "mnist:0-11", "-o", "r.npz", "--show-input")
    assert found["input"] == "r-input.png"
    expected = load_light(plain).reconstruct(TEST[:12])
    np.testing.assert_array_equal(arrays("r.npz")["images"], expected)
    np.testing.assert_array_equal(arrays("r.npz")["inputs"], TEST[:12])
    with Image.open("r-input.png") as picture:
        assert min(picture.size) > 84 * 3
    digitvae("reconstruct", plain, "mnist:0-11")
    with Image.open("reconstruct.png") as picture:
        assert picture.width == 873  # ten columns; rows come in pairs
        assert picture.height > 4 * 87


def test_keras_gives_the_same_where_it_is_asked_for(digitvae, plain):
    import keras

    digitvae("encode", plain, "mnist:0-9", "-o", "a.npz")
    digitvae("encode", plain, "mnist:0-9", "-o", "b.npz", "--backend", keras.backend.backend())
    np.testing.assert_allclose(arrays("a.npz")["latents"], arrays("b.npz")["latents"], atol=1e-4)


def test_results_are_written_in_words_too(monkeypatch, tmp_path, capsys, plain):
    from digitvae import cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("warnings.showwarning", None)
    assert cli.main(["generate", str(plain), "-n", "2", "-o", "d.png"]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("Written: d.png\n", "")


def test_info_says_what_a_model_is(digitvae, labelled, capsys):
    from digitvae import cli

    found = digitvae("info", "best")
    assert found["config"]["latent_dim"] == 40
    assert found["evaluation"]["test"]["nll"] == pytest.approx(79.30, abs=0.01)
    assert found["files"]["model.keras"] > 1e6
    assert cli.main(["info", str(labelled)]) == 0
    text = capsys.readouterr().out
    for part in ("recipe default", "0 of 2 epochs", "prior flow", "28x28", "model.keras"):
        assert part in text


def test_making_digits_needs_neither_keras_nor_matplotlib(python, labelled, tmp_path):
    code = (
        "import sys; from digitvae.cli import main; code = main();"
        "print(code, sorted({'keras', 'tensorflow', 'matplotlib', 'scipy', 'sklearn'} & set(sys.modules)))"
    )
    done = python("-c", code, "generate", labelled, "--digits", "01", "-o", "d.png", cwd=tmp_path)
    assert done.stdout.splitlines() == ["Written: d.png", "0 []"], done.stderr


def test_one_object_is_printed_and_nothing_else(python, labelled, tmp_path):
    done = python("-m", "digitvae", "generate", labelled, "-n", "2", "--json", cwd=tmp_path)
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert (found["verb"], found["output"], found["images"]) == ("generate", "generate.png", 2)
