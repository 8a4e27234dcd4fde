"""What others reach on MNIST, each number with its protocol."""

from __future__ import annotations

from dataclasses import dataclass

DATE = "2026-11-23"
"""When this project measured the examples of others; one file in `benchmarks/results` has the same date."""
# Nats do not depend on the machine, beyond the rounding of another processor.
MEASURED = f"measured by this project, median of three seeds, {DATE}"
_GREY = f"trained on grey levels, scored on bits; {MEASURED}"


@dataclass(frozen=True)
class Reference:
    """A number to compare with, of all of MNIST.

    Attributes:
        name: the model.
        source: the paper, or what this project did.
        nll: nats per image; None where only a bound is known.
        bound: -ELBO, nats per image; None where only an NLL is known.
        k: draws of the NLL; None where it is not known for certain.
        training: how long it trained, where known.
        protocol: what its nats are of.
    """

    name: str
    source: str
    nll: float | None = None
    bound: float | None = None
    k: int | None = None
    training: str | None = None
    protocol: str = "dynamic"


REFERENCES = (
    Reference("CR-NVAE, hierarchical", "Sinha and Dieng, NeurIPS 2021", nll=76.93),
    Reference("NVAE, hierarchical", "Vahdat and Kautz, NeurIPS 2020", nll=78.01),
    Reference("ResNet VAE, RealNVP prior, one latent layer", "Xu et al., arXiv:1905.13452", nll=78.49),
    Reference("VAE with VampPrior, MLP", "Tomczak and Welling, AISTATS 2018", nll=82.43),
    Reference("IWAE-50, MLP", "Burda et al., ICLR 2016", nll=84.78, k=5000, training="3,280 epochs"),
    Reference("VAE, MLP", "Burda et al., ICLR 2016", nll=86.76, k=5000, training="3,280 epochs"),
    Reference("pythae's VAE, 784-512-20", _GREY, bound=101.68, training="10 epochs"),
    Reference("PyTorch's example, 784-400-20", _GREY, bound=102.23, training="10 epochs"),
    Reference("NumPyro's example, 784-400-50", MEASURED, bound=104.69, training="10 epochs"),
    Reference("Keras' example, convolutions, 2 latents", _GREY, bound=159.57, training="10 epochs"),
)
