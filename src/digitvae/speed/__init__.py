"""Everything that is done for speed alone, each part with its name, and the one switch to turn parts off.

The environment variable `DIGITVAE_OFF` names what to turn off, separated by commas, or is `all`.

How much longer it takes without a part: the training steps and the whole process of `classic` (three epochs),
and the CPU time of the process, which others on the machine disturb least. Medians of three pairs of runs by
`benchmarks/parts.py` on an AMD EPYC (Zen 4). docs/speedrun.md has the spread and other systems. `onednn` was
measured with `default` on an EPYC of Zen 3: newer processors have it anyway, and dense models gain nothing.

| part     | what it does                                         | steps   | process | CPU time |
|----------|------------------------------------------------------|---------|---------|----------|
| onednn   | TensorFlow: oneDNN's kernels on every x86 processor  | +42 %   | +23 %   | +28 %    |
| threads  | TensorFlow: half of the cores for each operation     | +24 %   | +13 %   | +10 %    |
| imports  | packages are hidden from Keras while it is imported  | +6 %    | +19 %   | +13 %    |
| pipeline | TensorFlow: several batches from Python at once      | +30 %   | +3 %    | +10 %    |
| steps    | several training steps in one call, on TensorFlow    | +33 %   | +11 %   | +6 %     |
|          | and on JAX                                           | +11 %   | -3 %    | +8 %     |
| adam     | TensorFlow: one kernel per variable                  | -14 %   | +14 %   | +13 %    |
"""

from __future__ import annotations

import os

SWITCH = "DIGITVAE_OFF"
NAMES = ("onednn", "threads", "imports", "pipeline", "steps", "adam")


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
