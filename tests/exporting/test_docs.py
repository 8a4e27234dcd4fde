"""What docs/export.md says, as it stands there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

import digitvae
from digitvae.exporting import FORMATS
from digitvae.onnx import PARTS

PAGE = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")


def test_the_example_draws_digits_without_this_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    digitvae.export("mnist", "exported")
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert "digitvae" not in example
    names = {}
    exec(example, names)
    pixels = names["pixels"]
    assert (pixels.shape, pixels.dtype) == ((10, 28, 28), np.float32)
    # The digits are those that were asked for.
    vae = digitvae.load_light("mnist")
    found = digitvae.classify(vae, np.rint(255 * pixels).astype(np.uint8)).argmax(axis=1)
    assert (found == np.arange(10)).mean() >= 0.8
    # Every key of the manifest is explained.
    assert set(json.loads(Path("exported/model.json").read_text())) == set(
        re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", PAGE.split("model.json` says")[1], re.M)))
    )


def test_every_format_and_part_is_told():
    assert set(re.findall(r"--format ([\w-]+)", PAGE)) == set(FORMATS)
    assert set(re.findall(r"^\| `(\w+)` \| `", PAGE, re.MULTILINE)) == set(PARTS)
