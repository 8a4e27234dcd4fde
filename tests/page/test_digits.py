"""Digits from sliders, styles and samples, and their pictures."""

import io
import re

import numpy as np
from page_steps import (
    linked,
    linked_code,
    move_slider,
    pixels_of,
    shown,
    verdict,
    wait_for_other,
    wait_for_verdict,
)
from PIL import Image


def test_a_slider_changes_one_latent(address, opened):
    page = opened(address)
    page.click("#tab-sliders")
    before, image = linked_code(page), shown(page)
    slider = page.locator("#panel-sliders .sliders input").first
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    image = wait_for_other(page, image)
    changed = np.flatnonzero(linked_code(page) != before)
    axis = int(re.search(r"\d+", slider.get_attribute("aria-label")).group())
    assert changed.tolist() == [axis]
    facts = page.evaluate("fetch('data/explorer.json').then(found => found.json())")
    assert axis == facts["information"][0]
    value = facts["latent_mean"][axis] + float(slider.input_value()) * facts["latent_scale"][axis]
    assert float(slider.input_value()) > 2
    assert abs(linked_code(page)[axis] - value) < 2e-3

    slider.focus()
    for _ in range(30):
        page.keyboard.press("ArrowLeft")
    wait_for_other(page, image)
    page.click("#panel-sliders .sliders button >> nth=1")  # sweeps
    for _ in range(3):
        wait_for_other(page, shown(page))
    page.click("#panel-sliders .sliders button >> nth=1")
    page.click("text=Average digit")
    assert np.abs(linked_code(page) - facts["latent_mean"]).max() < 1e-3


def test_random_digits_are_those_that_are_asked_for(address, opened):
    page = opened(address)
    page.click("#tab-sliders")
    page.click("#panel-sliders .chips button >> text=4")
    right = 0
    for _ in range(5):
        before = shown(page)
        page.click("text=Random digit")
        wait_for_other(page, before)
        page.wait_for_timeout(400)
        right += verdict(page) == "4"
    assert right >= 4


def test_the_same_hand_writes_every_digit(address, opened, vae):
    page = opened(address)
    page.wait_for_selector(".strip .best")
    page.wait_for_timeout(800)
    canvases = page.locator(".strip canvas").count()
    assert canvases == 10
    page.click(".strip button >> nth=6")
    wait_for_verdict(page, 6)
    page.wait_for_timeout(800)
    code = linked_code(page)[None]
    own = int(vae.log_joint(code)[0].argmax())
    noise = vae.noise_from_latents(code, [own])
    styles = vae.decode(vae.latents_from_noise(np.repeat(noise, 10, axis=0), np.arange(10))).astype(int)
    seen = np.stack([pixels_of(page, f".strip canvas >> nth={digit}") for digit in range(10)])
    assert np.abs(seen - styles).mean() < 0.2
    assert np.abs(seen - styles).max() < 16  # the code was rounded to thousandths in the address
    for digit in (7, 2):
        before = shown(page)
        page.click(f".strip button >> nth={digit}")
        wait_for_other(page, before)
        wait_for_verdict(page, digit)


def test_samples_come_from_the_seed_in_the_address(address, opened):
    page = opened(f"{address}#tab=samples&seed=5&digit=3")
    sheet = ".sheet canvas >> nth=39"
    page.wait_for_function(
        "() => Array.from(document.querySelectorAll('#panel-samples canvas')).every(canvas =>"
        " canvas.getContext('2d').getImageData(0, 0, 28, 28).data.some((x, i) => i % 4 === 0 && x > 100))"
    )
    last = pixels_of(page, sheet)
    again = opened(page.url)
    again.wait_for_timeout(1500)
    assert (pixels_of(again, sheet) == last).all()
    page.click(".sheet button >> nth=0")
    wait_for_verdict(page, 3)
    page.click("text=New sheet")
    page.wait_for_timeout(1500)
    assert (pixels_of(page, sheet) != last).any()
    assert linked(page, "seed") != "5"
    # Without noise all are the same.
    assert (pixels_of(page, sheet) != pixels_of(page, ".sheet canvas >> nth=0")).any()
    move_slider(page, "#panel-samples .slider input", 0)
    page.wait_for_timeout(1500)
    assert (pixels_of(page, sheet) == pixels_of(page, ".sheet canvas >> nth=0")).all()
    assert linked(page, "t") == "0"


def test_pictures_are_saved(address, opened):
    page = opened(address)
    with page.expect_download() as found:
        page.click("#digit-card >> text=Save PNG")
    image = Image.open(io.BytesIO(found.value.path().read_bytes()))
    assert image.size == (280, 280)
    levels = np.asarray(image.convert("L"))[5::10, 5::10]
    assert (levels == shown(page)).all()
