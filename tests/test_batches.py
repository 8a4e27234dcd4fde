"""Batches: the same ones for the same seed and epoch, whoever asks and however often."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from digitvae.batches import ShuffledBatches

pytestmark = pytest.mark.backend


def test_batches_depend_on_seed_and_epoch_alone(blobs):
    images = np.arange(50, dtype="uint8")[:, None, None] * np.ones((1, 9, 13), "uint8")

    def order(seed, epoch, past=()):
        batches = ShuffledBatches(images, 8, seed, bits=False)
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
    batches = ShuffledBatches(blobs(203), 2, 0, bits)  # more than are made ahead
    data = batches.for_fit()
    for epoch in (0, 5):
        batches.start_epoch(epoch)
        read = [np.asarray(images) for (images,) in itertools.islice(data, 101)]
        np.testing.assert_array_equal(read, [batches[i][0] for i in range(101)])
        assert {images.dtype for images in read} == {np.dtype("bool" if bits else "uint8")}
        if not bits:
            np.testing.assert_array_equal(np.concatenate(read), batches.images[batches.order.ravel()])
    assert len(data) == len(batches) == 101


def test_bits_depend_on_seed_epoch_and_batch_alone():
    images = np.full((16, 9, 13), 128, "uint8")

    def drawn(seed, epoch):
        batches = ShuffledBatches(images, 8, seed, bits=True)
        batches.start_epoch(epoch)
        return [batches[i][0] for i in (1, 0)]

    np.testing.assert_array_equal(drawn(0, 3), drawn(0, 3))
    different = [bits.tobytes() for seed in (0, 1) for epoch in (0, 1, 2) for bits in drawn(seed, epoch)]
    assert len(set(different)) == len(different)


def test_a_batch_is_never_larger_than_the_data(blobs):
    batches = ShuffledBatches(blobs(3), 128, 0, bits=True)
    assert len(batches) == 1
    assert len(batches[0][0]) == 3
