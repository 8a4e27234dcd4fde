"""What can take part in a speed run: digitvae's recipes and the peers."""

from __future__ import annotations

from typing import NamedTuple

from digitvae.cli.common import BACKENDS
from digitvae.config import RECIPES


class Peer(NamedTuple):
    """Another VAE to compare with."""

    script: str
    """Its training script in `systems/`."""
    module: str
    """What has to be importable for it."""
    package: str
    """What to install for that."""
    what: str
    """What it is, in a few words."""


PEERS = {
    "pytorch": Peer("pytorch_example", "torch", "torch", "PyTorch's official example, 784-400-20"),
    "numpyro": Peer("numpyro_example", "numpyro", "numpyro", "NumPyro's example, 784-400-50, jitted"),
    "pythae": Peer("pythae_vae", "pythae", "pythae", "pythae's VAE, 784-512-20"),
    "keras": Peer(
        "keras_example", "tensorflow", "tensorflow-cpu", "Keras' official example, conv, 2 latents"
    ),
}
# Recipes for other pixels than bits have nats of another kind.
OURS = {name: what for name, (what, changes) in RECIPES.items() if "binarization" not in changes}


class Variant(NamedTuple):
    """What RECIPE@BACKEND or RECIPE@EPOCHS asks for."""

    recipe: str
    backend: str = "tensorflow"
    epochs: str = ""


def variant_of(name: str) -> Variant | None:
    """Read the name of one of our systems; None if it is none."""
    recipe, _, what = name.partition("@")
    if recipe not in OURS:
        return None
    if what in BACKENDS:
        return Variant(recipe, backend=what)
    if what.isdecimal() and int(what) > 0:
        return Variant(recipe, epochs=what)
    return Variant(recipe) if name == recipe else None
