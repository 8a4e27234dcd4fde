"""What people do with the page, with real events of mouse, fingers and keys, and what they see then."""

import base64
import io
import json
import re
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image

SHAPE = (28, 28)
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
        page.wait_for_function(
            "digit => document.querySelector('.verdict b').textContent === digit", arg=str(digit)
        )


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
