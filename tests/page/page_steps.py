"""What people do with the page, with real events of the mouse, and what they see then."""

import base64
from urllib.parse import parse_qs, urlsplit

import numpy as np

SIDE = 280  # pixels of the sheet
EPOCHS = 4  # of the film


def pixels_of(page, selector):
    """Return the grey levels of a canvas, uint8 (height, width)."""
    levels = page.eval_on_selector(
        selector,
        "canvas => { const { width, height } = canvas;"
        " const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);"
        " return [height, width, ...data.filter((_, i) => i % 4 === 0)]; }",
    )
    return np.array(levels[2:], np.uint8).reshape(levels[:2])


def shown(page):
    return pixels_of(page, "#digit")


def wait_for_other(page, before):
    """Return the digit that is shown once it is another one than before."""
    page.wait_for_function(
        "before => { const canvas = document.getElementById('digit');"
        " const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);"
        " return before.some((level, i) => data[4 * i] !== level); }",
        arg=before.ravel().tolist(),
    )
    return shown(page)


def linked(page, name):
    """Return a part of the state in the address, once nothing changes any more."""
    page.wait_for_timeout(600)
    return parse_qs(urlsplit(page.url).fragment).get(name, [None])[0]


def linked_code(page):
    text = linked(page, "z")
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    return np.frombuffer(raw, "<i2").astype("float32") / 1000


def middle(page, selector):
    box = page.locator(selector).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def draw(page, strokes):
    """Draw strokes with the mouse."""
    page.locator("#pad").scroll_into_view_if_needed()
    box = page.locator("#pad").bounding_box()
    for stroke in strokes:
        places = [
            (box["x"] + x * box["width"] / SIDE, box["y"] + y * box["height"] / SIDE) for x, y in stroke
        ]
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place)
        page.mouse.up()


def places_of(text):
    """Return the places of a path in the address."""
    return np.array([[float(x) for x in place.split(",")] for place in text.split(";")])


def bright_points(page, label):
    """Return how many pixels of the map have the colour of a digit in the legend, and are not faint."""
    return page.evaluate(
        "label => { const name = `Let the digit ${label} stand out on the map`;"
        " const swatch = document.querySelector(`[aria-label='${name}'] .swatch`);"
        " const colour = getComputedStyle(swatch).backgroundColor.match(/\\d+/g).map(Number);"
        " const map = document.getElementById('map-points');"
        " const { data } = map.getContext('2d').getImageData(0, 0, map.width, map.height);"
        " let found = 0;"
        " for (let i = 0; i < data.length; i += 4)"
        "   if (data[i + 3] > 150 && colour.every((x, j) => Math.abs(x - data[i + j]) < 4)) found++;"
        " return found; }",
        label,
    )


def move_slider(page, selector, value):
    """Put a slider where a hand would."""
    page.locator(selector).fill(str(value))


def verdict(page):
    return page.locator(".verdict b").inner_text()


def wait_for_verdict(page, digit):
    page.wait_for_function(
        "digit => document.querySelector('.verdict b')?.textContent === digit", arg=str(digit)
    )
