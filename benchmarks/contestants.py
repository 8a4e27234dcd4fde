"""What can take part in a speed run: digitvae's recipes and the peers."""

from __future__ import annotations

from typing import NamedTuple

from digitvae.config import BACKENDS, PRECISIONS, RECIPES


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
    """What RECIPE@OPTION asks for; options, in any order: backend, number of epochs, precision."""

    recipe: str
    backend: str = "tensorflow"
    epochs: str = ""
    precision: str = ""


def variant_of(name: str) -> Variant | None:
    """Read the name of one of our systems; None if it is none."""
    recipe, *options = name.split("@")
    found: dict[str, str] = {}
    for option in options:
        kind = _kind(option)
        if kind is None or kind in found:
            return None
        found[kind] = option
    return Variant(recipe, **found) if recipe in OURS else None


def _kind(option: str) -> str | None:
    if option == "auto":
        return None
    if option in BACKENDS:
        return "backend"
    if option in PRECISIONS:
        return "precision"
    return "epochs" if option.isdecimal() and int(option) > 0 else None
