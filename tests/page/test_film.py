"""The film of a training."""

import json

import numpy as np
from page_steps import EPOCHS, linked, pixels_of

SHAPE = (28, 28)


def test_the_film_is_played(address, opened, filmed):
    page = opened(f"{address}#tab=film&epoch=1")
    page.wait_for_selector(".film-samples canvas")
    page.wait_for_timeout(500)
    assert page.locator("#panel-film [role=status]").inner_text().startswith(f"Epoch 1 of {EPOCHS}")
    start = 8 * 50
    first = np.frombuffer(filmed["film/e001.bin"][start : start + 784], "uint8").reshape(SHAPE)
    assert (pixels_of(page, ".film-samples canvas >> nth=0") == first).all()
    second = np.frombuffer(filmed["film/e001.bin"][start + 7 * 784 : start + 8 * 784], "uint8").reshape(SHAPE)
    assert (pixels_of(page, "#panel-film .pairs canvas >> nth=4") == second).all()
    page.click("#film-play")
    page.wait_for_selector(f"text=Epoch {EPOCHS} of {EPOCHS}")
    time = page.locator("#film-time")
    time.focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector(f"text=Epoch {EPOCHS - 1} of {EPOCHS}")
    assert linked(page, "epoch") == str(EPOCHS - 1)


def test_the_film_grows_while_the_model_trains(browser, opened, filmed, served):
    facts = json.loads(filmed["film.json"])

    class Growing:
        """A site like that of a run that is being trained."""

        epochs = 0

        def read(self, name):
            from digitvae.explorer.site import read_page

            if name == "data/film.json":
                live = {**facts, "live": True, "epochs": facts["epochs"][: self.epochs]}
                return json.dumps(live).encode()
            if name == "data/explorer.json":
                empty = {"format": 1, "points": 0, "latent_dim": 0, "map": None, "model": None}
                empty |= {"information": [], "latent_mean": [], "latent_scale": [], "film": "film.json"}
                return json.dumps(empty).encode()
            return filmed.get(name.removeprefix("data/")) or read_page().get(name or "index.html")

    site = Growing()
    with served(site) as url:
        page = opened(url, "text=the first epoch is not over yet")
        for epochs in (1, 3):
            site.epochs = epochs
            page.wait_for_selector(f"text=Epoch {epochs} of {EPOCHS}")
        assert page.locator(".live").is_visible()


def test_a_model_without_a_film_says_how_to_get_one(opened, served, page_of):
    with served(page_of("mnist")) as url:
        page = opened(url)
        page.click("#tab-film")
        panel = page.locator("#panel-film")
        assert panel.locator("text=There is no film").is_visible()
        assert panel.locator("code").all_inner_texts() == [
            "digitvae train --watch",
            "digitvae explore latest",
        ]
        assert panel.locator("button, canvas").count() == 0
