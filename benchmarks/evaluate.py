"""How fast the likelihood is evaluated, beside the decoder alone: the same model, machine and process.

    python benchmarks/evaluate.py                  # the model of the default recipe, with fresh weights
    python benchmarks/evaluate.py --run latest     # a trained one

Importance sampling has to decode every draw, so the decoder's own rate is its limit; all else (noise, prior,
posterior, pixel likelihood, sums) is overhead. Both are measured in turns, and medians are printed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time

import numpy as np

import digitvae
from digitvae.data import fixed_bits
from digitvae.evaluation.likelihood import DECODES_AT_ONCE, image_bounds
from digitvae.machine import usable_cores


def main() -> None:
    """Measure and print."""
    options = _options()
    vae = (
        digitvae.load(options.run)
        if options.run
        else digitvae.build(digitvae.Config(precision="float32"), (28, 28))
    )
    images = fixed_bits(digitvae.load_dataset().test_images[: options.images])
    latents = np.random.default_rng(0).standard_normal((DECODES_AT_ONCE, vae.latent_dim), "float32")
    decodes = options.images * options.k

    def decoder_alone() -> float:
        began = time.perf_counter()
        for _ in range(-(-decodes // DECODES_AT_ONCE)):
            vae.decoder.predict_on_batch(latents)
        return -(-decodes // DECODES_AT_ONCE) * DECODES_AT_ONCE / (time.perf_counter() - began)

    def likelihood() -> float:
        began = time.perf_counter()
        image_bounds(vae, images, options.k)
        return decodes / (time.perf_counter() - began)

    vae.decoder.predict_on_batch(latents)  # compiles
    rates: dict[str, list[float]] = {"decoder": [], "likelihood": []}
    for _ in range(options.rounds):
        rates["decoder"].append(decoder_alone())
        rates["likelihood"].append(likelihood())
        print(
            f"decoder {rates['decoder'][-1]:,.0f}/s, likelihood {rates['likelihood'][-1]:,.0f}/s",
            file=sys.stderr,
        )
    medians = {name: statistics.median(values) for name, values in rates.items()}
    share = statistics.median(b / a for a, b in zip(rates["decoder"], rates["likelihood"], strict=True))
    cores = usable_cores()
    if options.json:
        result = {**rates, "share": share, "images": options.images, "k": options.k, "cores": cores}
        print(json.dumps(result, indent=2))
        return
    print(f"{options.images:,} images, k={options.k}, medians of {options.rounds} rounds, {cores} cores")
    print(f"  decoder alone          {medians['decoder']:9,.0f} decodes/s")
    print(f"  likelihood evaluation  {medians['likelihood']:9,.0f} decodes/s, {share:.0%} of it")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time the likelihood evaluation beside the decoder alone.")
    parser.add_argument(
        "--run", help="a run folder, or latest; by default a fresh model of the default recipe"
    )
    parser.add_argument("--images", type=int, default=400, help="test images")
    parser.add_argument("--k", type=int, default=128, help="draws an image")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured")
    parser.add_argument("--json", action="store_true", help="all rates as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
