"""Probability distributions: densities, maps from noise, and nothing about networks or training."""

from digitvae.distributions.base import Distribution, Tensor
from digitvae.distributions.flows import Flow, FlowDistribution, LabelledFlow
from digitvae.distributions.gaussian import Gaussian, GaussianMixture
from digitvae.distributions.likelihoods import (
    LIKELIHOODS,
    Bernoulli,
    ContinuousBernoulli,
    DiscretisedLogisticMixture,
    Likelihood,
)

__all__ = [
    "LIKELIHOODS",
    "Bernoulli",
    "ContinuousBernoulli",
    "DiscretisedLogisticMixture",
    "Distribution",
    "Flow",
    "FlowDistribution",
    "Gaussian",
    "GaussianMixture",
    "LabelledFlow",
    "Likelihood",
    "Tensor",
]
