"""Training: repeatable to the last bit, honest about divergence and collapse, at home in tiny data."""

from __future__ import annotations

import json
import re
import shutil

import keras
import numpy as np
import pytest

from digitvae.batches import ShuffledBatches
from digitvae.callbacks import RunWriter
from digitvae.config import ConfigError
from digitvae.data import Dataset, fixed_bits, split_validation
from digitvae.files import DiskFull
from digitvae.runs import Run, load
from digitvae.training import TrainingDiverged, TrainingInterrupted, resume, train

# After an epoch or two of a tiny model the code may say little; tests of callbacks are about that warning.
pytestmark = pytest.mark.filterwarnings("ignore:the posterior has collapsed:RuntimeWarning")

COLUMNS = ["epoch", "loss", "elbo", "reconstruction", "kl"]
COLUMNS += ["val_loss", "val_elbo", "val_reconstruction", "val_kl", "learning_rate", "seconds"]


def weights(run):
    """Returns the weights of a run's model."""
    return [weight.numpy() for weight in load(run.folder).weights]


def comparable(run):
    """Returns a run's history without the times."""
    return {name: values for name, values in run.history().items() if name != "seconds"}


def same(run, other):
    """Tells whether two runs are alike to the last bit."""
    pairs = zip(weights(run), weights(other), strict=True)
    return comparable(run) == comparable(other) and all(np.array_equal(a, b) for a, b in pairs)


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny, dataset):
    """A run of two epochs; tests only read it."""
    return train(tiny(prior="flow"), dataset, tmp_path_factory.mktemp("runs") / "run", progress=False)


@pytest.mark.backend
def test_a_run_keeps_history_model_and_checkpoint(run):
    history = run.history()
    assert list(history) == COLUMNS
    assert history["epoch"] == [1, 2]
    assert np.isfinite(list(history.values())).all()
    for prefix in ("", "val_"):
        parts = np.array([history[f"{prefix}{name}"] for name in ("elbo", "reconstruction", "kl")])
        np.testing.assert_allclose(parts[0], -(parts[1] + parts[2]), rtol=1e-5)
    assert history["learning_rate"][-1] == pytest.approx(0, abs=1e-9)
    assert {path.name for path in run.folder.iterdir()} == {
        "config.json", "history.csv", "model.keras", "checkpoint", "film"
    }  # fmt: skip


def test_a_run_finds_its_data_from_anywhere(tiny, digits, tmp_path, monkeypatch):
    monkeypatch.chdir(digits.parent)
    kept = train(tiny(data=digits.name, epochs=1), folder=tmp_path / "run", progress=False).config
    assert Run.open(tmp_path / "run").config == kept
    assert kept.data == str(digits.resolve())


@pytest.mark.backend
def test_the_saved_model_is_the_one_that_was_validated(run, dataset):
    _, (validation, _) = split_validation(dataset.train_images, dataset.train_labels)
    measured = load(run.folder).evaluate(
        fixed_bits(validation), batch_size=len(validation), verbose=0, return_dict=True
    )
    assert measured["elbo"] == pytest.approx(run.history()["val_elbo"][-1], rel=1e-4)


@pytest.mark.backend
def test_the_same_config_gives_the_same_run(run, tiny, dataset, tmp_path):
    assert same(run, train(tiny(prior="flow"), dataset, tmp_path / "again", progress=False))


@pytest.mark.backend
def test_another_seed_gives_another_run(run, tiny, dataset, tmp_path):
    other = train(tiny(prior="flow", seed=1), dataset, tmp_path / "other", progress=False)
    assert other.history()["loss"] != run.history()["loss"]
    assert not np.array_equal(weights(run)[0], weights(other)[0])


@pytest.mark.backend
def test_another_process_gives_the_same_run(run, tmp_path, dataset, python):
    np.savez(tmp_path / "data.npz", x=dataset.train_images, y=dataset.train_labels)
    (tmp_path / "job.py").write_text(
        "import numpy as np\n"
        "from digitvae.data import Dataset\n"
        "from digitvae.runs import Run\n"
        "from digitvae.training import train\n"
        "stored = np.load('data.npz')\n"
        f"config = Run.open({str(run.folder)!r}).config\n"
        "x, y = stored['x'], stored['y']\n"
        "train(config, Dataset('d', x, y, x, y), 'run', progress=False)\n"
    )
    done = python("job.py", cwd=tmp_path, PYTHONHASHSEED="12")
    assert done.returncode == 0, done.stderr
    assert same(run, Run.open(tmp_path / "run"))


def test_callbacks_find_the_epoch_that_ended_in_the_folder(tiny, dataset, tmp_path):
    class Reader(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.seen = []

        def on_epoch_end(self, epoch, logs=None):
            run = Run.open(tmp_path / "run")
            same_weights = all(map(np.array_equal, weights(run), self.model.get_weights()))
            self.seen.append((len(run.history()["epoch"]), same_weights))

    reader = Reader()
    train(tiny(epochs=2), dataset, tmp_path / "run", progress=False, callbacks=[reader])
    assert reader.seen == [(1, True), (2, True)]
    run = Run.open(tmp_path / "run")
    resume(run.folder, dataset, progress=False, callbacks=[reader])
    assert len(reader.seen) == 2


def test_resuming_a_finished_run_changes_nothing(run, dataset):
    before = (run.folder / "history.csv").read_bytes(), weights(run)
    resume(run.folder, dataset, progress=False)
    assert (run.folder / "history.csv").read_bytes() == before[0]
    assert all(np.array_equal(a, b) for a, b in zip(weights(run), before[1], strict=True))


def test_resuming_with_other_data_is_refused(run, blobs):
    other = Dataset("other", blobs(48, seed=9), None, blobs(12), None)
    with pytest.raises(ValueError, match=r"Expected the data that .* was trained on .*Received: other"):
        resume(run.folder, other, progress=False)


# Batches


class Watched:
    """Images that remember which of them were taken, a tuple of rows for every batch."""

    def __init__(self, images):
        self.images, self.shape, self.taken = images, images.shape, []

    def __len__(self):
        return len(self.images)

    def __getitem__(self, rows):
        self.taken += map(tuple, np.atleast_2d(rows).tolist())
        return self.images[rows]


@pytest.mark.backend
def test_training_takes_the_batches_of_its_epoch(tiny, dataset, tmp_path, monkeypatch):
    made = []

    class Recorded(ShuffledBatches):
        def __init__(self, rows, *settings):
            rows.images = Watched(rows.images)
            super().__init__(rows, *settings)
            made.append(self)

    monkeypatch.setattr("digitvae.training.ShuffledBatches", Recorded)
    train(tiny(), dataset, tmp_path / "run", progress=False)
    (batches,) = made
    expected = []
    for epoch in (0, 1):
        batches.start_epoch(epoch)
        order = batches.rows.order[: len(batches) * batches.batch_size]
        expected.append(set(map(tuple, order.reshape(len(batches), -1).tolist())))
    taken = batches.rows.images.taken
    second = min(taken.index(rows) for rows in expected[1])
    # Some batches are taken twice: one tells the shape, and Keras' threads may read on after an epoch.
    assert set(taken[:second]) == expected[0]
    assert expected[1] <= set(taken[second:]) <= expected[0] | expected[1]


@pytest.mark.backend
@pytest.mark.parametrize("count", [2, 3])
def test_tiny_sets_train(tiny, blobs, tmp_path, count):
    images = blobs(count)
    few = Dataset("few", images, None, images[:1], None)
    run = train(tiny(batch_size=128, epochs=1), few, tmp_path / "run", progress=False)
    assert np.isfinite(list(run.history().values())).all()


@pytest.mark.backend
@pytest.mark.parametrize(
    ("likelihood", "fixed"), [("bernoulli", True), ("continuous_bernoulli", False)], ids=["bits", "grey"]
)
def test_validation_images_are_the_last_ones_as_fixed_bits(
    tiny, dataset, tmp_path, monkeypatch, likelihood, fixed
):
    seen = {}

    def fit(self, batches, validation_data, **_):
        seen["validation"] = validation_data[0]

    def batches(rows, batch_size, seed, bits, *others):
        seen["training"], seen["bits"] = rows.images, bits
        return ShuffledBatches(rows, batch_size, seed, bits, *others)

    monkeypatch.setattr("digitvae.model.VAE.fit", fit)
    monkeypatch.setattr("digitvae.training.ShuffledBatches", batches)
    train(tiny(likelihood=likelihood), dataset, tmp_path / "run", progress=False)
    last = dataset.train_images[-4:]
    np.testing.assert_array_equal(seen["validation"], fixed_bits(last) if fixed else last)
    np.testing.assert_array_equal(seen["training"], dataset.train_images[:-4])
    assert seen["bits"] == fixed


# What goes wrong


@pytest.mark.backend
def test_a_diverging_run_stops_and_stays_usable(tiny, dataset, tmp_path):
    with pytest.raises(
        TrainingDiverged, match=r"Expected a finite loss .* Received: loss=.* kept in .*lower"
    ) as caught:
        train(tiny(learning_rate=1e9), dataset, tmp_path / "run", progress=False)
    assert "\n" not in str(caught.value)
    vae = load(tmp_path / "run")
    assert all(np.isfinite(weight.numpy()).all() for weight in vae.weights)
    assert vae.generate(2).shape == (2, 9, 13)


@pytest.mark.backend
def test_an_interruption_keeps_what_is_done_and_resume_finishes(run, tiny, dataset, tmp_path, monkeypatch):
    original = RunWriter.on_train_batch_end

    def interrupt(self, batch, logs=None):
        original(self, batch, logs)
        if self.epoch == 1 and batch >= 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(RunWriter, "on_train_batch_end", interrupt)
    with pytest.raises(TrainingInterrupted, match=r"interrupted; 1 of 2 epochs are kept in .*--resume"):
        train(tiny(prior="flow"), dataset, tmp_path / "run", progress=False)
    monkeypatch.undo()
    assert Run.open(tmp_path / "run").history()["epoch"] == [1]
    resumed = resume(tmp_path / "run", dataset, progress=False)
    assert same(run, resumed)
    tables = [(folder / "history.csv").read_text().splitlines() for folder in (run.folder, resumed.folder)]
    assert [row.rsplit(",", 1)[0] for row in tables[0]] == [row.rsplit(",", 1)[0] for row in tables[1]]


def test_a_kill_between_history_and_checkpoint_does_no_harm(run, tiny, dataset, tmp_path, monkeypatch):
    original = RunWriter._keep

    def die(self, epoch):
        if epoch == 2:
            raise KeyboardInterrupt
        original(self, epoch)

    monkeypatch.setattr(RunWriter, "_keep", die)
    with pytest.raises(TrainingInterrupted):
        train(tiny(prior="flow"), dataset, tmp_path / "run", progress=False)
    monkeypatch.undo()
    assert Run.open(tmp_path / "run").history()["epoch"] == [1, 2]
    assert same(run, resume(tmp_path / "run", dataset, progress=False))


@pytest.mark.parametrize("model", [False, True], ids=["nothing", "the model alone"])
def test_a_run_killed_before_its_first_checkpoint_begins_again(run, dataset, tmp_path, model):
    begun = Run.create(run.config, dataset.image_shape, dataset.sha256, tmp_path / "run")
    if model:
        shutil.copy(run.folder / "model.keras", begun.folder)
    assert same(run, resume(begun, dataset, progress=False))


def test_a_run_keeps_what_its_config_means_here(run, dataset, tmp_path):
    backend = keras.backend.backend()
    assert (run.config.activation, run.config.backend) == ("relu", backend)
    other = "jax" if backend != "jax" else "torch"
    folder = shutil.copytree(run.folder, tmp_path / "run")
    stored = json.loads((folder / "config.json").read_text())
    stored["config"]["backend"] = other
    (folder / "config.json").write_text(json.dumps(stored))
    before = sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))
    with pytest.raises(ConfigError, match=f"Expected Keras on {other}, .*Received: {backend}"):
        resume(folder, dataset, progress=False)
    assert before == sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))


def test_a_full_disk_is_said_and_the_run_goes_on_with_more(
    run, tiny, dataset, small_disk, tmp_path, monkeypatch
):
    monkeypatch.setattr("digitvae.runs.LEAST_FREE_BYTES", 0)
    folder = small_disk / "run"
    filled = small_disk / "filled"
    keep = RunWriter._keep

    def fill(self, epoch):
        if epoch == 1:
            filled.write_bytes(bytes(shutil.disk_usage(small_disk).free // 4096 * 4096))
        keep(self, epoch)

    monkeypatch.setattr(RunWriter, "_keep", fill)
    with pytest.raises(DiskFull) as caught:
        train(tiny(prior="flow"), dataset, folder, progress=False)
    message = str(caught.value)
    assert re.match(
        rf"Expected at least \d+ kB of free disk space for {folder}/model.keras. Received: \d+ kB ", message
    )
    assert message.endswith(f"; 0 of 2 epochs are kept in {folder}, --resume {folder} goes on from there")
    monkeypatch.undo()
    filled.unlink()
    assert same(run, resume(folder, dataset, progress=False))
    assert not [path.name for path in folder.rglob(".*")]


def test_a_taken_folder_is_refused_before_anything_is_built(tiny, dataset, tmp_path):
    (tmp_path / "note").write_text("mine")
    with pytest.raises(FileExistsError):
        train(tiny(), dataset, tmp_path, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["note"]


@pytest.mark.backend
def test_images_without_a_label_train_too(tiny, dataset, tmp_path):
    labels = np.where(np.arange(48) % 4 == 0, dataset.train_labels, -1)
    partly = Dataset("partly", dataset.train_images, labels, dataset.test_images, dataset.test_labels)
    run = train(tiny(prior="flow"), partly, tmp_path / "run", progress=False)
    assert run.config.condition == "label"
    assert np.isfinite(run.history()["elbo"]).all()
    assert run.load_model().labels == 3
