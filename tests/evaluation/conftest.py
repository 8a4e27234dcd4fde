"""Models with weights from NumPy, so that the numbers of a test are the same on every backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from digitvae.data import fixed_bits


@pytest.fixture(scope="session")
def random_vae(make_vae) -> Callable[..., Any]:
    """Return a maker of tiny dense VAEs with random weights; arguments are those of `make_vae`."""

    def make(**changes: Any) -> Any:
        vae = make_vae(architecture="dense", blocks=0, **changes)
        rng = np.random.default_rng(0)
        for part, size in ((vae.encoder, 0.1), (vae.decoder, 0.4), (vae.prior, 0.3)):
            part.set_weights([size * rng.standard_normal(w.shape) for w in part.get_weights()])
        return vae

    return make


@pytest.fixture(scope="module")
def vae(random_vae):
    """A small model that tests do not change."""
    return random_vae()


@pytest.fixture(scope="module")
def bits(blobs):
    """Five images of bits."""
    return fixed_bits(blobs(5, seed=3))
