"""`digitvae evaluate` as users run it: files, tables, comparisons, and what it says to nonsense."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from digitvae import cli
from digitvae.config import Config
from digitvae.data import Dataset, load_dataset
from digitvae.runs import Run
from digitvae.training import train

FIGURES = {
    "samples", "latent_grid", "reconstructions", "interpolations", "training_curves", "best_reconstructions",
    "worst_reconstructions", "nll_curve", "kl_per_latent", "rate_distortion", "latent_map", "neighbours",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a labelled data set and two small runs of it, A and B."""
    folder = tmp_path_factory.mktemp("evaluate")
    whole = load_dataset()
    arrays = {
        "x_train": whole.train_images[:100], "y_train": whole.train_labels[:100],
        "x_test": whole.test_images[:24], "y_test": whole.test_labels[:24],
    }  # fmt: skip
    np.savez(folder / "digits.npz", **arrays)
    config = Config(
        recipe="classic", data=str(folder / "digits.npz"), architecture="dense", width=16, blocks=0,
        latent_dim=3, prior="normal", epochs=1, batch_size=20, precision="float32",
    )  # fmt: skip
    for seed, name in enumerate("AB"):
        train(
            Config(**{**config.to_dict(), "seed": seed}),
            load_dataset(config.data),
            folder / name,
            progress=False,
        )
    return folder


@pytest.fixture
def evaluate(folder, monkeypatch, capsys):
    """Returns a caller of `digitvae evaluate ARGS` inside the folder: code, stdout and stderr."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr("warnings.showwarning", None)

    def run(*arguments):
        code = cli.main(["evaluate", *map(str, arguments)])
        return code, *capsys.readouterr()

    return run


def test_a_run_gets_its_numbers_page_and_figures(evaluate, folder):
    code, out, err = evaluate("A", "--samples", 5)
    assert code == 0, err
    assert err == ""
    numbers = json.loads((folder / "A" / "evaluation.json").read_text())
    assert numbers["name"] == "A"
    assert numbers["test"]["nll_k"] == 5
    assert f"{numbers['test']['nll']:.2f}" in out
    assert "Page: A/report.html" in out
    assert {path.stem for path in (folder / "A" / "figures").glob("*.png")} == FIGURES
    page = (folder / "A" / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == len(FIGURES)
    assert not list((folder / "A").rglob(".*"))


def test_json_is_the_file_and_a_second_time_gives_the_same(evaluate, folder):
    code, out, _ = evaluate("B", "--samples", 2, "--json")
    assert code == 0
    first = json.loads(out)
    assert first == json.loads((folder / "B" / "evaluation.json").read_text())
    again = json.loads(evaluate("B", "--samples", 2, "--json")[1])
    for numbers in (first, again):
        del numbers["evaluation_seconds"]
    assert first == again


def test_a_shipped_model_is_measured_outside_of_the_package(evaluate, folder, monkeypatch):
    shutil.copytree(folder / "A", folder / "models" / "shipped", ignore=shutil.ignore_patterns("evaluation*"))
    monkeypatch.setattr("digitvae.runs.SHIPPED", folder / "models")
    before = sorted((folder / "models").rglob("*"))
    code, out, err = evaluate("shipped", "--samples", 1)
    assert code == 0, err
    assert "Page: evaluations/shipped/report.html" in out
    assert (folder / "evaluations" / "shipped" / "evaluation.json").is_file()
    assert sorted((folder / "models").rglob("*")) == before
    # By its path, too, and a second time.
    assert (
        "Page: evaluations/shipped/report.html" in evaluate(folder / "models" / "shipped", "--samples", 1)[1]
    )


def test_a_users_own_folder_is_never_taken_for_a_shipped_models(evaluate, folder, monkeypatch):
    monkeypatch.setattr("digitvae.runs.SHIPPED", folder / "models")
    shutil.copytree(folder / "A", folder / "models" / "model")
    own = shutil.copytree(folder / "A", folder / "runs" / "model")
    before = {path: path.stat().st_mtime_ns for path in own.rglob("*")}
    assert evaluate("model", "--samples", 1)[0] == 0
    assert before == {path: path.stat().st_mtime_ns for path in own.rglob("*")}
    shutil.rmtree(folder / "evaluations" / "model")
    shutil.copytree(folder / "A", folder / "evaluations" / "model")
    monkeypatch.setattr("digitvae.cli.evaluate.start_backend", lambda name: pytest.fail("a backend started"))
    code, _, err = evaluate("model", "--samples", 1)
    assert code == 1
    assert err.startswith("digitvae: error: Expected nothing but evaluations of the shipped model in ")
    assert err.count("\n") == 1


def test_the_times_of_the_training_are_kept(evaluate, folder):
    path = folder / "B" / "evaluation.json"
    path.write_text(json.dumps({"wall_seconds": 12.5}))
    assert json.loads(evaluate("B", "--samples", 1, "--json")[1])["wall_seconds"] == 12.5
    path.write_text("{ damaged")
    assert json.loads(evaluate("B", "--samples", 1, "--json")[1])["wall_seconds"] is None


def test_runs_are_compared_image_by_image(evaluate, folder):
    code, out, err = evaluate("A", "B", "--samples", 3, "--json", "--report", "both.html")
    assert code == 0, err
    a, b = json.loads(out)
    assert "paired" not in a
    assert b["paired"]["to"] == "A"
    assert b["paired"]["nll"] == pytest.approx(b["test"]["nll"] - a["test"]["nll"])
    assert b["paired"]["bound"] == pytest.approx(a["test"]["elbo"] - b["test"]["elbo"])
    low, high = b["paired"]["nll_interval"]
    assert low < b["paired"]["nll"] < high
    page = (folder / "both.html").read_text(encoding="utf-8")
    assert "Differences" in page


def test_anyones_samples_are_scored(evaluate, folder):
    np.savez(folder / "copies.npz", whatever=load_dataset(folder / "digits.npz").train_images[::5])
    code, out, err = evaluate("--samples-file", "copies.npz", "--data", "digits.npz")
    assert code == 0, err
    assert "Fréchet distance" in out
    numbers = json.loads((folder / "copies.evaluation.json").read_text())
    assert numbers["protocol"] == "samples"
    assert numbers["samples"]["memorisation"]["train_preference"] == 1
    assert numbers["samples"]["model"]["frechet"] == pytest.approx(numbers["samples"]["floor"]["frechet"])
    assert "<img" in (folder / "copies.report.html").read_text(encoding="utf-8")


def test_samples_stand_beside_runs(evaluate, folder):
    np.save(folder / "grey.npy", np.full((10, 28, 28), 100, np.uint8))
    code, out, err = evaluate("A", "--samples", 1, "--samples-file", "grey.npy", "--data", "digits.npz")
    assert code == 0, err
    assert "grey.npy: protocol samples" in out
    assert (folder / "comparison.html").exists()


@pytest.mark.filterwarnings("always::UserWarning")
def test_other_data_leave_the_runs_own_numbers_alone(evaluate, folder):
    whole = load_dataset()
    np.savez(folder / "others.npz", x_train=whole.train_images[200:260], x_test=whole.test_images[50:60])
    (folder / "B" / "evaluation.json").write_text("{}")
    code, out, err = evaluate("B", "--data", "others.npz", "--samples", 1)
    assert code == 0, err
    assert err.startswith("digitvae: warning: others.npz has no labels: probes, clustering and the table ")
    assert err.count("\n") == 1
    assert "Page: B/evaluation-others/report.html" in out
    assert json.loads((folder / "B" / "evaluation-others" / "evaluation.json").read_text())["per_class"] == []
    assert (folder / "B" / "evaluation.json").read_text() == "{}"


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        ([], 2, "Expected at least one RUN or --samples-file. Received: none"),
        (["A", "--samples", "0"], 2, "Expected --samples of at least 1. Received: 0"),
        (["A", "--samples", "many"], 2, "Expected a whole number. Received: many"),
        (["A", "--refine", "-1"], 2, "Expected --refine of at least 0. Received: -1"),
        (["A", "--seed", "-1"], 2, "Expected --seed of at least 0. Received: -1"),
        (["A", "--report", "nowhere/page.html"], 2, "Received: nowhere/page.html"),
        (["A", "--report", "B"], 2, "Expected --report as a file"),
        (["missing"], 1, "Received: missing (no such folder)"),
        (["."], 1, "Expected a run folder with a config.json."),
        (["unfinished"], 1, "Expected a run folder with a model.keras. Received: unfinished (it has none)"),
        (["damaged"], 1, "Expected a whole model.keras. Received: damaged"),
        (["broken"], 1, "Expected a model with finite weights. Received: NaN or infinite values in"),
        (["A", "--data", "small.npy"], 1, "Expected images of 28x28 pixels, as the model's."),
        (["A", "--data", "nothing.npz"], 1, "Received: source='nothing.npz'"),
        (["moved"], 1, "Expected the data that moved was trained on"),
        (["--samples-file", "small.npy"], 1, "Expected images of 28x28 pixels"),
        (["--samples-file", "absent.npz"], 1, "Received: source='absent.npz'"),
    ],
)  # fmt: skip
def test_nonsense_is_one_line_and_changes_nothing(evaluate, folder, arguments, code, part):
    np.save(folder / "small.npy", np.random.default_rng(0).integers(0, 256, (20, 9, 13), dtype=np.uint8))
    for name in ("unfinished", "damaged", "broken", "moved"):
        shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(folder / "A", folder / name)
    (folder / "unfinished" / "model.keras").unlink()
    (folder / "damaged" / "model.keras").write_bytes(b"PK\x03\x04 not a model")
    run = Run.open(folder / "broken")
    vae = run.load_model()
    weights = vae.get_weights()
    weights[0][...] = np.nan
    vae.set_weights(weights)
    run.save_model(vae)
    stored = Run.open(folder / "moved").read_json("config.json")
    Run.open(folder / "moved").write_json("config.json", {**stored, "data_sha256": "0" * 64})

    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    found, out, err = evaluate(*arguments)
    assert found == code
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("digitvae: error: ")
    assert part in err
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_an_interruption_is_one_line(evaluate, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("digitvae.evaluate_fully", interrupt)
    assert evaluate("A") == (130, "", "digitvae: interrupted\n")


def test_a_data_set_in_memory_has_the_digest_of_its_file(folder):
    read = load_dataset(folder / "digits.npz")
    same = Dataset("x", read.train_images, read.train_labels, read.test_images, read.test_labels)
    assert same.sha256 == Run.open(folder / "A").data_sha256
