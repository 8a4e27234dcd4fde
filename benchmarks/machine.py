"""What the machine can do and what of it digitvae uses: start-up, matrix products, training.

python benchmarks/machine.py           # about two minutes; nothing else should run meanwhile
python benchmarks/machine.py --json
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import processors
from report_files import write_json

from digitvae.cli.common import start_backend
from digitvae.machine import tensorflow_bfloat16, usable_cores
from digitvae.speed import steps_per_execution
from digitvae.speed.process import tuned_for_training

if TYPE_CHECKING:
    from digitvae.model import VAE

COMMANDS = {
    "python": ["-c", "pass"],
    "help": ["-m", "digitvae", "--help"],
    "import": ["-c", "import digitvae"],
}


def main() -> None:
    """Measure and print."""
    options = _options()
    starts = startup(options.starts)
    with tuned_for_training():
        start_backend("tensorflow")
        result = {
            "machine": facts(),
            "startup": starts,
            "gemm": gemm(options.size, options.products),
            "training": training(options.windows, options.steps),
        }
    reached = result["training"]["gflops"]
    roof = result["gemm"][result["training"]["precision"]]["gflops"]
    result["training"]["share_of_gemm"] = reached / roof
    if options.out is not None:
        write_json(result, options.out)
    print(json.dumps(result, indent=2) if options.json else text(result))


def text(result: dict[str, Any]) -> str:
    """Return the lines for people."""
    machine, start, training = result["machine"], result["startup"], result["training"]
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_bytes'] / 2**30:.1f} GiB",
        f"  digitvae --help   {1000 * start['help']:7.0f} ms more than python alone "
        f"({1000 * start['python']:.0f} ms)",
        f"  import digitvae   {1000 * start['import']:7.0f} ms more",
    ]
    lines += [
        f"  GEMM {name:12} {rate['gflops']:7.0f} GFLOP/s ({rate['size']}^3)"
        for name, rate in result["gemm"].items()
    ]
    lines.append(
        f"  training          {training['gflops']:7.0f} GFLOP/s, {training['share_of_gemm']:.0%} of GEMM in "
        f"{training['precision']}: {training['step_flops'] / 1e9:.2f} GFLOP in "
        f"{1000 * training['step_seconds']:.1f} ms a step of {training['batch_size']} images"
    )
    return "\n".join(lines)


def facts() -> dict[str, Any]:
    """Name the processor, and count its cores and the memory."""
    info, name = processors.cpu_info(), platform.processor() or platform.machine()
    return {
        "cpu": info.get("model name", name),
        "processor": processors.short_name(info, name),
        "cores": usable_cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.machine()}",
    }


def startup(runs: int) -> dict[str, Any]:
    """Time `digitvae --help` and `import digitvae` beyond a bare interpreter, in turns.

    Args:
        runs: of each.

    Returns:
        Medians in seconds: `python` itself, `help` and `import` on top of it; all of them in `seconds`.
    """
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(runs):
        for name, command in COMMANDS.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, *command], stdout=subprocess.DEVNULL, check=True)
            seconds[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    bare = medians["python"]
    return {
        "python": bare,
        "help": medians["help"] - bare,
        "import": medians["import"] - bare,
        "seconds": seconds,
    }


def gemm(size: int, products: int) -> dict[str, dict[str, float]]:
    """Time TensorFlow's product of two square matrices, one on each core: the roof for what follows.

    Args:
        size: rows and columns.
        products: how many rounds are timed; the first one is not.

    Returns:
        For float32, and for bfloat16 where TensorFlow has products in it, `size` and the median rate of all
        cores together in `gflops`.
    """
    import tensorflow as tf

    cores = facts()["cores"]
    rates: dict[str, dict[str, float]] = {}
    dtypes = ["float32"] if tensorflow_bfloat16() == "fatal" else ["float32", "bfloat16"]
    with ThreadPoolExecutor(cores) as pool:
        for dtype in dtypes:
            matrices = [tf.cast(tf.random.normal((size, size), seed=i), dtype) for i in range(cores)]
            seconds = _timed(partial(_squares, pool, matrices), products)
            rates[dtype] = {"size": size, "gflops": cores * 2 * size**3 / seconds / 1e9}
    return rates


def _squares(pool: ThreadPoolExecutor, matrices: list[Any]) -> None:
    """Multiply every matrix by itself, each in a thread of its own."""
    import tensorflow as tf

    list(pool.map(tf.linalg.matmul, matrices, matrices))


def _timed(work: Callable[[], Any], times: int) -> float:
    work()
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def training(windows: int, steps: int) -> dict[str, Any]:
    """Time training steps of the default recipe, as `digitvae train` makes them.

    Args:
        windows: how many windows of steps are timed; one before them, with the compilation, is not.
        steps: steps a window.

    Returns:
        The median `step_seconds`, what it means in `gflops` and `images_per_second`, and their ingredients.
    """
    import keras

    import digitvae
    from digitvae.batches import ArrayRows, ShuffledBatches
    from digitvae.building import resolve_auto

    class Windows(keras.callbacks.Callback):
        """Times each epoch from the end of its first call of the compiled steps to the end of its last."""

        seconds: list[float] = []  # noqa: RUF012 - one object

        def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
            self.ends: list[float] = []

        def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            self.ends.append(time.perf_counter())

        def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
            self.seconds.append((self.ends[-1] - self.ends[0]) / steps)

    config = resolve_auto(digitvae.Config())
    # One call more than is timed: the first of an epoch waits for the data.
    total = steps_per_execution("tensorflow", config.architecture) + steps
    images = digitvae.load_dataset().train_images[: total * config.batch_size]
    vae = digitvae.build(config, (28, 28), total, images)
    callback = Windows()
    vae.fit(
        ShuffledBatches(ArrayRows(images), config.batch_size, config.seed, bits=True).for_fit(),
        epochs=windows + 1,
        shuffle=False,
        callbacks=[callback],
        verbose=0,
    )
    seconds = statistics.median(callback.seconds[1:])
    flops = step_flops(vae, config.batch_size)
    return {
        "precision": config.precision,
        "batch_size": config.batch_size,
        "step_flops": flops,
        "step_seconds": seconds,
        "gflops": flops / seconds / 1e9,
        "images_per_second": config.batch_size / seconds,
        "windows": callback.seconds[1:],
    }


def step_flops(vae: VAE, batch_size: int) -> int:
    """Count the floating-point operations of one training step.

    Counted are the convolutions and dense layers of encoder, decoder and flow prior, two operations for each
    multiplication with an addition, three times: forward, and backward the products for the gradients with
    respect to inputs and weights. Products with a convolution's padding are not counted, as XLA does not
    either. Left out are biases, activations, likelihood, noise and the optimiser, in which Muon's small
    products are the most; the first layer's gradient with respect to the images is counted though nobody
    needs it.

    Args:
        vae: the model; its prior is standard normal or a flow.
        batch_size: images a step.
    """
    draws = vae.objective.draws
    # Of a flow every matrix is used once for each draw.
    prior = sum(math.prod(weight.shape) for weight in vae.prior.weights if weight.name == "kernel")
    products = _products(vae.encoder) + draws * (_products(vae.decoder) + prior)
    return 3 * 2 * batch_size * products


def _products(network: Any) -> int:
    """Count the multiplications of one image's pass through a network of convolutions and dense layers."""
    total = 0
    for layer in network.layers:
        if hasattr(layer, "kernel_size"):
            pairs = zip(layer.input.shape[1:-1], layer.output.shape[1:-1], strict=True)
            sides = zip(pairs, layer.kernel_size, layer.strides, strict=True)
            total += math.prod(layer.kernel.shape[-2:]) * math.prod(_taps(*side) for side in sides)
        elif hasattr(layer, "kernel"):
            total += math.prod(layer.kernel.shape)
    return total


def _taps(sizes: tuple[int, int], kernel: int, stride: int) -> int:
    """Count the pixels inside the image that a convolution's windows see along one side.

    Args:
        sizes: pixels of input and output.
        kernel: width of the window.
        stride: from one window to the next.
    """
    inputs, outputs = sizes
    # What the windows reach beyond the image is padding, the larger half of it at the end.
    before = max(0, (outputs - 1) * stride + kernel - inputs) // 2
    starts = range(-before, -before + outputs * stride, stride)
    return sum(max(0, min(start + kernel, inputs) - max(start, 0)) for start in starts)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure start-up, matrix products and training.")
    parser.add_argument("--starts", type=positive, default=15, help="how often each command is started")
    parser.add_argument("--size", type=positive, default=2048, help="rows and columns of the matrices")
    parser.add_argument("--products", type=positive, default=20, help="matrix products that are timed")
    parser.add_argument("--windows", type=positive, default=7, help="windows of training steps")
    parser.add_argument("--steps", type=positive, default=40, help="training steps a window")
    parser.add_argument("--json", action="store_true", help="print all numbers as JSON")
    parser.add_argument("--out", type=Path, help="also write them into a file")
    return parser.parse_args()


def positive(text: str) -> int:
    """Read a whole number of at least 1 from the command line."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"Expected a whole number of at least 1. Received: {text}")
    return value


if __name__ == "__main__":
    main()
