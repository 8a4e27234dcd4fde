"""The map: digits under the pointer, zoom, keys, paths."""

import numpy as np
from page_steps import (
    bright_points,
    linked,
    linked_code,
    middle,
    move_slider,
    places_of,
    shown,
    wait_for_other,
)


def test_dragging_over_the_map_decodes_what_lies_there(address, opened, vae):
    page = opened(address)
    x, y = middle(page, "#map-cursor")
    seen = {shown(page).tobytes()}
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(12):
        before = shown(page)
        page.mouse.move(x + 14 * (step - 6), y + 9 * step)
        seen.add(wait_for_other(page, before).tobytes())
    page.mouse.up()
    assert len(seen) > 10

    # The address has the code in thousandths; what is shown is what Python decodes from it.
    decoded = vae.decode(linked_code(page)[None])[0].astype(int)
    assert np.abs(decoded - shown(page)).max() <= 2


def test_the_map_zooms_and_moves_and_keys_work_on_it(address, opened):
    page = opened(address)
    x, y = middle(page, "#map-cursor")
    before = page.screenshot(clip={"x": x - 100, "y": y - 100, "width": 200, "height": 200})
    page.mouse.move(x, y)
    page.mouse.wheel(0, -600)
    zoomed = [float(part) for part in linked(page, "map").split(",")]
    assert zoomed[2] > 2
    assert page.screenshot(clip={"x": x - 100, "y": y - 100, "width": 200, "height": 200}) != before
    page.mouse.down(button="right")
    page.mouse.move(x + 60, y, steps=4)
    page.mouse.up(button="right")
    assert float(linked(page, "map").split(",")[0]) < zoomed[0]

    page.locator("#map-cursor").focus()
    page.keyboard.press("0")
    assert linked(page, "map") is None
    image = shown(page)
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    wait_for_other(page, image)

    # Enter marks where the keys have led.
    page.click("#path-mode")
    page.locator("#map-cursor").focus()
    for key in ("Enter", "ArrowRight", "Enter", "ArrowDown", "Enter", "ArrowUp", "ArrowLeft", "Enter"):
        page.keyboard.press(key)
    first, right, below, back = places_of(linked(page, "path"))
    assert right[0] > first[0] + 0.002
    assert right[1] == first[1]
    assert below[0] == right[0]
    assert below[1] > right[1] + 0.002
    assert np.abs(back - first).max() < 2e-4

    assert min(bright_points(page, 4), bright_points(page, 7)) > 100
    page.click("[aria-label='Let the digit 4 stand out on the map']")
    page.wait_for_timeout(300)
    assert bright_points(page, 4) > 100
    assert bright_points(page, 7) == 0
    page.click("[aria-label='Let the digit 4 stand out on the map']")
    page.wait_for_timeout(300)
    assert bright_points(page, 7) > 100


def test_a_path_is_played(address, opened):
    page = opened(address)
    page.click("#path-mode")
    x, y = middle(page, "#map-cursor")
    for dx, dy in ((-120, -80), (90, -40), (40, 100)):
        page.mouse.click(x + dx, y + dy)
    places = places_of(linked(page, "path"))
    assert len(places) == 3
    assert np.sign(np.diff(places, axis=0)).tolist() == [[1, 1], [-1, 1]]
    ends = []
    for share in (0, 1, 0.5, 0.25):
        move_slider(page, "#path input[type=range]", share)
        ends.append(linked_code(page))
    first, last, middle_one, between = ends
    assert np.abs(between - (first + middle_one) / 2).max() <= 2e-3
    assert np.abs(first - last).max() > 0.5
    page.locator("#map-cursor").focus()
    images = {shown(page).tobytes()}
    page.click("#path-play")
    for _ in range(4):
        images.add(wait_for_other(page, shown(page)).tobytes())
    assert page.locator("#path-play").inner_text() == "Pause"
    page.click("#path-play")
    assert len(images) > 3
    # The link opens with the path, and with the digit.
    code = linked_code(page)
    again = opened(page.url)
    assert again.locator("#path-play").is_enabled()
    assert np.abs(shown(again).astype(int) - shown(page)).max() <= 2  # of thousandths
    move_slider(again, "#path input[type=range]", 1)
    assert np.abs(linked_code(again) - last).max() <= 2e-3
    assert np.abs(linked_code(page) - code).max() == 0
