"""The pictures of docs/gallery.md: the commands beside them still make them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from digitvae import cli

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "gallery.md").read_text(encoding="utf-8")
COMMANDS = [shlex.split(line) for line in re.findall(r"^    digitvae (.+)$", PAGE, re.MULTILINE)]
SHOWN = re.findall(r"\]\(images/gallery/([^)]+)\)", PAGE)


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("L"), float)


def test_every_picture_has_its_command_and_every_command_its_picture():
    assert [command[-1] for command in COMMANDS] == SHOWN
    assert sorted(SHOWN) == sorted(path.name for path in (DOCS / "images" / "gallery").iterdir())


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[-1])
def test_a_command_makes_its_picture(command, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("warnings.showwarning", None)
    assert cli.main(command) == 0, capsys.readouterr().err
    found, shown = (pixels(path) for path in (tmp_path / command[-1], DOCS / "images/gallery" / command[-1]))
    assert found.shape == shown.shape
    # Processors differ in rounding, and chains of draws then part: other strokes, but as many.
    drawn = command[0] in ("denoise", "inpaint")
    assert np.abs(found - shown).mean() < (40 if drawn else 2)
