"""The four graphs of a trained model: encoder, decoder, and the prior both ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from digitvae.distributions import LIKELIHOODS, Distribution, Labelled
from digitvae.distributions.operations import computed_by
from digitvae.light.archive import Archive
from digitvae.light.model import LightVAE
from digitvae.light.networks import Steps
from digitvae.onnx.graph import Graph
from digitvae.onnx.networks import LAYERS
from digitvae.onnx.operations import graph_operations, split

PARTS = ("encoder", "decoder", "prior_sample", "prior_noise")
"""Names of the files, without their ending."""


class Model:
    """A saved model that can be written as ONNX files; Keras is not needed for it.

    Args:
        archive: the saved model.

    Attributes:
        light: the same model, run by NumPy.

    Raises:
        NeedsKeras: a layer, prior or likelihood that is not known here.
        ValueError: weights are missing.
    """

    def __init__(self, archive: Archive):
        self._archive, self.light = archive, LightVAE(archive)

    def facts(self) -> dict[str, Any]:
        """Return what a user of the graphs must know, as JSON takes it.

        `image_shape`, `latent_dim`, `labels` (how many, 0 for none), `label_log_probabilities` (log p(y) in
        nats, empty without labels), `prior` (class of p(z)) and `likelihood` (its name in configs).
        """
        light, prior = self.light, self.light.prior
        shares = prior.log_probabilities.tolist() if isinstance(prior, Labelled) else []
        return {
            "image_shape": list(light.image_shape),
            "latent_dim": light.latent_dim,
            "labels": light.labels,
            "label_log_probabilities": shares,
            "prior": light.prior_name,
            "likelihood": next(name for name, kind in LIKELIHOODS.items() if kind is light.likelihood),
        }

    def graph(self, part: str) -> Graph:
        """Return the graph of one of `PARTS`."""
        graph = Graph(part)
        fill: Callable[[Graph], None] = getattr(self, f"_{part}")
        with computed_by(graph_operations):
            fill(graph)
        return graph

    def _encoder(self, graph: Graph) -> None:
        images = graph.input("images", *self.light.image_shape)
        mean, log_scale = split(Steps(self._archive, "encoder", LAYERS).run(images), 2, axis=1)
        graph.output("mean", mean, self.light.latent_dim)
        graph.output("log_scale", log_scale, self.light.latent_dim)

    def _decoder(self, graph: Graph) -> None:
        latents = graph.input("latents", self.light.latent_dim)
        parameters = Steps(self._archive, "decoder", LAYERS).run(latents)
        likelihood = self.light.likelihood
        graph.output("pixels", likelihood(parameters).mean, *self.light.image_shape)
        graph.output("parameters", parameters, *self.light.image_shape, likelihood.channels())

    def _prior_sample(self, graph: Graph) -> None:
        noise = graph.input("noise", self.light.latent_dim)
        graph.output("latents", self._prior(graph).from_noise(noise), self.light.latent_dim)

    def _prior_noise(self, graph: Graph) -> None:
        latents = graph.input("latents", self.light.latent_dim)
        prior = self._prior(graph)
        graph.output("noise", prior.to_noise(latents), self.light.latent_dim)
        graph.output("log_density", prior.log_prob(latents))

    def _prior(self, graph: Graph) -> Distribution:
        prior = self.light.prior
        if isinstance(prior, Labelled):
            return prior.given(graph.input("labels", prior.labels))
        return prior
