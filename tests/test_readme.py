"""What the README shows, run as it stands there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import digitvae

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs_on_all_of_mnist(python, tmp_path):
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    shapes = "\nprint(latents.shape, again.shape, new_digits.shape, new_digits.dtype, mnist.latent_dim)"
    done = python("-c", example + shapes, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    test, printed = done.stdout.strip().splitlines()
    assert printed == "(10000, 20) (10000, 28, 28) (16, 28, 28) uint8 40"
    measured = ast.literal_eval(test)
    assert measured["images"] == 10_000
    # One epoch of this recipe comes to 150 nats.
    assert -160 < measured["elbo"] < -130
    assert -measured["elbo"] > measured["nll"] > 100


def test_the_shown_recipes_exist():
    shown = re.findall(r"--recipe (\w+)", README) + re.findall(r'resolve\("(\w+)"', README)
    assert len(shown) >= 3
    for name in shown:
        assert digitvae.resolve(name).epochs >= 1


def test_one_duration_is_promised():
    script = (Path(__file__).parent.parent / "vae.py").read_text(encoding="utf-8")
    found = [re.findall(r"about (\w+ minutes) on two cores", text) for text in (README, script)]
    assert found[0] == found[1]
    assert len(found[0]) == 1


def test_no_nll_stands_without_its_draws_and_images():
    quoted = [part for part in README.split("\n\n") if re.search(r"NLL \d", part)]
    assert quoted
    for part in quoted:
        assert "k = " in part
        assert re.search(r"all\s+10,000|estimate", part)
