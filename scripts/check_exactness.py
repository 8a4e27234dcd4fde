"""Compress the same images on what looks like other processors, and by other threads, Python and NumPy.

    python scripts/check_exactness.py MODEL                     # a folder with a codec.npz, or a shipped name
    python scripts/check_exactness.py MODEL --python other/bin/python ...   # further environments

An environment needs NumPy, constriction and threadpoolctl alone. All archives must be the same, byte by byte,
and all environments and disguises read the first one.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from digitvae.data import fixed_bits, load_dataset
from digitvae.machine import cpu_flags

ROOT = Path(__file__).parents[1]
OLD = "old"
DISGUISES: dict[str, dict[str, str]] = {
    "as it is": {},
    "Haswell, 1 thread": {"OPENBLAS_CORETYPE": "Haswell", "THREADS": "1", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "Zen, 3 threads": {"OPENBLAS_CORETYPE": "Zen", "THREADS": "3"},
    "Nehalem, NumPy without AVX": {
        "OPENBLAS_CORETYPE": "Nehalem",
        "NPY_DISABLE_CPU_FEATURES": OLD,
        "ONEDNN_MAX_CPU_ISA": "SSE41",
    },
    "1 image at a time": {"CHUNK": "1"},
    "BLAS with 2 threads": {"BLAS": "2", "THREADS": "1"},
}
# OpenBLAS believes that the processor has what it is told, and would end by an illegal instruction.
if {"avx512f", "avx512vl"} <= cpu_flags():
    DISGUISES["SkylakeX, 2 threads"] = {
        "OPENBLAS_CORETYPE": "SkylakeX",
        "THREADS": "2",
        "ONEDNN_MAX_CPU_ISA": "AVX512_CORE",
    }
SCRIPT = """
import contextlib, hashlib, os, platform, sys
import numpy as np
from digitvae.codec import archive, find_model, compress, decompress, network
model, images, path = find_model(sys.argv[1]), np.load(sys.argv[2]), sys.argv[3]
workers = int(os.environ.get("THREADS", 2))
network._CHUNK_PIXELS = int(os.environ.get("CHUNK", network._CHUNK_PIXELS))
if "BLAS" in os.environ:
    archive.threadpool_limits = lambda *_: contextlib.nullcontext()
content = compress(images, model, workers)
if not os.path.exists(path):
    open(path, "wb").write(content)
same = np.array_equal(decompress(open(path, "rb").read(), model, workers), images)
print(hashlib.sha256(content).hexdigest()[:16], len(content), "images came back" if same else "OTHER IMAGES",
      "Python", platform.python_version(), "NumPy", np.__version__)
"""
FEATURES = """
from numpy._core import _multiarray_umath as n
print(*(name for name in n.__cpu_dispatch__ if n.__cpu_features__[name]))
"""


def main() -> None:
    """Run all, print a line each, and fail where one differs."""
    options = _options()
    images = load_dataset().test_images[: options.images]
    if options.bits:
        images = fixed_bits(images)
    found = set()
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/images.npy", images)
        arguments = [options.model, f"{folder}/images.npy", f"{folder}/first.dvc"]
        for python in [sys.executable, *options.python]:
            old = _run(python, FEATURES)
            for name, disguise in DISGUISES.items():
                variables = {key: old if value == OLD else value for key, value in disguise.items()}
                said = _run(python, SCRIPT, *arguments, **variables)
                print(f"{said}: {name}", flush=True)
                found.add(said.split(" Python ")[0])
    if len(found) != 1 or "OTHER" in "".join(found):
        raise SystemExit("Expected the same archive and images everywhere. Received: others")


def _run(python: str, script: str, *arguments: str, **variables: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **variables}
    done = subprocess.run(
        [python, "-W", "ignore", "-c", script, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--python", nargs="*", default=[], help="interpreters of further environments")
    parser.add_argument("--images", type=int, default=2000, help="of MNIST's test images")
    parser.add_argument("--bits", action="store_true", help="their fixed bits, for a model of bits")
    return parser.parse_args()


if __name__ == "__main__":
    main()
