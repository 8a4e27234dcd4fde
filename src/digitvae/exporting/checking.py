"""Whether an exported model does what Keras does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from digitvae import seeds
from digitvae.distributions.operations import ops

if TYPE_CHECKING:
    from digitvae.model import VAE

LARGEST_DIFFERENCE = 1e-4
"""Of a number; of its share, where it is above 1."""

PARTS_OF_PRIOR = ("prior_sample", "prior_noise")
"""They take labels too, where the prior depends on them."""

Arrays = Mapping[str, np.ndarray]


def functions(vae: VAE) -> dict[str, Callable[..., dict[str, Any]]]:
    """Return the parts of a model as functions of tensors by name, to tensors by name.

    They are what is exported, under the names and with the shapes of docs/export.md.
    """

    def prior(labels: Any) -> Any:
        found: Any = vae.prior.distribution(vae.posterior)
        return found if labels is None else found.given(labels)

    def encoder(images: Any) -> dict[str, Any]:
        posterior = vae.posterior(images)
        return {"mean": posterior.mean, "log_scale": posterior.log_scale}

    def decoder(latents: Any) -> dict[str, Any]:
        parameters = ops.cast(vae.decoder(latents), "float32")
        return {"pixels": vae.likelihood(parameters).mean, "parameters": parameters}

    def prior_sample(noise: Any, labels: Any = None) -> dict[str, Any]:
        return {"latents": prior(labels).from_noise(noise)}

    def prior_noise(latents: Any, labels: Any = None) -> dict[str, Any]:
        found = prior(labels)
        return {"noise": found.to_noise(latents), "log_density": found.log_prob(latents)}

    return {f.__name__: f for f in (encoder, decoder, prior_sample, prior_noise)}


def differences(
    vae: VAE, run: Callable[[str, Arrays], Arrays], largest: float = LARGEST_DIFFERENCE
) -> dict[str, float]:
    """Compare an exported model with Keras on random inputs, one row and several.

    Args:
        vae: the model.
        run: runs a part of the exported one: its name and inputs, float32 arrays by name, to its outputs.
        largest: that is allowed.

    Returns:
        The largest difference of every output, by names such as `decoder.pixels`; of its share of the number
        where that is above 1.

    Raises:
        RuntimeError: one is above that, or no number.
    """
    found: dict[str, float] = {}
    parts = functions(vae)
    for rows in (1, 32):
        rng = seeds.stream(0, "export", rows)
        noise = rng.standard_normal((rows, vae.latent_dim), "float32")
        labels = (
            {"labels": np.eye(vae.labels, dtype="float32")[rng.integers(vae.labels, size=rows)]}
            if vae.labels
            else {}
        )
        latents = _by_keras(parts["prior_sample"], {"noise": noise, **labels})["latents"]
        inputs: dict[str, Arrays] = {
            "encoder": {"images": rng.random((rows, *vae.image_shape), "float32")},
            "decoder": {"latents": latents},
            "prior_sample": {"noise": noise, **labels},
            "prior_noise": {"latents": latents, **labels},
        }
        for part, given in inputs.items():
            got = run(part, given)
            for name, expected in _by_keras(parts[part], given).items():
                key = f"{part}.{name}"
                # NumPy's maximum, unlike Python's, keeps what is no number.
                found[key] = float(np.maximum(found.get(key, 0.0), difference(got[name], expected)))
    check_differences(found, largest)
    return found


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference; of its share of the expected number, where that is above 1."""
    return float((np.abs(found - expected) / np.maximum(1, np.abs(expected))).max())


def check_differences(found: Mapping[str, float], largest: float) -> None:
    """Refuse an exported model that differs from Keras.

    Args:
        found: the largest difference of every output, by name.
        largest: that is allowed.

    Raises:
        RuntimeError: one is above that, or no number.
    """
    for name, value in found.items():
        if not value <= largest:
            raise RuntimeError(
                f"Expected an exported model within {largest} of Keras. "
                f"Received: {name}, which is {value:.2g} off"
            )


def _by_keras(function: Callable[..., dict[str, Any]], inputs: Arrays) -> Arrays:
    import keras

    tensors = {name: keras.ops.convert_to_tensor(array) for name, array in inputs.items()}
    return {name: keras.ops.convert_to_numpy(value) for name, value in function(**tensors).items()}
