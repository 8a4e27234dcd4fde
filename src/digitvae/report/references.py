"""What others reach on MNIST, each number with its protocol."""

from __future__ import annotations

from dataclasses import dataclass

PUBLISHED, MEASURED = "published", "measured by this project"
CROSS_ENTROPY = "grey-cross-entropy"
OTHER_PROTOCOLS = {CROSS_ENTROPY: "cross-entropy of grey pixels plus KL, which is no likelihood"}
"""Protocols that no run of this package has."""

_TEN_EPOCHS = "10 epochs, 2 CPU cores"


@dataclass(frozen=True)
class Reference:
    """A number to compare with.

    Attributes:
        name: the model.
        protocol: what its nats are of.
        kind: `PUBLISHED` in a paper, or `MEASURED` by this project, one run on two CPU cores.
        source: the paper, or the program.
        bound: -ELBO, nats per image; None where only an NLL is known.
        nll: nats per image; None where only a bound is known.
        k: draws of the NLL; None where it is not recorded here.
        training: how long it trained, where known.
    """

    name: str
    protocol: str
    kind: str
    source: str
    bound: float | None = None
    nll: float | None = None
    k: int | None = None
    training: str | None = None


REFERENCES = (
    Reference("CR-NVAE, hierarchical", "dynamic", PUBLISHED, "Sinha and Dieng, NeurIPS 2021", nll=76.93),
    Reference("NVAE, hierarchical", "dynamic", PUBLISHED, "Vahdat and Kautz, NeurIPS 2020", nll=78.01),
    Reference(
        "ResNet VAE, RealNVP prior, one latent layer",
        "dynamic",
        PUBLISHED,
        "Xu et al., arXiv:1905.13452",
        nll=78.49,
    ),
    Reference(
        "VAE with VampPrior, MLP", "dynamic", PUBLISHED, "Tomczak and Welling, AISTATS 2018", nll=82.43
    ),
    Reference(
        "IWAE-50, MLP",
        "dynamic",
        PUBLISHED,
        "Burda et al., ICLR 2016",
        nll=84.78,
        k=5000,
        training="3,280 epochs",
    ),
    Reference(
        "VAE, MLP",
        "dynamic",
        PUBLISHED,
        "Burda et al., ICLR 2016",
        nll=86.76,
        k=5000,
        training="3,280 epochs",
    ),
    Reference(
        "NumPyro 0.22, 784-400-50",
        "dynamic",
        MEASURED,
        "examples/vae.py",
        bound=104.9,
        training=f"45 s, {_TEN_EPOCHS}",
    ),
    Reference(
        "pythae 0.1.2, MLP, 20 latents",
        CROSS_ENTROPY,
        MEASURED,
        "VAE with BCE",
        bound=105.1,
        training=f"83 s, {_TEN_EPOCHS}",
    ),
    Reference(
        "PyTorch example, 784-400-20",
        CROSS_ENTROPY,
        MEASURED,
        "vae/main.py",
        bound=105.6,
        training=f"101 s, {_TEN_EPOCHS}",
    ),
    Reference(
        "Keras example, convolutions, 2 latents",
        CROSS_ENTROPY,
        MEASURED,
        "official VAE example",
        bound=183.0,
        training="4 epochs of 35 s, 2 CPU cores",
    ),
)
"""All of MNIST. An NLL stands with its k where the k is known for certain."""
