"""The page as a whole: access, widths, what is missing, other models."""

import numpy as np
import pytest
from page_steps import draw, linked_code, pixels_of, shown, wait_for_other


def test_people_who_cannot_see_or_point_can_use_it(address, opened, drawing):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = opened(address)
    draw(page, drawing(2))
    page.wait_for_selector(".results:not([hidden])")
    serious = []
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        for tab in ("draw", "sliders", "samples", "film"):
            page.click(f"#tab-{tab}")
            page.wait_for_timeout(400)  # colours change slowly
            found = axe.run(page).response["violations"]
            serious += [
                (theme, tab, fault["id"], fault["nodes"][0]["html"])
                for fault in found
                if fault["impact"] in ("serious", "critical")
            ]
    assert serious == []
    page.locator("#tab-film").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#panel-draw").is_visible()
    page.keyboard.press("ArrowRight")
    assert page.locator("#panel-sliders").is_visible()
    page.click(".term >> nth=0")
    assert page.locator(".note:popover-open").count() == 1


def test_nothing_is_wider_than_the_screen(address, opened, drawing):
    page = opened(address)
    draw(page, drawing(5))
    page.wait_for_selector(".results:not([hidden])")
    for width in (320, 390, 768, 1280, 1920):
        page.set_viewport_size({"width": width, "height": 844})
        for tab in ("draw", "sliders", "samples", "film"):
            page.click(f"#tab-{tab}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (width, tab)


def test_a_missing_model_is_said(browser, opened, served):
    from digitvae.explorer.site import read_page

    class Empty:
        """A site without model and data."""

        def read(self, name):
            return read_page().get(name or "index.html")

    with served(Empty()) as url:
        context = browser.new_context()
        page = context.new_page()
        page.goto(url)
        page.wait_for_selector("text=The page cannot start")
        assert "explorer.json: 404" in page.locator("#model-line").inner_text()
        context.close()


@pytest.mark.parametrize("prior", ["normal", "mixture", "autoregressive"])
def test_a_model_of_other_images_without_labels(opened, served, tiny, blobs, tmp_path, prior):
    from digitvae.building import build
    from digitvae.data import load_dataset
    from digitvae.explorer.site import run_site
    from digitvae.exporting import description
    from digitvae.runs import Run

    np.savez(tmp_path / "blobs.npz", x_train=blobs(48), x_test=blobs(12, seed=1))
    dataset = load_dataset(tmp_path / "blobs.npz")
    config = tiny(architecture="conv", prior=prior, data=str(tmp_path / "blobs.npz"))
    run = Run.create(config, dataset.image_shape, dataset.sha256, tmp_path / "run")
    run.save_model(build(config, dataset.image_shape, images=dataset.train_images))
    with served(run_site(run, description(run))) as url:
        page = opened(url)
        assert page.locator("#styles-card").is_hidden()
        before = shown(page)
        assert before.shape == (9, 13)
        page.click("#tab-samples")
        page.wait_for_timeout(1000)
        assert page.locator("#panel-samples .chips").count() == 0
        page.click(".sheet button >> nth=3")
        wait_for_other(page, before)
        decoded = run.load_light().decode(linked_code(page)[None])[0].astype(int)
        assert np.abs(decoded - shown(page)).max() <= 2
        page.click("#tab-draw")
        draw(page, [[[60, 60], [220, 220]]])
        page.wait_for_selector(".results:not([hidden])")
        assert pixels_of(page, ".results canvas >> nth=0").shape == (9, 13)
