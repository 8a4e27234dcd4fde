"""The files of the page by their addresses, and the folder of `--format web`."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

import digitvae
from digitvae.explorer import site as module
from digitvae.explorer.film import Film
from digitvae.explorer.site import PAGE, film_site, run_site
from digitvae.exporting import description, web


def test_a_run_has_all_that_the_page_asks_for(run):
    files = run_site(run, description(run)).files()
    names = {"index.html", "data/explorer.json", "data/map.bin"}
    names |= {f"model/{name}" for name in ("graphs.json", "weights.bin", "model.json")}
    assert names <= set(files)
    facts = json.loads(files["model/model.json"])
    assert facts["image_shape"] == [9, 13]
    assert (facts["labels"], facts["latent_dim"], facts["likelihood"]) == (3, 4, "bernoulli")
    np.testing.assert_allclose(np.exp(facts["label_log_probabilities"]).sum(), 1, rtol=1e-5)
    assert facts["digitvae"] == digitvae.__version__
    assert json.loads(files["data/explorer.json"])["film"] is None


def test_everything_that_the_page_links_is_there():
    index = (PAGE / "index.html").read_text()
    links = re.findall(r'(?:src|href)="(\./[^"#]+)"', index)
    assert len(links) >= 3
    assert all((PAGE / link).is_file() for link in links)
    assert not re.search(r'(?:src|href)="(?:/|https?:)', index)  # any path of any host


def test_a_training_has_its_film_alone(run):
    site = film_site(run)
    facts = json.loads(site.read("data/explorer.json"))
    assert (facts["map"], facts["model"], facts["film"]) == (None, None, "film.json")
    assert site.read("data/film.json") is None
    (run.folder / "film").mkdir()
    (run.folder / "film" / "film.json").write_text('{"epochs": [], "live": false}')
    assert json.loads(site.read("data/film.json"))["live"] is True
    assert site.read("model/weights.bin") is None


def test_a_run_with_a_film_shows_it_as_finished(run):
    (run.folder / "film").mkdir()
    (run.folder / "film" / "e001.bin").write_bytes(b"frame")
    (run.folder / "film" / "base.bin").write_bytes(b"base")
    entry = {"epoch": 1, "elbo": -1.0, "file": "film/e001.bin"}
    (run.folder / "film" / "film.json").write_text(json.dumps({"epochs": [entry]}))
    files = run_site(run, description(run)).files()
    assert json.loads(files["data/explorer.json"])["film"] == "film.json"
    assert json.loads(files["data/film.json"]) == {"epochs": [entry], "live": False}
    assert (files["data/film/e001.bin"], files["data/film/base.bin"]) == (b"frame", b"base")


def test_a_checkout_without_the_page_is_told_to_build_it(run, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "PAGE", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"npm run build.*Received: no .*index.html"):
        run_site(run, {})


def test_the_folder_has_the_files_of_the_site_and_nothing_else(run, tmp_path):
    done = digitvae.export(run, tmp_path / "out", "web")
    files = run_site(run, description(run)).files()
    written = {
        p.relative_to(done.folder).as_posix(): p.read_bytes() for p in done.folder.rglob("*") if p.is_file()
    }
    manifest = json.loads(written.pop("model.json"))
    assert manifest["kind"] == "web"
    assert written == files
    assert 0 < max(done.differences.values()) < 0.03
    assert done.differences["decoder.pixels"] < 1e-3
    # An export takes the place of an earlier one.
    digitvae.export(run, tmp_path / "out", "web")


def test_a_model_that_differs_leaves_nothing(run, tmp_path, monkeypatch):
    graph_content = web.graph_content

    def other(files, *arguments):
        tensors = json.loads(files["graphs.json"])["tensors"].values()
        floats = [entry for entry in tensors if entry["type"] in ("r2", "f4")]
        largest = max(floats, key=lambda entry: np.prod(entry["shape"]))
        content = bytearray(files["weights.bin"])
        end = largest["offset"] + 2 * int(np.prod(largest["shape"]))
        content[largest["offset"] : end] = bytes(end - largest["offset"])
        return graph_content({**files, "weights.bin": bytes(content)}, *arguments)

    monkeypatch.setattr(web, "graph_content", other)
    with pytest.raises(RuntimeError, match=r"within 0.03 of Keras. Received: "):
        digitvae.export(run, tmp_path / "out", "web")
    assert list(tmp_path.iterdir()) == []


def test_pixels_that_differ_leave_nothing(run, tmp_path, monkeypatch):
    monkeypatch.setattr(web, "LARGEST_OF_PIXELS", 0)
    with pytest.raises(RuntimeError, match="Expected pixels within 0 of Keras"):
        digitvae.export(run, tmp_path / "out", "web")
    assert list(tmp_path.iterdir()) == []


def test_files_that_hosts_do_not_take_are_refused(run, tmp_path, monkeypatch):
    monkeypatch.setattr(web, "LARGEST_FILE", 4000)
    with pytest.raises(ValueError, match=r"Expected files of at most 4,000 bytes.*Received: .* of [\d,]+"):
        digitvae.export(run, tmp_path / "out", "web")
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_the_shipped_model_is_small(tmp_path):
    import gzip

    run = digitvae.find_run("mnist")
    files = run_site(run, description(run)).files()
    assert sum(len(gzip.compress(content)) for content in files.values()) < 3_000_000
    assert Film(run.folder).names() == []
