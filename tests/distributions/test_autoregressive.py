"""The masked network: what each latent sees, and its density against SciPy's."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from keras import ops
from scipy import stats

from digitvae.distributions import Autoregressive
from digitvae.distributions.autoregressive import masks

pytestmark = pytest.mark.backend


def made(latent_dim=5, hidden=16, components=3, seed=0):
    """Returns a density with random weights, and these."""
    rng = np.random.default_rng(seed)
    sizes = (latent_dim, hidden, hidden, latent_dim * 3 * components)
    kernels = [rng.normal(scale=0.4, size=shape).astype("float32") for shape in pairwise(sizes)]
    biases = [rng.normal(scale=0.4, size=size).astype("float32") for size in sizes[1:]]
    return Autoregressive(kernels, biases), kernels, biases


@pytest.mark.parametrize("latent_dim", [1, 2, 5, 40])
def test_paths_lead_from_each_latent_to_all_later_ones_and_no_other(latent_dim):
    first, second, third = masks(latent_dim, 128, 6 * latent_dim)
    paths = (first @ second @ third).reshape(latent_dim, latent_dim, 6)
    expected = np.triu(np.ones((latent_dim, latent_dim)), k=1)
    for parameter in range(6):
        np.testing.assert_array_equal(paths[:, :, parameter] > 0, expected)


def test_the_density_is_the_product_of_conditionals():
    density, kernels, biases = made()
    z = np.random.default_rng(1).normal(size=(4, 5)).astype("float32")
    shown = [kernel * mask for kernel, mask in zip(kernels, masks(5, 16, 45), strict=True)]
    expected = np.zeros(4)
    for row, code in enumerate(z):
        hidden = np.maximum(code @ shown[0] + biases[0], 0)
        hidden = np.maximum(hidden @ shown[1] + biases[1], 0)
        params = (hidden @ shown[2] + biases[2]).reshape(5, 3, 3)
        for value, (logits, means, raw) in zip(code, params, strict=True):
            shares = np.exp(logits) / np.exp(logits).sum()
            scales = np.exp(5 * np.tanh(raw / 5))
            expected[row] += np.log((shares * stats.norm(means, scales).pdf(value)).sum())
    np.testing.assert_allclose(ops.convert_to_numpy(density.log_prob(z)), expected, rtol=1e-4)


def test_noise_comes_back_through_five_latents():
    density, *_ = made()
    noise = np.random.default_rng(0).standard_normal((200, 5), "float32")
    z = ops.convert_to_numpy(density.from_noise(noise))
    np.testing.assert_allclose(ops.convert_to_numpy(density.to_noise(z)), noise, atol=2e-3)
    # The noise of a latent decides it and those after it.
    changed = noise.copy()
    changed[:, 2] += 0.5
    other = ops.convert_to_numpy(density.from_noise(changed))
    np.testing.assert_allclose(other[:, :2], z[:, :2], atol=1e-6)
    assert (other[:, 2] > z[:, 2]).all()
    assert (np.abs(other[:, 3:] - z[:, 3:]).max(axis=0) > 1e-3).all()
