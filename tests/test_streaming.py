"""Training on shards: every image once an epoch, in an order of (seed, epoch) alone; resumable, bounded."""

from __future__ import annotations

import numpy as np
import pytest

from digitvae import streaming
from digitvae.batches import ShuffledBatches
from digitvae.runs import Run
from digitvae.shards import Shard, place, write_shards
from digitvae.streaming import StreamedDataset, load_dataset, training_and_validation
from digitvae.training import resume, train

COUNT, BUFFER = 400, 110

pytestmark = pytest.mark.filterwarnings("ignore:the posterior has collapsed:RuntimeWarning")


@pytest.fixture(scope="module", params=[".npz", pytest.param(".parquet", marks=pytest.mark.ray)])
def folder(request, tmp_path_factory):
    """Shards of 30 distinct images each, whose labels belong to them, sorted by label."""
    if request.param == ".parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path_factory.mktemp("data") / "shards"
    images, labels = drawn()
    there = place(path)
    there.make()
    list(write_shards(there, [Shard(images, labels, np.arange(COUNT))], rows=30, suffix=request.param))
    return path


@pytest.fixture(autouse=True)
def small_buffer(monkeypatch):
    monkeypatch.setattr(streaming, "BUFFER_ROWS", BUFFER)


def drawn():
    images = np.random.default_rng(0).integers(0, 256, (COUNT, 9, 13), dtype="uint8")
    return images, np.arange(COUNT) * 3 // COUNT


def epoch(rows, number, step=37, seed=0):
    rows.start_epoch(seed, number)
    parts = [rows.take(i, min(i + step, len(rows))) for i in range(0, len(rows), step)]
    return np.concatenate([part.images for part in parts]), np.concatenate([part.labels for part in parts])


def test_every_image_trains_once_an_epoch_or_is_held_out(folder):
    dataset = load_dataset(folder)
    assert isinstance(dataset, StreamedDataset)
    seen, labels = epoch(dataset.rows, 0)
    images, truth = drawn()
    parts = [seen, dataset.test_images, dataset.validation.images]
    assert [len(part) for part in parts] == [315, 57, 28]
    assert sorted(image.tobytes() for part in parts for image in part) == sorted(map(bytes, images))
    known = dict(zip(map(bytes, images), truth, strict=True))
    assert [known[bytes(image)] for image in seen] == labels.tolist()
    assert set(dataset.validation.labels) == {0, 1, 2}  # of shards that are sorted by label
    assert training_and_validation(dataset)[1] is dataset.validation


def test_the_order_depends_on_seed_and_epoch_alone(folder):
    dataset = load_dataset(folder)
    first = epoch(dataset.rows, 0)[0]
    assert not np.array_equal(first, epoch(dataset.rows, 1)[0])
    assert not np.array_equal(first, epoch(dataset.rows, 0, seed=1)[0])
    np.testing.assert_array_equal(first, epoch(dataset.rows, 0, step=50)[0])
    # From anywhere, without what comes before: what a resume needs.
    other = load_dataset(folder).rows
    other.start_epoch(0, 0)
    np.testing.assert_array_equal(other.take(200, 263).images, first[200:263])


def test_the_buffer_is_bounded_and_mixes_shards(folder):
    rows = load_dataset(folder).rows
    epoch(rows, 0)
    assert max(window.count for window in rows._windows) <= BUFFER
    assert len(rows._read) <= 3
    assert max(len(window.shards) for window in rows._windows) >= 3


def test_the_digest_is_that_of_the_data(folder, tmp_path):
    images, labels = drawn()
    digests = {load_dataset(folder).sha256, load_dataset(folder).sha256}
    assert len(digests) == 1
    for name, changed in (("same", images), ("other", images[::-1])):
        there = place(tmp_path / name)
        there.make()
        shard = Shard(np.ascontiguousarray(changed), labels, np.arange(COUNT))
        list(write_shards(there, [shard], rows=30, suffix=next(folder.iterdir()).suffix))
        digests.add(load_dataset(tmp_path / name).sha256)
    assert len(digests) == 2


def test_batches_of_shards_are_those_that_are_read(folder):
    rows = load_dataset(folder).rows
    batches = ShuffledBatches(rows, 40, 5, bits=False)
    batches.start_epoch(2)
    found = [batches[i] for i in range(len(batches))]
    images, labels = epoch(rows, 2, seed=5)
    assert len(found) == 315 // 40
    np.testing.assert_array_equal(np.concatenate([batch[0] for batch in found]), images[:280])
    np.testing.assert_array_equal(np.concatenate([batch[1] for batch in found]), labels[:280])


def test_a_label_that_nothing_in_memory_has_is_an_error(folder):
    rows = load_dataset(folder).rows
    rows._labels = 2
    rows.start_epoch(0, 0)
    with pytest.raises(ValueError, match=r"^Expected labels below 2, .* Received: 2"):
        rows.take(0, len(rows))


def test_too_few_images_are_an_error(tmp_path):
    there = place(tmp_path)
    there.write("shard-00000.npz", b"")
    with pytest.raises(ValueError, match=r"^Expected a whole \.npz file"):
        load_dataset(tmp_path)
    images, labels = drawn()
    list(write_shards(there, [Shard(images[:2], labels[:2], np.arange(2))], rows=30, suffix=".npz"))
    with pytest.raises(ValueError, match=r"^Expected at least 3 images .* Received: .* with 2"):
        load_dataset(tmp_path)


def test_a_training_on_shards_resumes_to_the_same_weights(folder, tmp_path, tiny):
    if folder.parent.name != "data0":
        pytest.skip("one format is enough")
    config = tiny(prior="flow", data=str(folder), batch_size=40)
    whole = train(config, folder=tmp_path / "whole", progress=False)

    def interrupt(batch, logs=None):
        if part.history().get("epoch"):
            raise KeyboardInterrupt

    import keras

    part = Run(tmp_path / "part", config, (9, 13), "")
    with pytest.raises(KeyboardInterrupt, match="1 of 2 epochs are kept"):
        train(
            config, folder=part.folder, progress=False,
            callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=interrupt)],
        )  # fmt: skip
    resumed = resume(part.folder, progress=False)
    for ours, theirs in zip(whole.load_model().weights, resumed.load_model().weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
