"""The one evaluator: scores every snapshot of a training on the same fixed test bits.

`speedrun.py` runs it, always on TensorFlow, whatever trained. The numbers are those of `digitvae evaluate`:
the same functions, the same bits, the same noise for an image whoever is measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import twins

import digitvae.model  # noqa: F401 - registers the classes that snapshots name
from digitvae.data import fixed_bits, load_dataset
from digitvae.evaluation.likelihood import image_bounds
from digitvae.evaluation.protocols import evenly_spaced
from digitvae.metrics import regression_estimate
from digitvae.model import VAE

ELBO_DRAWS = 10
"""Posterior draws an image for the last -ELBO: its mean over 10,000 images is then good to 0.02 nats. Earlier
epochs have one draw, good to 0.05."""
PROBE_IMAGES = 16
"""Test images for which a peer's own outputs are compared with its twin's."""


def main() -> int:
    """Score one folder and write its `scores.json`; returns the exit code."""
    parser = argparse.ArgumentParser(description="Score the snapshots of one training.")
    parser.add_argument("folder", type=Path, help="what a training script left")
    parser.add_argument("--system", required=True)
    parser.add_argument("--test-images", type=int, required=True)
    parser.add_argument("--k", type=int, required=True, help="draws an image for NLL")
    parser.add_argument("--nll-images", type=int, required=True, help="evenly spaced test images for NLL")
    chosen = parser.parse_args()
    try:
        scores = score(chosen.folder, chosen.system, chosen.test_images, chosen.k, chosen.nll_images)
    except (ValueError, OSError) as error:
        print(f"evaluator: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    temporary = chosen.folder / ".scores.json"
    temporary.write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
    temporary.replace(chosen.folder / "scores.json")
    return 0


def score(folder: Path, system: str, test_images: int, k: int, nll_images: int) -> dict[str, Any]:
    """Measure every snapshot's -ELBO and the last one's NLL, in nats per image.

    Args:
        folder: holds the snapshots `epoch-*.npz` and `outputs.npz` of a peer, or `epoch-*.keras` of digitvae.
        system: the peer's or recipe's name.
        test_images: how many of the first test images are measured for -ELBO.
        k: draws an image of the importance-weighted bound.
        nll_images: how many of these, evenly spaced, are measured for NLL. With fewer than `test_images`,
            the NLL of all of them is estimated with their -ELBO as control variate.

    Returns:
        `neg_elbo` (a list), `nll`, `nll_interval` (95%, None where nothing is estimated), `k`, `images` and
        `nll_images`.

    Raises:
        ValueError: no snapshots, weights that are not finite, or a twin that is not the peer's model.
    """
    bits = fixed_bits(load_dataset().test_images)
    snapshots = sorted(folder.glob("epoch-*.npz")) or sorted(folder.glob("epoch-*.keras"))
    if not snapshots:
        raise ValueError(f"Expected snapshots of epochs. Received: none in {folder}")
    last = read(snapshots[-1], system)
    if snapshots[-1].suffix == ".npz":
        with np.load(folder / "outputs.npz") as outputs:
            twins.check(last, bits[:PROBE_IMAGES], outputs)
    bits = bits[:test_images]
    neg_elbo = []
    for path in snapshots:
        is_last = path == snapshots[-1]
        vae, draws = (last, ELBO_DRAWS) if is_last else (read(path, system), 1)
        terms = image_bounds(vae, bits, draws)
        every = terms.reconstruction + terms.kl
        neg_elbo.append(float(every.mean()))
    subset = evenly_spaced(nll_images, len(bits))
    bound = image_bounds(last, bits[subset], k, indices=subset).bound
    nll, interval = regression_estimate(-bound, every[subset], every)
    if not np.isfinite([*neg_elbo, nll]).all():
        raise ValueError(f"Expected finite scores. Received: neg_elbo={neg_elbo}, nll={nll}")
    return {
        "neg_elbo": neg_elbo,
        "nll": nll,
        "nll_interval": interval,
        "k": k,
        "images": len(bits),
        "nll_images": len(subset),
    }


def read(path: Path, system: str) -> VAE:
    """Load the model of a snapshot.

    Raises:
        ValueError: a peer without a twin.
    """
    if path.suffix == ".keras":
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    if system not in twins.TWINS:
        raise ValueError(f"Expected a system among {', '.join(twins.TWINS)}. Received: {system}")
    with np.load(path) as weights:
        return twins.TWINS[system](weights)


if __name__ == "__main__":
    sys.exit(main())
