"""What notebooks show of objects: text in a table, and nothing that is loaded or run."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from digitvae.config import Config
from digitvae.evaluation import Evaluation
from digitvae.light import read_model
from digitvae.markup import html_table
from digitvae.runs import Run
from digitvae.scoring import Scores


def parsed(html):
    """Return the caption and the rows of a table, after a check that it holds text alone."""
    table = ET.fromstring(html)
    assert {element.tag for element in table.iter()} <= {"table", "caption", "tr", "th", "td"}
    assert not any(element.attrib for element in table.iter())
    rows = [[cell.text for cell in row] for row in table.iter("tr")]
    return table.findtext("caption"), rows


def test_text_cannot_become_markup():
    odd = "<img src=x onerror=alert(1)> & \"'"
    assert parsed(html_table(odd, [(odd, odd)], [odd])) == (odd, [[odd], [odd, odd]])


@pytest.mark.backend
def test_models_say_what_they_are(make_vae, tmp_path):
    vae = make_vae(prior="flow")
    vae.save(tmp_path / "model.keras")
    light = read_model(tmp_path / "model.keras")
    caption, rows = parsed(vae._repr_html_())
    assert caption == "VAE"
    assert dict(rows) == {
        "images": "9 x 13 pixels",
        "latents": "4",
        "labels": "none",
        "p(z)": "FlowPrior",
        "p(x|z)": "Bernoulli",
    }
    assert parsed(light._repr_html_()) == ("LightVAE", rows)


def test_a_run_says_what_was_trained(tmp_path):
    run = Run.create(Config(data="a<b>"), (9, 13), "", tmp_path / "<b>")
    caption, rows = parsed(run._repr_html_())
    assert caption == f"Run {tmp_path / '<b>'}"
    assert ["data", "a<b>, 9 x 13 pixels"] in rows


def test_scores_of_many_images_are_cut():
    columns = np.arange(5 * 25, dtype="float64").reshape(5, 25)
    caption, rows = parsed(Scores(*columns)._repr_html_())
    assert caption == "Scores of 25 images"
    assert rows[0] == ["image", *Scores._fields]
    assert rows[1:] == [[str(i), *(f"{25 * j + i}" for j in range(5))] for i in range(10)]
    assert len(parsed(Scores(*columns[:, :0])._repr_html_())[1]) == 1


def test_an_evaluation_shows_its_main_numbers():
    test = {
        "images": 10_000,
        "elbo": -83.456,
        "reconstruction": 57.0,
        "kl": 26.456,
        "nll": 80.1,
        "nll_k": 128,
    }
    numbers = {"protocol": "dynamic", "test": {**test, "nll_k": 128, "mse": 0.00373, "pca_mse": 0.01403}}
    nothing = np.zeros(0)
    caption, rows = parsed(Evaluation(numbers, *[nothing] * 7)._repr_html_())
    assert caption == "10,000 test images, protocol dynamic"
    assert ["-ELBO", "83.46 nats"] in rows
    assert ["NLL (k=128)", "80.10 nats"] in rows
    assert ["MSE", "0.00373"] in rows
