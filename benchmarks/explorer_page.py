"""How fast the explorer's page is there, and how fast it follows the hand, in headless Chromium.

    python benchmarks/explorer_page.py             # of the shipped model mnist
    python benchmarks/explorer_page.py --runs 20

First paint and ready are counted from the start of the navigation, with an empty cache, on localhost. A drag
is 200 moves of the mouse over the map, one every 25 ms; its latency is the time from a pointer event to the
end of the frame in which the digit of the latest place was painted. Needs Playwright and Debian's Chromium.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import shutil
import statistics
from typing import Any

import digitvae
from digitvae.explorer.server import Server
from digitvae.explorer.site import run_site
from digitvae.exporting import description

MOVES = 200
PAUSE = 25  # ms

# Notes when pointer events come in and when the frame that shows their digit is done.
WATCH = """
addEventListener('DOMContentLoaded', () => {
  window.latencies = [];
  let waiting = [];
  addEventListener('pointermove', event => waiting.push(event.timeStamp), true);
  const put = CanvasRenderingContext2D.prototype.putImageData;
  CanvasRenderingContext2D.prototype.putImageData = function (...values) {
    put.apply(this, values);
    if (this.canvas.id !== 'digit' || !waiting.length) return;
    const from = waiting.pop();
    waiting = [];
    requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = () => window.latencies.push(performance.now() - from);
      channel.port2.postMessage(null);
    });
  };
});
new MutationObserver((_, observer) => {
  if (!document.body?.classList.contains('ready')) return;
  window.readyAt = performance.now();
  observer.disconnect();
}).observe(document, { subtree: true, childList: true, attributes: true });
"""


def measure(browser: Any, url: str) -> dict[str, float]:
    """Open the page with an empty cache, and drag."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.add_init_script(WATCH)
    page.goto(url)
    page.wait_for_function("() => window.readyAt")
    paint = page.evaluate("() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime")
    ready = page.evaluate("() => window.readyAt")
    page.wait_for_timeout(1000)
    box = page.locator("#map-cursor").bounding_box()
    x, y, radius = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, 0.35 * box["height"]
    page.mouse.move(x, y)
    page.mouse.down()
    for move in range(MOVES):
        turn, share = 8 * math.pi * move / MOVES, move / MOVES
        page.mouse.move(x + share * radius * math.cos(turn), y + share * radius * math.sin(turn))
        page.wait_for_timeout(PAUSE)
    page.mouse.up()
    latencies = sorted(page.evaluate("() => window.latencies"))
    context.close()
    return {
        "first_paint_ms": paint,
        "ready_ms": ready,
        "drag_median_ms": statistics.median(latencies),
        "drag_95_percent_ms": latencies[int(0.95 * len(latencies))],
        "drags_painted": len(latencies),
    }


def main() -> None:
    """Measure, and print a table and JSON."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description="Measure the explorer's page in headless Chromium.")
    parser.add_argument("--model", default="mnist", help="a run folder or a shipped model")
    parser.add_argument("--runs", type=int, default=5, help="how often the page is opened")
    options = parser.parse_args()
    run = digitvae.find_run(options.model)
    site = run_site(run, description(run))
    files = site.files()
    packed = sum(len(gzip.compress(content, 9)) for content in files.values())
    with Server() as server, sync_playwright() as playwright:
        server.start(site)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        runs = [measure(browser, server.url) for _ in range(options.runs)]
        browser.close()
    found = {name: round(statistics.median(one[name] for one in runs), 1) for name in runs[0]}
    found |= {"files": len(files), "bytes": sum(map(len, files.values())), "gzip_bytes": packed}
    for name, value in found.items():
        print(f"{name:20} {value:>12,}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
