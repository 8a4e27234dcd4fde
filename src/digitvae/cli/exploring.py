"""`digitvae explore`: a page in which one plays with a model; also shown by `digitvae train --watch`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

import digitvae
from digitvae.cli.common import from_zero, whole

if TYPE_CHECKING:
    from digitvae.explorer.site import Site


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `digitvae explore`."""
    parser.description = (
        "Open a page in which one plays with a trained model: drag over a map of the digits, turn sliders, "
        "draw, see the training as a film. The model runs in the browser. Ctrl-C ends it."
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        nargs="?",
        default="mnist",
        help="a run folder, latest, or a shipped model (default: mnist)",
    )
    add_server_arguments(parser)
    parser.add_argument(
        "--seed",
        type=from_zero,
        metavar="NUMBER",
        help="seed of the first sheet of samples (default: another one every time)",
    )
    parser.add_argument("--json", action="store_true", help="the address as JSON on stdout")
    parser.add_argument("--debug", action="store_true", help="full traceback when something fails")


def add_server_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a verb that shows the page."""
    parser.add_argument(
        "--port", type=_port, default=0, metavar="NUMBER", help="port of the page (default: any free one)"
    )
    parser.add_argument(
        "--no-browser", action="store_true", help="print the address of the page, do not open it"
    )


def work(arguments: argparse.Namespace) -> None:
    """Serve the page until Ctrl-C."""
    from digitvae.explorer.server import Server

    run = digitvae.find_run(arguments.model)
    with Server(arguments.port) as server:
        server.start(explorer_of(run))
        # The address holds the state of the page.
        url = server.url if arguments.seed is None else f"{server.url}#seed={arguments.seed}"
        if arguments.json:
            print(json.dumps({"verb": arguments.verb, "model": arguments.model, "url": url}), flush=True)
        else:
            print(f"The explorer of {arguments.model}: {url} (Ctrl-C ends it)", flush=True)
        if not arguments.no_browser:
            _open(url)
        wait()


def explorer_of(run: digitvae.Run) -> Site:
    """Return the explorer of a run."""
    from digitvae.explorer.site import run_site
    from digitvae.exporting import check_version, description

    check_version(run)
    return run_site(run, description(run))


def wait() -> None:
    """Wait for Ctrl-C, which is how the user says that all is done."""
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        print(file=sys.stderr)


class Watch:
    """The page of a training, from its beginning to Ctrl-C after its end; `with` closes it.

    Args:
        arguments: with the options of `add_server_arguments`.

    Raises:
        FileNotFoundError: the page was not built.
        OSError: the port is in use.
    """

    def __init__(self, arguments: argparse.Namespace):
        from digitvae.explorer.server import Server
        from digitvae.explorer.site import read_page

        read_page()  # what is missing is said before the training
        self._opens, self._server = not arguments.no_browser, Server(arguments.port)

    def __enter__(self) -> Watch:
        self._server.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.__exit__()

    def start(self, run: digitvae.Run) -> None:
        """Serve the film, which grows."""
        from digitvae.explorer.site import film_site

        self._server.start(film_site(run))
        print(f"The training as a film: {self._server.url}", file=sys.stderr, flush=True)
        if self._opens:
            _open(self._server.url)

    def finish(self, run: digitvae.Run) -> None:
        """Serve the explorer of the trained model until Ctrl-C."""
        self._server.site = explorer_of(run)
        print(f"The explorer of {run}: {self._server.url} (Ctrl-C ends it)", file=sys.stderr, flush=True)
        wait()


def _open(url: str) -> None:
    """Open a browser in a window of its own; one that lives in the terminal would take it."""
    screens = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    if sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in screens):
        import webbrowser

        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()


def _port(text: str) -> int:
    port = int(whole(text))
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"Expected a port from 0 to 65535. Received: {text}")
    return port
