"""Streams of named uses: repeatable, and independent of one another."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from digitvae import seeds
from digitvae.batches import ArrayRows, ShuffledBatches
from digitvae.building import build

PATHS = [(), ("prior",), ("pixels",), ("prior", 0), ("prior", 1), ("prior", 0, 0), (0,), ("0",)]


def test_a_path_always_names_the_same_stream():
    for path in PATHS:
        first, second = (seeds.stream(3, *path).random(5) for _ in range(2))
        np.testing.assert_array_equal(first, second)
        assert 0 <= seeds.integer(3, *path) == seeds.integer(3, *path) < 2**31


def test_streams_of_other_paths_and_seeds_are_other_streams():
    draws = [seeds.stream(seed, *path).integers(0, 2**62) for seed in range(50) for path in PATHS]
    assert len(set(draws)) == len(draws)
    numbers = [seeds.integer(seed, *path) for seed in range(50) for path in PATHS]
    assert len(set(numbers)) == len(numbers)


def test_networks_and_priors_of_two_seeds_share_no_weights(tiny):
    from digitvae.couplings import CouplingFlow

    def kernels(seed):
        return [w.numpy() for w in CouplingFlow(40, 8, 128, seed=seed).weights if w.shape == (128, 128)]

    every = [kernel for seed in range(4) for kernel in kernels(seed)]
    assert len(every) == 32
    for one, other in itertools.combinations(every, 2):
        assert (one == other).mean() < 0.01  # single numbers may agree by chance
    for prior in ("mixture", "vamp", "flow"):
        weights = [build(tiny(prior=prior, seed=seed), (9, 13)).get_weights() for seed in (0, 1, 2)]
        for one, other in itertools.combinations(weights, 2):
            drawn = [(a, b) for a, b in zip(one, other, strict=True) if a.size > 1 and a.std() > 0]
            assert drawn
            assert all((a != b).any() for a, b in drawn)


def test_generating_and_encoding_draw_other_noise(make_vae, blobs):
    vae = make_vae(prior="normal")
    images = blobs(6)
    mean, log_scale = vae.encode_posterior(images)
    posterior_noise = (vae.encode(images, sample=True, seed=5) - mean) / np.exp(log_scale)
    taken = []
    vae.latents_from_noise = lambda noise, labels: taken.append(noise) or noise
    vae.generate(6, seed=5)
    assert np.abs(np.corrcoef(posterior_noise.ravel(), taken[0].ravel())[0, 1]) < 0.9
    assert not np.isclose(posterior_noise, taken[0], atol=1e-3).any()


def test_order_and_bits_of_batches_share_no_stream(blobs):
    # An order and the bits of its first batch once came from seeds that differ by a zero at the end.
    states = set()
    for seed, epoch in itertools.product((0, 1), (0, 1)):
        batches = ShuffledBatches(ArrayRows(blobs(48)), 8, seed, bits=True)
        batches.start_epoch(epoch)
        states |= {batches.rows.order.tobytes(), *(batches[i][0].tobytes() for i in range(len(batches)))}
    assert len(states) == 4 * 7


@pytest.mark.parametrize("seed", [0, 1])
def test_evaluation_does_not_meet_the_noise_of_training(make_vae, blobs, seed):
    vae = make_vae(seed=seed)
    seen = [ops.convert_to_numpy(vae.seed_generator.state).tolist()]
    callback = keras.callbacks.LambdaCallback(
        on_test_begin=lambda logs: seen.append(ops.convert_to_numpy(vae.seed_generator.state).tolist())
    )
    vae.evaluate(blobs(3), seed=seed, verbose=0, callbacks=[callback])
    assert seen[0] != seen[1]
