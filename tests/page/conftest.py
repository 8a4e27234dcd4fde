"""The built page in a real browser: Debian's Chromium, driven by Playwright, on the explorer's own server."""

import dataclasses
import functools
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from page_steps import EPOCHS, SIDE

import digitvae

# Strokes of each digit, on a sheet of 10 x 10: x and y of their corners.
_STROKES = {
    0: ["52 34 26 28 48 66 74 72 54 44 52"],
    1: ["43 52 58"],
    2: ["34 42 52 63 64 55 45 37 38 46 56 66"],
    3: ["34 43 53 62 63 54 45 54 64 66 57 46 37"],
    4: ["42 44 36 46 56 66", "63 65 67 58"],
    5: ["62 52 42 33 34 44 54 64 66 57 47 37", ""],
    6: ["62 52 43 35 37 48 58 67 66 55 45 36"],
    7: ["33 43 53 63 64 55 46 47 48", "45 55 65"],
    8: ["63 52 42 33 34 45 55 66 67 58 47 36 45 54 63"],
    9: ["63 52 42 33 34 45 54 63 64 65 56 58"],
}

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Return a headless Chromium, which can reach this machine alone."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        # No name is ever looked up.
        rules = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", rules])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def vae() -> Any:
    """Return the shipped model, run by NumPy."""
    return digitvae.load_light("mnist")


@pytest.fixture(scope="session")
def filmed() -> dict[str, bytes]:
    """Return the files of a film of `EPOCHS` epochs: noise that turns into stripes."""
    rng = np.random.default_rng(0)
    samples, pairs, points = 6, 3, 50
    noise = rng.integers(0, 256, (samples + pairs, 28, 28))
    stripes = np.broadcast_to(255 * (np.arange(28) // 4 % 2), noise.shape)
    files = {"film/base.bin": bytes(pairs * 784) + bytes(range(10)) * 5}
    frames = []
    for epoch in range(1, EPOCHS + 1):
        share = epoch / EPOCHS
        images = ((1 - share) * noise + share * stripes).astype("uint8")
        places = rng.random((2, points), "float32").astype("<f4")
        name = f"film/e{epoch:03d}.bin"
        files[name] = places.tobytes() + images.tobytes()
        frames.append({"epoch": epoch, "elbo": -200.0 + 30 * epoch, "file": name})
    facts = {"format": 1, "live": False, "epochs_planned": EPOCHS, "image_shape": [28, 28]}
    facts |= {"samples": samples, "reconstructions": pairs, "points": points, "base": "film/base.bin"}
    files["film.json"] = json.dumps({**facts, "epochs": frames}).encode()
    return files


@pytest.fixture(scope="session")
def served() -> Callable[[Any], Any]:
    """Return a context that serves a site; it gives the address."""
    return _served


@contextmanager
def _served(site: Any) -> Iterator[str]:
    from digitvae.explorer.server import Server

    with Server() as server:
        server.start(site)
        yield server.url


@pytest.fixture(scope="session")
def page_of() -> Callable[[str], Any]:
    """Return a maker of the site of a run or a shipped model, by its name; each is made once."""
    from digitvae.explorer.site import run_site
    from digitvae.exporting import description

    @functools.cache
    def made(name: str) -> Any:
        run = digitvae.find_run(name)
        return run_site(run, description(run))

    return made


@pytest.fixture(scope="session")
def address(browser: Any, filmed: dict[str, bytes], page_of: Callable[[str], Any]) -> Iterator[str]:
    """Return where the shipped model's explorer is served, with a film beside it."""
    site = page_of("mnist")
    facts = {**json.loads(site.fixed["data/explorer.json"]), "film": "film.json"}
    files = {**site.fixed, **{f"data/{name}": content for name, content in filmed.items()}}
    files["data/explorer.json"] = json.dumps(facts).encode()
    with _served(dataclasses.replace(site, fixed=files)) as url:
        yield url


@pytest.fixture(scope="session")
def drawing() -> Callable[[int], list[list[list[float]]]]:
    """Return a maker of drawings of digits as a hand makes them, the same every time."""
    return _drawing


def _drawing(number: int) -> list[list[list[float]]]:
    """Return strokes of [x, y] in pixels, of the digit number % 10: shaken, turned, stretched and moved."""
    rng = np.random.default_rng([11, number])
    size, angle = rng.uniform(24, 36), rng.normal(0, 0.12)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    stretch = np.diag(rng.uniform(0.8, 1.2, 2)) @ np.array([[1, rng.normal(0, 0.15)], [0, 1]])
    middle = SIDE / 2 + rng.uniform(-25, 25, 2)
    strokes = []
    for text in filter(None, _STROKES[number % 10]):
        nodes = np.array([[int(x), int(y)] for x, y in text.split()], float) - 5
        nodes += rng.normal(0, 0.12, nodes.shape)
        places = middle + size * nodes @ (turn @ stretch).T
        strokes.append(np.round(_smooth(places), 1).tolist())
    return strokes


def _smooth(nodes: np.ndarray) -> np.ndarray:
    """Round the corners (Chaikin 1974), and stay on the sheet."""
    for _ in range(3):
        first, second = nodes[:-1], nodes[1:]
        cut = np.stack([0.75 * first + 0.25 * second, 0.25 * first + 0.75 * second], axis=1)
        nodes = np.concatenate([nodes[:1], cut.reshape(-1, 2), nodes[-1:]])
    return np.clip(nodes, 4, SIDE - 4)


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Any]]:
    """Return a function that opens a page and waits until it is ready; nothing may go wrong until the end."""
    contexts, faults = [], []

    def open_page(url: str, ready: str = "body.ready", **options: Any) -> Any:
        options.setdefault("viewport", {"width": 1280, "height": 800})
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: _check_local(request.url, faults))
        page.goto(url)
        page.wait_for_selector(ready)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


def _check_local(url: str, faults: list[str]) -> None:
    if not url.startswith(("http://127.0.0.1:", "blob:", "data:")):
        faults.append(f"a request to {url}")
