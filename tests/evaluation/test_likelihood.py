"""Importance sampling against a VAE whose likelihood is known."""

from __future__ import annotations

import numpy as np
import pytest

from digitvae.evaluation.likelihood import even_batch_size, image_bounds

pytestmark = pytest.mark.backend


def test_with_the_exact_posterior_the_bound_is_the_likelihood(linear_gaussian):
    solved = linear_gaussian()
    terms = image_bounds(solved.vae, solved.images, 4)
    np.testing.assert_allclose(terms.bound, solved.log_p, atol=1e-3)
    np.testing.assert_allclose(-(terms.reconstruction + terms.kl), solved.log_p, atol=1e-3)


def test_the_nll_converges_to_the_closed_form(linear_gaussian):
    solved = linear_gaussian(0.7, shift=0.5, widening=1.2)
    steps = (1, 10, 100, 4000)
    curve = image_bounds(solved.vae, solved.images, 4000, curve=steps).curve
    gaps = (solved.log_p - curve).mean(axis=1)
    assert list(gaps) == sorted(gaps, reverse=True)
    assert gaps[0] > 1
    np.testing.assert_allclose(curve[-1], solved.log_p, atol=0.1)
    assert gaps[-1] == pytest.approx(0, abs=0.03)


def test_grey_images_are_refused_by_a_model_of_bits(make_vae, blobs):
    with pytest.raises(ValueError, match=r"Expected bits, 0 or 255, for .* Received: grey images"):
        image_bounds(make_vae(), blobs(2), 1)


@pytest.mark.parametrize(
    ("count", "most", "size"), [(100, 64, 50), (64, 64, 64), (3, 64, 3), (5, 0, 1), (0, 9, 1)]
)
def test_batches_are_even(count, most, size):
    assert even_batch_size(count, most) == size
