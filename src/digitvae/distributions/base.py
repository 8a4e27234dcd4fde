"""What distributions share: the type of tensors, float32, and the protocol of distributions over latents."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

from digitvae.distributions.operations import ops

# A tensor of whichever backend runs; Keras has no common type for them.
Tensor: TypeAlias = Any


class Distribution(Protocol):
    """A density over latents that is also a map of standard normal noise; posteriors and priors are both.

    Distributions over pixels are `Likelihood`s: they have `log_prob`, `mean` and `sample`.
    """

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the log-density in nats, float32 (...), of z (..., latent_dim)."""

    def from_noise(self, u: Tensor) -> Tensor:
        """Map base noise u to latents z, both float32 (..., latent_dim)."""

    def to_noise(self, z: Tensor) -> Tensor:
        """Map latents z to base noise u, both float32 (..., latent_dim)."""


def as_float32(values: Tensor) -> Tensor:
    """Convert to a float32 tensor, whatever the global dtype policy says.

    Densities are sums of hundreds of terms of one sign: bfloat16 would keep two of their digits.

    Args:
        values: a tensor of any dtype, a NumPy array, a number or a nested list.

    Returns:
        The same values as a float32 tensor of the running backend; gradients pass through.
    """
    return ops.cast(values, "float32")
