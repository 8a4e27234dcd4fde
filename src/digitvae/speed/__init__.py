"""Everything that is done for speed alone, each part with its name, and the one switch to turn parts off.

The environment variable `DIGITVAE_OFF` names what to turn off, separated by commas, or is `all`. TABLE
"""

from __future__ import annotations

import os

SWITCH = "DIGITVAE_OFF"
NAMES = ("threads", "memory", "imports", "pipeline", "steps", "adam")


def is_on(name: str) -> bool:
    """Return whether a part is to be used.

    Args:
        name: one of `NAMES`.

    Raises:
        ValueError: the switch names something else.
    """
    off = [part.strip() for part in os.environ.get(SWITCH, "").split(",") if part.strip()]
    if unknown := set(off) - {*NAMES, "all"}:
        raise ValueError(
            f"Expected {SWITCH} to be all or some of {', '.join(NAMES)}. "
            f"Received: {', '.join(sorted(unknown))}"
        )
    return name not in off and "all" not in off


def steps_per_execution(backend: str, architecture: str) -> int:
    """Return the number of training steps between two returns to Python.

    A return takes 2 ms on TensorFlow, more than half a step of a dense model; Ctrl-C and the progress bar
    wait for it. Keras has no such loop on PyTorch. On JAX, XLA runs convolutions slower inside of a loop.
    """
    numbers = {"tensorflow": {"conv": 10, "dense": 40}, "jax": {"dense": 40}}
    return numbers.get(backend, {}).get(architecture, 1) if is_on("steps") else 1
