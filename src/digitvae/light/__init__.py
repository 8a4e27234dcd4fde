"""Trained models without Keras: read from their file, run by NumPy.

They start in a fraction of a second and give what `digitvae.VAE` gives, up to rounding. They do not train.
"""

from digitvae.light.archive import NeedsKeras
from digitvae.light.model import LightVAE, read_model

__all__ = ["LightVAE", "NeedsKeras", "read_model"]
