"""The ELBO by NumPyro from the same weights: a second opinion on densities, prior, posterior and signs."""

from __future__ import annotations

import numpy as np
import pytest

from digitvae.data import fixed_bits
from digitvae.evaluation.likelihood import image_bounds

PARTICLES = 4000


@pytest.mark.filterwarnings("ignore")  # of the library's own imports
def test_numpyro_gives_the_same_elbo(make_vae, blobs):
    pytest.importorskip("numpyro")
    import jax
    import jax.numpy as jnp
    import numpyro
    from numpyro import distributions as dist
    from numpyro.infer import Trace_ELBO

    vae = make_vae(architecture="dense", blocks=0)
    vae.fit(blobs(64), batch_size=8, epochs=4, verbose=0)
    images = fixed_bits(blobs(6, seed=3))
    x = images.reshape(len(images), -1) / 255.0
    w1, b1, w2, b2 = (np.array(weight) for weight in vae.encoder.get_weights())
    v1, c1, v2, c2 = (np.array(weight) for weight in vae.decoder.get_weights())

    def model(x):
        with numpyro.plate("images", len(x)):
            z = numpyro.sample("z", dist.Normal(0, 1).expand([vae.latent_dim]).to_event(1))
            logits = jax.nn.swish(z @ v1 + c1) @ v2 + c2
            numpyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=x)

    def guide(x):
        mean, log_scale = jnp.split(jax.nn.swish(x @ w1 + b1) @ w2 + b2, 2, axis=-1)
        with numpyro.plate("images", len(x)):
            numpyro.sample("z", dist.Normal(mean, jnp.exp(log_scale)).to_event(1))

    theirs = -Trace_ELBO(num_particles=PARTICLES).loss(jax.random.key(0), {}, model, guide, x) / len(x)
    terms = image_bounds(vae, images, PARTICLES, seed=1)
    ours = -(terms.reconstruction + terms.kl).mean()
    # What one draw an image moves the mean by, over the root of the number of draws, is the error of both.
    single = [image_bounds(vae, images, 1, seed=seed) for seed in range(2, 32)]
    error = np.std([(t.reconstruction + t.kl).mean() for t in single]) * np.sqrt(2 / PARTICLES)
    assert error < 0.1
    assert float(theirs) == pytest.approx(ours, abs=4 * error)
