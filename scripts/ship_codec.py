"""Put a trained run into the package as the shipped model `grey` or `bits`, ready for `digitvae compress`.

    python scripts/ship_codec.py runs/grey grey
    python scripts/ship_codec.py runs/bits bits

The run must have its `evaluation.json`. Beside its config, history and model come `codec.npz` and a card;
the numbers in the card are measured here, on all test images. Then look at the card: options of the training
beyond those in it must be added by hand. `scripts/map_shipped.py NAME` adds the explorer's map.
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

from digitvae.codec import BITS, FILE, GREY, SHIPPED, ArchiveReader, codec_model, write
from digitvae.data import fixed_bits, load_dataset
from digitvae.light.archive import Archive
from digitvae.runs import Run

KEPT = ("config.json", "history.csv", "evaluation.json", "model.keras")
LEVELS = {GREY: 256, BITS: 2}
CARD = """# {name}

The model of `digitvae compress` for {what}: a VAE with {latents} latents and an autoregressive prior.

| | |
|---|---|
| data | MNIST, the first 55,000 training images, without labels; the last 5,000 validate, the test images only measure |
| training | `{command}`: {precision} on {backend} |
| log | `history.csv` beside this file; the run shared its cores with other work, so its seconds mean little |
| measures | `evaluation.json` beside this file, protocol {protocol}: -ELBO {bound:.2f} nats = {bound_rate:.4f} bits per pixel, NLL {nll:.2f} (k = {k:,}, {nll_images:,} images) |
| coding | `codec.npz`, {model_bytes:,} bytes, from `digitvae export`: the {images:,} test images{fixed} in a file of {size:,} bytes, {rate:.4f} bits per pixel, {above:+.2f} % from that -ELBO |
| limits | {height} x {width} digits, light on dark; other images are coded too, and stored by zlib where that is shorter |

Archives name this model and the checksum of its `codec.npz`. They need that very file.
"""  # noqa: E501


def main() -> None:
    """Copy, export, measure, and write the card."""
    if len(sys.argv) != 3 or sys.argv[2] not in LEVELS:
        raise SystemExit(__doc__)
    run, name = Run.open(Path(sys.argv[1])), sys.argv[2]
    test = run.read_json("evaluation.json")["test"]
    model = codec_model(Archive(run.folder / "model.keras"), name)
    if model.levels != LEVELS[name]:
        raise SystemExit(f"Expected a model of {LEVELS[name]} levels. Received: {model.levels}")
    images = load_dataset().test_images
    if name == BITS:
        images = fixed_bits(images)
    file = io.BytesIO()
    done = write(file, [images], model)
    again = np.concatenate(list(ArchiveReader(file, lambda *_: model).read()))
    if not np.array_equal(again, images):
        raise SystemExit("Expected the test images to come back. Received: others")
    folder = SHIPPED / name
    folder.mkdir(exist_ok=True)
    for kept in KEPT:
        shutil.copyfile(run.folder / kept, folder / kept)
    (folder / FILE).write_bytes(model.to_bytes())
    (folder / "MODEL_CARD.md").write_text(_card(run, name, test, done, model), encoding="utf-8")
    print((folder / "MODEL_CARD.md").read_text(encoding="utf-8"))


def _card(run: Run, name: str, test: dict[str, Any], done: Any, model: Any) -> str:
    config = run.config
    bound_rate = -test["elbo"] / np.log(2) / model.pixels
    rate = 8 * done.size / done.pixels
    return CARD.format(
        name=name,
        what="grey images" if name == GREY else "images of 0 and 255 alone",
        latents=model.latent_dim,
        command=f"digitvae train --recipe {config.recipe} --prior {config.prior} "
        f"--condition {config.condition} --epochs {config.epochs} --seed {config.seed}",
        precision=config.precision,
        backend=config.backend,
        protocol=run.read_json("evaluation.json")["protocol"],
        bound=-test["elbo"],
        bound_rate=bound_rate,
        nll=test["nll"],
        k=test["nll_k"],
        nll_images=test["nll_images"],
        model_bytes=len(model.to_bytes()),
        images=done.images,
        fixed="" if name == GREY else " (their fixed bits)",
        size=done.size,
        rate=rate,
        above=100 * (rate / bound_rate - 1),
        height=model.image_shape[0],
        width=model.image_shape[1],
    )


if __name__ == "__main__":
    main()
