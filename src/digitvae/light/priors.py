"""The prior of a saved model: the distributions of `digitvae.distributions`, made of its arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from digitvae.distributions import (
    Autoregressive,
    Distribution,
    Flow,
    FlowDistribution,
    Gaussian,
    GaussianMixture,
    Labelled,
    labelled_flow,
)
from digitvae.distributions.operations import by_numpy, ops
from digitvae.light.archive import Archive, NeedsKeras
from digitvae.light.networks import affine

PRIORS = ("StandardNormalPrior", "MixturePrior", "VampPrior", "FlowPrior", "AutoregressivePrior")


def read_prior(archive: Archive, encode: Callable[[np.ndarray], Gaussian]) -> Distribution | Labelled:
    """Return p(z), as the class of `digitvae.priors` of the same name makes it; use it inside of `by_numpy`.

    Args:
        archive: the saved model.
        encode: maps images, float32 (n, height, width) in [0, 1], to the posterior q(z|x).

    Raises:
        NeedsKeras: a prior of another class.
        ValueError: weights are missing.
    """
    kind, config = archive.config["prior"]["class_name"], archive.config["prior"]["config"]
    if kind not in PRIORS:
        raise NeedsKeras(f"a prior of the classes {', '.join(PRIORS)}", kind)
    with by_numpy():
        if kind == "StandardNormalPrior":
            zeros = np.zeros(config["latent_dim"], "float32")
            return Gaussian(zeros, zeros)
        if kind == "MixturePrior":
            logits, means, log_scales = archive.at("layers/mixture_prior")
            return GaussianMixture(logits, Gaussian(means, log_scales))
        if kind == "VampPrior":
            logits, pseudo_inputs = archive.at("layers/vamp_prior")
            return GaussianMixture(logits, encode(ops.sigmoid(pseudo_inputs)))
        if kind == "AutoregressivePrior":
            return _autoregressive_prior(archive)
        return _flow_prior(archive, config)


def _autoregressive_prior(archive: Archive) -> Distribution | Labelled:
    arrays = archive.at("layers/autoregressive_prior")
    kernels, biases, labelled = arrays[:3], arrays[3:6], arrays[6:]
    if not labelled:
        return Autoregressive(kernels, biases)
    embeddings, logits = labelled
    return Labelled(
        partial(Autoregressive, kernels, biases, embeddings),
        len(kernels[0]),
        ops.log_softmax(logits, axis=-1),
    )


def _flow_prior(archive: Archive, config: Mapping[str, Any]) -> FlowDistribution | Labelled:
    folder = "layers/flow_prior"
    steps = f"{folder}/flow/_steps/__affine_coupling"
    networks = [
        [partial(affine, *archive.at(f"{steps}{_suffix(i)}/_network/dense{_suffix(j)}")) for j in range(3)]
        for i in range(config["couplings"])
    ]
    flow = Flow(networks, *archive.at(f"{folder}/flow"))
    own = archive.at(folder)
    if not own:
        return FlowDistribution(flow)
    means, log_scales, logits = own
    base = Gaussian(means, log_scales)
    if config["labels"]:
        return labelled_flow(flow, base, ops.log_softmax(logits, axis=-1))
    return FlowDistribution(flow, GaussianMixture(logits, base))


def _suffix(number: int) -> str:
    """Return what Keras appends to the names of layers of one class in a list."""
    return f"_{number}" if number else ""
