"""Probability distributions: densities, maps from noise, and nothing about networks or training."""

from digitvae.distributions.autoregressive import Autoregressive
from digitvae.distributions.base import Distribution, Tensor
from digitvae.distributions.flows import Flow, FlowDistribution, labelled_flow
from digitvae.distributions.gaussian import Gaussian, GaussianMixture
from digitvae.distributions.labelled import Labelled
from digitvae.distributions.likelihoods import (
    LIKELIHOODS,
    Bernoulli,
    ContinuousBernoulli,
    DiscretisedLogisticMixture,
    Likelihood,
)

__all__ = [
    "LIKELIHOODS",
    "Autoregressive",
    "Bernoulli",
    "ContinuousBernoulli",
    "DiscretisedLogisticMixture",
    "Distribution",
    "Flow",
    "FlowDistribution",
    "Gaussian",
    "GaussianMixture",
    "Labelled",
    "Likelihood",
    "Tensor",
    "labelled_flow",
]
