"""Batches: the same ones for the same seed and epoch, whoever asks and however often."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from digitvae.batches import ArrayRows, ShuffledBatches

pytestmark = pytest.mark.backend


def test_batches_depend_on_seed_and_epoch_alone(blobs):
    images = np.arange(50, dtype="uint8")[:, None, None] * np.ones((1, 9, 13), "uint8")

    def order(seed, epoch, past=()):
        batches = ShuffledBatches(ArrayRows(images), 8, seed, bits=False)
        for earlier in past:
            batches.start_epoch(earlier)
        batches.start_epoch(epoch)
        return [batches[i][0][:, 0, 0].tolist() for i in range(len(batches))]

    assert order(0, 3) == order(0, 3, past=(0, 1, 2)) == order(0, 3, past=(7,))
    assert len({str(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1, 2)}) == 6
    batches = order(0, 0)
    assert [len(batch) for batch in batches] == [8] * 6
    assert len(set(itertools.chain(*batches))) == 48
    # What one epoch leaves out another one takes.
    assert set().union(*itertools.chain(*(order(0, epoch) for epoch in range(4)))) == set(range(50))


@pytest.mark.parametrize("bits", [False, True], ids=["grey", "bits"])
def test_fit_reads_the_batches_in_their_order(blobs, bits):
    batches = ShuffledBatches(ArrayRows(blobs(203)), 8, 0, bits)
    data = batches.for_fit()
    for epoch in (0, 5):
        batches.start_epoch(epoch)
        read = [np.asarray(images) for (images,) in itertools.islice(data, 25)]
        np.testing.assert_array_equal(read, [batches[i][0] for i in range(25)])
        assert {images.dtype for images in read} == {np.dtype("bool" if bits else "uint8")}
        if not bits:
            np.testing.assert_array_equal(np.concatenate(read), batches.rows.images[batches.rows.order[:200]])
    assert len(data) == len(batches) == 25


@pytest.mark.parametrize("labelled", [False, True])
def test_labels_stay_with_their_images(blobs, labelled):
    images, labels = blobs(43), np.arange(43)
    batches = ShuffledBatches(ArrayRows(images, labels), 8, 0, False, labelled)
    data = batches.for_fit()
    batches.start_epoch(1)
    for batch in itertools.islice(data, 5):
        assert len(batch) == 1 + labelled
        if labelled:
            read, numbers = map(np.asarray, batch)
            assert numbers.dtype == "int32"
            np.testing.assert_array_equal(read, images[numbers])


def test_bits_depend_on_seed_epoch_and_batch_alone():
    images = np.full((16, 9, 13), 128, "uint8")

    def drawn(seed, epoch):
        batches = ShuffledBatches(ArrayRows(images), 8, seed, bits=True)
        batches.start_epoch(epoch)
        return [batches[i][0] for i in (1, 0)]

    np.testing.assert_array_equal(drawn(0, 3), drawn(0, 3))
    different = [bits.tobytes() for seed in (0, 1) for epoch in (0, 1, 2) for bits in drawn(seed, epoch)]
    assert len(set(different)) == len(different)


def test_a_batch_is_never_larger_than_the_data(blobs):
    batches = ShuffledBatches(ArrayRows(blobs(3)), 128, 0, bits=True)
    assert len(batches) == 1
    assert len(batches[0][0]) == 3


def test_augmented_images_depend_on_seed_epoch_and_batch_alone(blobs):
    def made(seed, epoch, augment=1.0):
        batches = ShuffledBatches(ArrayRows(blobs(16)), 8, seed, bits=False, augment=augment)
        batches.start_epoch(epoch)
        return np.stack([batches[i][0] for i in (1, 0)])

    np.testing.assert_array_equal(made(0, 3), made(0, 3))
    assert not np.array_equal(made(0, 3), made(0, 3, augment=0.0))
    # The order is that without augmentation, and another epoch has other distortions of the same image.
    order = [
        ShuffledBatches(ArrayRows(blobs(16)), 8, 0, bits=False, augment=a).rows.order.tolist()
        for a in (0.0, 1.0)
    ]
    assert order[0] == order[1]
    whole = [ShuffledBatches(ArrayRows(blobs(16)), 16, 0, bits=False, augment=1.0) for _ in range(2)]
    whole[1].start_epoch(1)
    first, second = (batches[0][0][np.argsort(batches.rows.order)] for batches in whole)
    assert (first != second).any(axis=(1, 2)).sum() > 4
