"""The verbs on trained models, from the command line to the files they write."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from digitvae import load_light
from digitvae.data import load_dataset, split_validation

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


@pytest.mark.parametrize(
    "names",
    [
        ["../a", "b"],
        ["a/b", "c"],
        ["..", "b"],
        ["", "b"],
        ["a", "a"],
        ["a\n", "b"],
        ["a" * 300, "b"],
        [["a"], ["b"]],
    ],
)
def test_names_that_no_file_can_have_become_numbers(digitvae, plain, tmp_path, names):
    np.savez("z.npz", latents=np.zeros((2, 4)), names=names)
    digitvae("decode", plain, "z.npz", "-o", "digits/")
    usable = np.ndim(names) == 2
    expected = ["a.png", "b.png"] if usable else ["00000.png", "00001.png"]
    assert sorted(path.name for path in (tmp_path / "digits").iterdir()) == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["digits", "z.npz"]


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


def test_info_says_what_a_model_is(digitvae, labelled, capsys, tmp_path):
    from digitvae import cli

    run = shutil.copytree(labelled, tmp_path / "run")
    test = {"images": 50, "elbo": -83.456, "nll": 80.123, "nll_k": 9, "mse": 0.0123}
    (run / "evaluation.json").write_text(json.dumps({"protocol": "dynamic", "test": test}))
    (run / "MODEL_CARD.md").write_text("# Limits\nIt knows digits.\n")
    found = digitvae("info", run)
    assert found["config"]["latent_dim"] == 4
    assert found["evaluation"]["test"] == test
    assert found["files"]["model.keras"] == (run / "model.keras").stat().st_size
    assert found["card"].startswith("# Limits")
    assert cli.main(["info", str(run)]) == 0
    text = capsys.readouterr().out
    for part in ("recipe default", "0 of 2 epochs", "prior flow", "28x28", "model.keras", "knows digits"):
        assert part in text
    assert "50 images, protocol dynamic: -ELBO 83.46, NLL 80.12 nats (k=9), MSE 0.01230" in text
    # Without results and card.
    assert digitvae("info", labelled)["evaluation"] is None


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


# Through the latent space


def test_interpolate_goes_from_image_to_image(digitvae, plain):
    digitvae("interpolate", plain, "mnist:0", "mnist:4-5", "--steps", "4", "-o", "w.npz")
    vae = load_light(plain)
    images = arrays("w.npz")["images"]
    assert images.shape == (7, 28, 28)
    np.testing.assert_allclose(
        images[[0, 3, 6]].astype(int), vae.reconstruct(TEST[[0, 4, 5]]).astype(int), atol=1
    )
    digitvae("interpolate", plain, "mnist:0", "mnist:4-5", "--steps", "4", "-o", "w.png")
    with Image.open("w.png") as picture:
        assert picture.width > 1.8 * picture.height  # a row of four for each of two ways


def test_interpolate_returns_to_the_start(digitvae, plain):
    digitvae("interpolate", plain, "mnist:0-2", "--steps", "3", "--loop", "--method", "linear", "-o", "w.gif")
    with Image.open("w.gif") as picture:
        assert picture.n_frames == 6
    assert digitvae("interpolate", plain, "mnist:0-2", "--loop", "-o", "w.png")["images"] == 27


def test_interpolate_fills_a_square_and_takes_latents(digitvae, plain):
    digitvae("encode", plain, "mnist:0-3", "-o", "z.npz")
    options = ("--matrix", "--steps", "3", "--method", "spherical")
    digitvae("interpolate", plain, "z.npz", "--latents", *options, "-o", "a.npz")
    digitvae("interpolate", plain, "mnist:0-3", *options, "-o", "b.npz")
    images = arrays("a.npz")["images"]
    assert images.shape == (3, 3, 28, 28)
    np.testing.assert_array_equal(images, arrays("b.npz")["images"])
    corners = images[[0, 0, 2, 2], [0, 2, 0, 2]]
    np.testing.assert_allclose(
        corners.astype(int), load_light(plain).reconstruct(TEST[:4]).astype(int), atol=1
    )


def test_traverse_has_a_row_for_each_latent(digitvae, labelled):
    found = digitvae("traverse", labelled, "--digit", "3", "--steps", "5", "-o", "t.png")
    assert sorted(found["dimensions"]) == [0, 1, 2, 3]
    assert len(found["values"]) == 5
    most = digitvae("traverse", labelled, "--digit", "3", "--steps", "5", "--top", "2", "-o", "t.png")
    assert most["dimensions"] == found["dimensions"][:2]
    digitvae("traverse", labelled, "--image", "mnist:3", "--dimensions", "2,0", "--steps", "5", "-o", "t.npz")
    found = arrays("t.npz")
    assert found["dimensions"].tolist() == [2, 0]
    expected = load_light(labelled).reconstruct(TEST[3:4])[0]
    for row in found["images"]:
        np.testing.assert_allclose(row[2].astype(int), expected.astype(int), atol=1)
    digitvae("traverse", labelled, "--steps", "5", "-o", "t.webp")
    with Image.open("t.webp") as picture:
        assert picture.n_frames == 8  # there and back


def test_manifold_lays_digits_out(digitvae, labelled, plain):
    assert digitvae("manifold", plain, "--size", "3", "--axes", "1,0", "-o", "m.npz")["axes"] == [1, 0]
    assert arrays("m.npz")["images"].shape == (3, 3, 28, 28)
    digitvae("manifold", labelled, "--digit", "5", "--size", "4", "-o", "m.npz")
    assert arrays("m.npz")["images"].shape == (4, 4, 28, 28)
    assert digitvae("manifold", labelled, "--size", "4")["images"] > 10 * 4


def test_restyle_writes_the_digits_asked_for(digitvae, labelled):
    from digitvae.latent import restyle

    digitvae("restyle", labelled, "mnist:0-1", "--digits", "3-5", "--own", "72", "-o", "r.npz")
    found = arrays("r.npz")
    assert found["labels"].tolist() == [3, 4, 5]
    expected = restyle(load_light(labelled), TEST[:2], [3, 4, 5], [7, 2])
    np.testing.assert_array_equal(found["images"], expected)
    digitvae("restyle", labelled, "mnist:0", "-o", "r/")
    with Image.open("r/mnist-0-as-8.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), restyle(load_light(labelled), TEST[:1], [8])[0, 0])


def test_arithmetic_changes_the_base(digitvae, plain):
    options = ("--base", "mnist:0-1", "--minus", "mnist:2", "mnist:3", "--plus", "mnist:4")
    digitvae("arithmetic", plain, *options, "-o", "a.npz")
    vae = load_light(plain)
    z = vae.encode(TEST[:5])
    expected = vae.decode(z[:2] - z[2:4].mean(axis=0) + z[4])
    np.testing.assert_allclose(arrays("a.npz")["images"].astype(int), expected.astype(int), atol=1)


# Judging


def test_classify_prints_or_writes_probabilities(digitvae, labelled, capsys):
    from digitvae import cli

    found = digitvae("classify", labelled, "mnist:0-2")
    vae = load_light(labelled)
    probabilities = vae.label_probabilities(vae.encode(TEST[:3]))
    assert [image["digit"] for image in found["images"]] == probabilities.argmax(axis=1).tolist()
    assert found["images"][1]["name"] == "mnist-1"
    np.testing.assert_allclose(found["images"][1]["probabilities"], probabilities[1], rtol=1e-6)
    assert found["output"] is None
    digitvae("classify", labelled, "mnist:0-2", "--draws", "4", "-o", "c.csv")
    rows = table("c.csv")
    assert list(rows[0]) == ["name", "digit", *(f"p{i}" for i in range(10))]
    assert sum(float(rows[0][f"p{i}"]) for i in range(10)) == pytest.approx(1, abs=1e-5)
    assert cli.main(["classify", str(labelled), "mnist:0-2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[0].split()[:3] == ["name", "digit", "p0"]
    assert lines[1].split()[2] == f"{probabilities[0, 0]:.4f}"


def test_score_gives_every_image_its_numbers(digitvae, plain):
    found = digitvae("score", plain, "mnist:0-2", "--draws", "5", "--show-input")
    assert found["input"] == "score-input.png"
    assert len(found["images"]) == 3
    for image in found["images"]:
        assert image["nll"] <= image["negative_elbo"]
        assert 0 <= image["percentile"] <= 100
    digitvae("score", plain, "mnist:0-2", "--draws", "5", "-o", "s.csv")
    for row, image in zip(table("s.csv"), found["images"], strict=True):
        assert {key: float(value) for key, value in row.items() if key != "name"} == pytest.approx(
            {key: value for key, value in image.items() if key != "name"}
        )


def test_unusual_is_meant_among_the_data_of_the_model(digitvae, tiny, blobs, capsys):
    from digitvae import cli
    from digitvae.building import build
    from digitvae.runs import Run

    np.save("blobs.npy", blobs(80))
    dataset = load_dataset("blobs.npy")
    run = Run.create(tiny(architecture="dense", data="blobs.npy"), (9, 13), dataset.sha256, "run")
    run.save_model(build(run.config, (9, 13)))
    reference = split_validation(dataset.train_images, None)[1].images
    np.save("some.npy", reference)
    found = digitvae("score", "run", "some.npy", "--draws", "2")
    # Each of them has another share of them below.
    percentiles = sorted(image["percentile"] for image in found["images"])
    np.testing.assert_allclose(percentiles, 100 * np.arange(len(reference)) / len(reference))
    np.save("blobs.npy", blobs(80, seed=1))
    assert cli.main(["score", "run", "some.npy"]) == 1
    assert "Expected the data that run was trained on" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["neighbours", "neighbors"])
def test_a_training_image_is_its_own_neighbour(digitvae, plain, name):
    training = load_dataset().train_images
    np.save("some.npy", training[[17, 23]])
    found = digitvae(name, plain, "some.npy", "-k", "2", "-o", "n.csv")
    assert found["verb"] == "neighbours"
    nearest = [entry for entry in found["neighbours"] if entry["rank"] == 1]
    assert [(entry["space"], entry["index"]) for entry in nearest] == [
        ("latent", 17), ("latent", 23), ("pixels", 17), ("pixels", 23)
    ]  # fmt: skip
    assert nearest[0]["digit"] == load_dataset().train_labels[17]
    assert len(table("n.csv")) == 8
    digitvae(name, plain, "some.npy", "-k", "2", "--space", "pixels", "-o", "n/")
    with Image.open("n/some-00001-pixels-1.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), training[23])


# Completing


def test_inpaint_keeps_what_is_seen(digitvae, plain):
    hidden = np.zeros((28, 28), "uint8")
    hidden[14:] = 255
    Image.fromarray(hidden).save("mask.png")
    common = ("mnist:0-1", "--completions", "2", "--seed", "3")
    for i, options in enumerate((["--half", "lower"], ["--box", "14,0,14,28"], ["--mask", "mask.png"])):
        digitvae("inpaint", plain, *common, *options, "-o", f"{i}.npz")
    found = arrays("0.npz")
    assert found["images"].shape == (2, 2, 28, 28)
    np.testing.assert_array_equal(found["mask"], hidden > 0)
    np.testing.assert_array_equal(found["images"][:, :, :14], np.repeat(TEST[:2, None, :14], 2, axis=1))
    assert (found["images"][:, 0, 14:] != TEST[:2, 14:]).any()
    for i in (1, 2):
        np.testing.assert_array_equal(arrays(f"{i}.npz")["images"], found["images"])


@pytest.mark.parametrize(
    ("half", "part"),
    [
        ("upper", np.s_[:14]),
        ("left", np.s_[:, :14]),
        ("right", np.s_[:, 14:]),
    ],
)
def test_halves_are_where_they_are_called(half, part):
    from argparse import Namespace

    from digitvae.cli.completing import _mask

    mask = _mask(Namespace(half=half), (28, 28))
    assert mask[part].all()
    assert mask.sum() == 14 * 28


def test_denoise_takes_noisy_images_or_makes_them(digitvae, plain):
    from digitvae import denoise, load

    digitvae("denoise", plain, "mnist:0-1", "--add-noise", "--flip", "0.1", "--seed", "2", "-o", "a.npz")
    found = arrays("a.npz")
    flipped = (found["inputs"] > 127) != (TEST[:2] > 127)
    assert 0.07 < flipped.mean() < 0.13
    np.testing.assert_array_equal(found["images"], denoise(load(plain), found["inputs"], 0.1, seed=2))
    np.save("noisy.npy", found["inputs"])
    digitvae("denoise", plain, "noisy.npy", "--flip", "0.1", "--seed", "2", "-o", "b.npz")
    np.testing.assert_array_equal(arrays("b.npz")["images"], found["images"])
