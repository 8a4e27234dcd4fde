"""How many bits a pixel takes: `digitvae compress` beside other lossless coders, on the same images.

    python benchmarks/codec.py                       # MNIST's test images, grey and as bits: half an hour
    python benchmarks/codec.py --data lookalikes/folder --model runs/own --name garments        # own data

The images of own data are those that were held out of training. What was measured of other sets stays in the
tables. The other coders need `pip install imagecodecs pyoxipng zstandard`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import machine
import numpy as np
from codec_report import write
from coders import CODERS, measured

from digitvae.codec import find_model
from digitvae.data import fixed_bits, load_dataset
from digitvae.runs import find_run

HERE = Path(__file__).parent
COMMAND = (
    "import sys; from digitvae.cli import main; code = main(sys.argv[1:]); "
    "from coders import peak_bytes; print(peak_bytes()); sys.exit(code)"
)


def main() -> None:
    """Measure, add to the file, write table and plot."""
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "codec.json"
    result: dict[str, Any] = {"sets": {}}
    if path.exists():
        result = json.loads(path.read_text(encoding="utf-8"))
    result["machine"] = machine.facts()
    if options.data is None:
        sets = {"grey": ("grey", _mnist(False)), "bits": ("bits", _mnist(True))}
        sets = {name: sets[name] for name in options.sets}
    else:
        sets = {options.name: (options.model, load_dataset(options.data).test_images)}
    for name, (model, images) in sets.items():
        some = images[: options.images]
        found = result["sets"].setdefault(name, {"coders": {}})
        found |= {"images": len(some), "height": some.shape[1], "width": some.shape[2]}
        found["digitvae"] = ours(model, some)
        for coder in options.coders:
            for whole in (False, True):
                key = f"{coder}, {'one block' if whole else 'one by one'}"
                found["coders"][key] = measured(coder, some, whole)
                print(name, key, found["coders"][key], file=sys.stderr, flush=True)
        write(result, options.out)
    print((options.out / "codec.md").read_text(encoding="utf-8"))


def _mnist(bits: bool) -> np.ndarray:
    """Return MNIST's test images; as the fixed bits that all numbers of bits are of, or grey."""
    images = load_dataset().test_images
    return fixed_bits(images) if bits else images


def ours(model: str, images: np.ndarray) -> dict[str, Any]:
    """Run the two commands, compare what comes back, and compute the model's own bound on the images."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "in.npy", images)
        shared = ["--model", model, "--json"]
        packed = _run("compress", folder / "in.npy", "-o", folder / "x.dvc", *shared)
        unpacked = _run("decompress", folder / "x.dvc", "-o", folder / "out.npy", *shared)
        if not np.array_equal(np.load(folder / "out.npy"), images):
            raise RuntimeError("Expected the images to come back. Received: others")
    codec = find_model(model)
    return {
        "bytes": packed["bytes"],
        "encode_seconds": packed["wall"],
        "decode_seconds": unpacked["wall"],
        "peak_bytes": max(packed["peak"], unpacked["peak"]),
        "cost": packed["cost"],
        "shards": -(-len(images) // 1000),
        "model_bytes": len(codec.to_bytes()),
        "bound": _bound(model, images),
    }


def _run(*arguments: Any) -> dict[str, Any]:
    """Run a command; return what it says, its wall seconds from start to end, and its peak memory."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    wall = time.perf_counter() - began
    *said, peak = done.stdout.splitlines()
    return {**json.loads("\n".join(said)), "wall": wall, "peak": int(peak)}


def _bound(model: str, images: np.ndarray) -> float | None:
    """Return the model's -ELBO in bits per pixel, in floating point, one draw; None without the run."""
    try:
        vae = find_run(model).load_light()
    except (FileNotFoundError, ValueError):
        return None
    x = images / np.float32(255)
    rng, elbo = np.random.default_rng(0), 0.0
    for start in range(0, len(images), 500):
        rows = slice(start, start + 500)
        mean, log_scale = vae.encode_posterior(images[rows])
        noise = rng.standard_normal(mean.shape, "float32")
        z = mean + np.exp(log_scale) * noise
        log_q = (-(noise.astype("float64") ** 2) / 2 - log_scale - np.log(2 * np.pi) / 2).sum(axis=1)
        log_joint = vae.log_likelihood(images[rows], z).astype("float64") + vae.log_prior(z)
        elbo += float((log_joint - log_q).sum())
    return -elbo / np.log(2) / x.size


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", choices=["grey", "bits"], default=["grey", "bits"])
    parser.add_argument("--data", help="own data, as `digitvae train --data` takes them, in place of MNIST")
    parser.add_argument("--model", help="for own data: a run folder with a codec.npz")
    parser.add_argument("--name", help="of own data in the tables")
    parser.add_argument("--coders", nargs="*", choices=list(CODERS), default=list(CODERS))
    parser.add_argument("--images", type=int, help="only so many (a trial)")
    parser.add_argument(
        "--out",
        type=Path,
        default=HERE / "results" / machine.facts()["processor"],
        help="folder of the results",
    )
    options = parser.parse_args()
    if options.data is not None and not (options.model and options.name):
        parser.error("Expected --model and --name with --data. Received: less")
    return options


if __name__ == "__main__":
    main()
