"""NumPyro's example, `examples/vae.py` of pyro-ppl/numpyro, restated on the installed numpyro.

784-400-50-400-784 with softplus, fresh bits at every step, `SVI` with `Trace_ELBO`, Adam at 1e-3, batches of
128, an epoch as one jitted loop; the original trains 15 epochs, here 10 as everywhere. Kinder to it than the
original: the images are an argument of the jitted epoch instead of a constant that XLA has to compile, and it
neither tests nor draws between the epochs.
"""

from __future__ import annotations

import time
from functools import partial

import jax
import numpy as np
import numpyro
from jax import lax, random
from jax import numpy as jnp
from jax.example_libraries import stax
from numpyro import distributions, optim
from numpyro.infer import SVI, Trace_ELBO
from recorder import Recorder, options, save_arrays, scaled

EPOCHS, BATCH_SIZE, LEARNING_RATE = 10, 128, 1e-3
PIXELS, HIDDEN, LATENTS = 784, 400, 50


def dense(units: int):
    """Return a dense layer with the example's small random weights."""
    return stax.Dense(units, W_init=stax.randn())


ENCODER = stax.serial(
    dense(HIDDEN),
    stax.Softplus,
    stax.FanOut(2),
    stax.parallel(dense(LATENTS), stax.serial(dense(LATENTS), stax.Exp)),
)
DECODER = stax.serial(dense(HIDDEN), stax.Softplus, dense(PIXELS), stax.Sigmoid)


def model(batch) -> None:
    """State p(x, z)."""
    decode = numpyro.module("decoder", DECODER, (len(batch), LATENTS))
    with numpyro.plate("batch", len(batch)):
        z = numpyro.sample("z", distributions.Normal(0, 1).expand([LATENTS]).to_event(1))
        numpyro.sample("x", distributions.Bernoulli(decode(z)).to_event(1), obs=batch)


def guide(batch) -> None:
    """State q(z|x)."""
    encode = numpyro.module("encoder", ENCODER, (len(batch), PIXELS))
    mean, scale = encode(batch)
    with numpyro.plate("batch", len(batch)):
        numpyro.sample("z", distributions.Normal(mean, scale).to_event(1))


def main() -> None:
    """Train."""
    chosen = options()
    recorder = Recorder(chosen.folder)
    generator = np.random.default_rng(chosen.seed)
    images = jnp.asarray(scaled(chosen.images).reshape(-1, PIXELS))
    steps = len(images) // BATCH_SIZE
    svi = SVI(model, guide, optim.Adam(LEARNING_RATE), Trace_ELBO())

    def binarize(key, batch):
        return random.bernoulli(key, batch).astype(batch.dtype)

    @jax.jit
    def train_epoch(state, key, images, order):
        def step(i, carry):
            total, state = carry
            rows = lax.dynamic_slice_in_dim(order, i * BATCH_SIZE, BATCH_SIZE)
            state, loss = svi.update(state, binarize(random.fold_in(key, i), images[rows]))
            return total + loss, state

        return lax.fori_loop(0, steps, step, (0.0, state))

    key, for_bits, for_weights = random.split(random.PRNGKey(chosen.seed), 3)
    state = svi.init(for_weights, binarize(for_bits, images[:BATCH_SIZE]))
    for _ in range(chosen.epochs or EPOCHS):
        began = time.perf_counter()
        key, for_epoch = random.split(key)
        order = jnp.asarray(generator.permutation(len(images)))
        total, state = jax.block_until_ready(train_epoch(state, for_epoch, images, order))
        seconds = time.perf_counter() - began
        snapshot = partial(save_arrays, arrays=weights(svi.get_params(state)))
        recorder.epoch_ends(steps * BATCH_SIZE, seconds, snapshot)
        print(f"loss {float(total) / (steps * BATCH_SIZE):.2f}", flush=True)
    recorder.finish(["numpyro", "jax", "numpy"], lambda: outputs(svi.get_params(state), scaled(chosen.probe)))


def weights(parameters) -> dict[str, np.ndarray]:
    """Return the weights by the names of their layers."""
    hidden, _, _, (mean, (log_scale, _)) = parameters["encoder$params"]
    decoder_hidden, _, pixels, _ = parameters["decoder$params"]
    layers = {
        "encoder_hidden": hidden,
        "mean": mean,
        "log_scale": log_scale,
        "decoder_hidden": decoder_hidden,
        "pixels": pixels,
    }
    return {
        f"{name}.{part}": np.asarray(value)
        for name, layer in layers.items()
        for part, value in zip(("kernel", "bias"), layer, strict=True)
    }


def outputs(parameters, images: np.ndarray) -> dict[str, np.ndarray]:
    """Return what the twin has to agree with."""
    mean, scale = ENCODER[1](parameters["encoder$params"], images.reshape(-1, PIXELS))
    probabilities = DECODER[1](parameters["decoder$params"], mean)
    return {
        "mean": np.asarray(mean),
        "log_scale": np.log(scale),
        "probabilities": np.asarray(probabilities).reshape(images.shape),
    }


if __name__ == "__main__":
    main()
