"""A server for the explorer on this machine alone."""

from __future__ import annotations

import errno
import gzip
import hashlib
import socketserver
import sys
import threading
from functools import lru_cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote, urlsplit

from digitvae.explorer.site import Site

ADDRESS = "127.0.0.1"
_HOSTS = (ADDRESS, "localhost")
TYPES = {
    ".bin": "application/octet-stream",
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
}
"""By endings. Those that Python or the system know are not the same everywhere."""
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # Browsers keep files, but ask each time whether they are still the ones.
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
}


class Server(socketserver.ThreadingTCPServer):
    """Serves a site; `with` closes it.

    Args:
        port: 0 for any free one.

    Attributes:
        site: what is served; may be exchanged for another one.

    Raises:
        OSError: the port is in use, or not for this user.
    """

    allow_reuse_address = sys.platform != "win32"  # there it would take a port that is in use
    daemon_threads = True
    site: Site

    def __init__(self, port: int = 0):
        self._thread: threading.Thread | None = None
        try:
            super().__init__((ADDRESS, port), _Handler)
        except OSError as error:
            reason = "it is in use" if error.errno == errno.EADDRINUSE else error.strerror
            raise OSError(
                f"Expected a port that is free; without --port one is found. Received: {port} ({reason})"
            ) from error

    @property
    def url(self) -> str:
        """The address for a browser."""
        return f"http://{ADDRESS}:{self.server_address[1]}/"

    def start(self, site: Site) -> None:
        """Serve a site from now on, in a thread of its own."""
        self.site = site
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        if self._thread is not None:
            self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let browsers go away in the middle of a file."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "digitvae", ""
    timeout = 60  # of a connection on which nothing comes

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *arguments: Any) -> None:
        pass  # the terminal belongs to the command

    def end_headers(self) -> None:
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def _answer(self) -> None:
        # A page of another site may let its own name mean 127.0.0.1, to read from here (DNS rebinding).
        if not _is_here(self.headers.get("Host", "")):
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST, "This server is for this machine alone")
            return
        # Names, not paths: what is not of the site is not here, wherever it lies.
        address = unquote(urlsplit(self.path).path).removeprefix("/")
        content = self.server.site.read(address)
        if content is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        tag, compressed = _encoded(content)
        if self.headers.get("If-None-Match") == tag:
            self.send_response(HTTPStatus.NOT_MODIFIED)
            self.send_header("ETag", tag)
            self.end_headers()
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", TYPES[f".{(address or 'index.html').rpartition('.')[2]}"])
        self.send_header("ETag", tag)
        if compressed is not None and _accepts_gzip(self.headers.get("Accept-Encoding", "")):
            self.send_header("Content-Encoding", "gzip")
            content = compressed
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@lru_cache(maxsize=256)
def _encoded(content: bytes) -> tuple[str, bytes | None]:
    """Return the tag of a content, and the content compressed where that saves a tenth."""
    tag = f'W/"{hashlib.sha256(content).hexdigest()[:32]}"'
    compressed = gzip.compress(content, 6, mtime=0)
    return tag, compressed if len(compressed) < 0.9 * len(content) else None


def _is_here(host: str) -> bool:
    """Tell whether a Host header names this machine; the port may be that of a tunnel."""
    try:
        found = urlsplit(f"//{host}")
        _ = found.port  # a ValueError if it is none
        return found.netloc == host and "@" not in host and found.hostname in _HOSTS
    except ValueError:
        return False


def _accepts_gzip(header: str) -> bool:
    for part in header.split(","):
        name, _, quality = part.partition(";")
        if name.strip().lower() in ("gzip", "*"):
            return quality.replace(" ", "").lower() not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
