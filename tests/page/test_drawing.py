"""Digits that people draw or open as a picture."""

import re

import numpy as np
from page_steps import SIDE, draw, linked, middle, pixels_of, shown, verdict, wait_for_other, wait_for_verdict
from PIL import Image


def test_a_drawing_is_read_encoded_and_reconstructed(address, opened, vae, drawing):
    from digitvae.data.photos import read_photo

    page = opened(address)
    page.click("#tab-draw")
    draw(page, drawing(3))
    page.wait_for_selector(".results:not([hidden])")
    expected = read_photo(pixels_of(page, "#pad"))
    reconstruction = vae.reconstruct(expected[None])[0].astype(int)
    # The last strokes are read when the worker is free, on a busy machine seconds later.
    for _ in range(100):
        if np.abs(pixels_of(page, ".results canvas >> nth=1") - reconstruction).max() <= 2:
            break
        page.wait_for_timeout(300)
    assert np.abs(pixels_of(page, ".results canvas >> nth=0").astype(int) - expected).max() <= 1
    assert np.abs(pixels_of(page, ".results canvas >> nth=1") - reconstruction).max() <= 2
    assert pixels_of(page, ".results canvas >> nth=2").max() > 20  # nothing is ever sure everywhere
    assert verdict(page) == str(vae.label_probabilities(vae.encode(expected[None]))[0].argmax())
    z = vae.encode(expected[None])
    nats = -(vae.log_likelihood(expected[None], z) + vae.log_prior(z))[0]
    usual = np.array(
        page.evaluate("fetch('data/explorer.json').then(f => f.json()).then(f => f.calibration)")
    )
    percentile = page.locator(".results meter").get_attribute("aria-label")
    share = int(re.fullmatch(r"More digit-like than (\d+) % of the images", percentile).group(1))
    assert abs(share - 100 * (usual > nats).mean()) <= 1

    before = shown(page)
    page.click("[aria-label='Turn it into a 8']")
    wait_for_other(page, before)
    wait_for_verdict(page, 8)
    page.click("#panel-draw >> text=Clear")
    assert page.locator(".results").is_hidden()


def test_a_finger_draws(address, opened, drawing):
    page = opened(address, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page.locator("#pad").scroll_into_view_if_needed()
    box = page.locator("#pad").bounding_box()
    touch = page.context.new_cdp_session(page)
    for stroke in drawing(7):
        places = [
            {"x": box["x"] + x * box["width"] / SIDE, "y": box["y"] + y * box["height"] / SIDE}
            for x, y in stroke
        ]
        touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": places[:1]})
        for place in places[1:]:
            touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [place]})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_selector(".results:not([hidden])")
    wait_for_verdict(page, 7)

    # Two fingers zoom the map, one drags the digit.
    page.locator("#map-cursor").scroll_into_view_if_needed()
    x, y = middle(page, "#map-cursor")
    before = shown(page)
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x + 50, "y": y + 20}]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    wait_for_other(page, before)
    for kind, apart in (("touchStart", 20), ("touchMove", 40), ("touchMove", 80), ("touchEnd", None)):
        points = (
            [] if apart is None else [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
        )
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert float(linked(page, "map").split(",")[2]) > 2


def test_a_picture_is_read(address, opened, tmp_path):
    from digitvae.data.photos import read_photo

    rng = np.random.default_rng(3)
    paper = np.full((700, 900, 3), (228, 222, 205), float) - np.linspace(0, 60, 900)[:, None]
    rows, columns = np.mgrid[:700, :900]
    ring = np.abs(np.hypot(rows - 350, columns - 450) - 150) < 20
    paper[ring] = (30, 40, 130)
    path = tmp_path / "photo.png"
    Image.fromarray(np.clip(paper + rng.normal(0, 3, paper.shape), 0, 255).astype("uint8")).save(path)
    page = opened(address)
    page.set_input_files("#panel-draw input[type=file]", path)
    page.wait_for_selector(".results:not([hidden])")
    wait_for_verdict(page, 0)
    seen = pixels_of(page, ".results canvas >> nth=0").astype(int)
    assert (np.abs(seen - read_photo(path)) <= 1).mean() >= 0.99

    (tmp_path / "none.png").write_bytes(b"no picture")
    page.set_input_files("#panel-draw input[type=file]", tmp_path / "none.png")
    page.wait_for_selector("text=Expected a picture. Received: none.png")
