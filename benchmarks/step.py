"""Where the time of a training step goes on TensorFlow: the CPU time of each kind of operation.

    python benchmarks/step.py classic                  # about a minute; nothing else should run meanwhile
    python benchmarks/step.py classic@float32 --json

Batches and their bits are made beforehand, so a step here is all that a user's step takes but for its data.
The CPU time of all operations, divided by the cores, is the least that a step could take if no operation
waited for another. TensorFlow's profiler leaves out operations that its executor has found to take
microseconds; which these are depends on the machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from contestants import Variant, variant_of
from machine import facts, positive

from digitvae.cli.common import start_backend
from digitvae.machine import usable_cores
from digitvae.speed import steps_per_execution
from digitvae.speed.process import tuned_for_training

if TYPE_CHECKING:
    from digitvae.model import VAE

# A step's operations carry the path of the loop that runs several steps in one call.
_IN_STEP = "while/body/"


def main() -> None:
    """Measure and print."""
    options = _options()
    system = variant_of(options.system)
    if system is None or system.backend != "tensorflow" or system.epochs:
        sys.exit(f"Expected a recipe, or RECIPE@PRECISION. Received: {options.system}")
    with tuned_for_training():
        start_backend("tensorflow")
        result = {"machine": facts(), **measured(system, options.calls)}
    print(json.dumps(result, indent=2) if options.json else text(result))


def measured(system: Variant, calls: int) -> dict[str, Any]:
    """Time steps of a recipe, then profile as many.

    Args:
        system: a recipe with its options; it trains without labels.
        calls: of the compiled steps, timed and profiled each; two before them are neither.

    Returns:
        `step_ms`, the median over calls; `operations`, for each kind the CPU time `cpu_ms` and the `count`
        per step; `cpu_ms` of all; `least_ms`, the same divided by the cores.
    """
    import tensorflow as tf

    import digitvae
    from digitvae.building import resolve_auto
    from digitvae.data import draw_bits, load_dataset

    precision = system.precision or None
    config = resolve_auto(digitvae.resolve(system.recipe, precision=precision, condition="none"))
    size = steps_per_execution("tensorflow", config.architecture)
    images = load_dataset().train_images[: size * config.batch_size]
    bits = draw_bits(images, np.random.default_rng(config.seed))
    batches = tf.data.Dataset.from_tensor_slices((bits.reshape(size, config.batch_size, *bits.shape[1:]),))
    batches = batches.cache().repeat()
    vae = digitvae.build(config, bits.shape[1:], size * calls)
    _fit(vae, batches, 2 * size)
    seconds = _fit(vae, batches, (1 + calls) * size)
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        _fit(vae, batches, calls * size)
        tf.profiler.experimental.stop()
        operations = profiled(Path(folder), calls * size)
    total = sum(operation["cpu_ms"] for operation in operations.values())
    return {
        "recipe": config.recipe,
        "precision": config.precision,
        "step_ms": 1e3 * statistics.median(seconds) / size,
        "cpu_ms": total,
        "least_ms": total / usable_cores(),
        "operations": operations,
    }


def _fit(vae: VAE, batches: Any, steps: int) -> list[float]:
    """Train, and return the seconds from each return to Python to the next."""
    import keras

    ends: list[float] = []

    def note(batch: int, logs: Any) -> None:
        ends.append(time.perf_counter())

    noting = keras.callbacks.LambdaCallback(on_train_batch_end=note)
    vae.fit(batches, epochs=1, steps_per_epoch=steps, shuffle=False, callbacks=[noting], verbose=0)
    return list(np.diff(ends))


def profiled(folder: Path, steps: int) -> dict[str, dict[str, float]]:
    """Read TensorFlow's profile of some steps.

    Args:
        folder: where the profiler wrote.
        steps: how many there were.

    Returns:
        By kind of operation, the most expensive first: CPU milliseconds and number per step.
    """
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    (path,) = folder.rglob("*.xplane.pb")
    space = xplane_pb2.XSpace.FromString(path.read_bytes())
    durations: dict[str, list[int]] = defaultdict(list)
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name, _, kind = plane.event_metadata[event.metadata_id].name.rpartition(":")
                if _IN_STEP in name:
                    durations[kind].append(event.duration_ps)
    found = {
        kind: {"cpu_ms": sum(each) / 1e9 / steps, "count": len(each) / steps}
        for kind, each in durations.items()
    }
    return dict(sorted(found.items(), key=lambda item: -item[1]["cpu_ms"]))


def text(result: dict[str, Any]) -> str:
    """Return what was measured as lines; kinds below a hundredth of the whole are one line."""
    lines = [
        f"{result['recipe']}, {result['precision']}: {result['step_ms']:.2f} ms per step without its data; "
        f"{result['cpu_ms']:.2f} ms of CPU time, at least {result['least_ms']:.2f} ms on these cores"
    ]
    rest = 0.0
    for kind, operation in result["operations"].items():
        if operation["cpu_ms"] < result["cpu_ms"] / 100:
            rest += operation["cpu_ms"]
        else:
            lines.append(f"{operation['cpu_ms']:6.3f} ms  {operation['count']:5.1f}  {kind}")
    return "\n".join([*lines, f"{rest:6.3f} ms         all others"])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Show where the time of a training step goes on TensorFlow.")
    parser.add_argument("system", help="a recipe, or RECIPE@PRECISION")
    parser.add_argument("--calls", type=positive, default=10, help="of the compiled steps (default: 10)")
    parser.add_argument("--json", action="store_true", help="print all numbers")
    return parser.parse_args()


if __name__ == "__main__":
    main()
