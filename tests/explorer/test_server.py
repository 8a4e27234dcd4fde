"""The server: what it gives, to whom, and with which headers."""

from __future__ import annotations

import gzip
import re
import socket

import pytest

from digitvae.explorer.film import Film
from digitvae.explorer.server import POLICY, TYPES, Server
from digitvae.explorer.site import PAGE, Site


def test_it_listens_on_this_machine_alone(get):
    assert get.server.server_address[0] == "127.0.0.1"
    assert get.server.url == f"http://127.0.0.1:{get.server.server_address[1]}/"


@pytest.mark.parametrize("path", ["/", "/index.html", "/?tab=draw", "/#tab"])
def test_the_page_stands_at_the_root(get, path):
    found = get(path)
    assert (found.status, found.content) == (200, b"<p>page</p>")
    assert found.headers["Content-Type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "localhost:9000", "LOCALHOST:1"])
def test_names_of_this_machine_are_served_through_tunnels_too(get, host):
    assert get(host=host).status == 200


@pytest.mark.parametrize(
    "host",
    [
        None, "", "example.org", "example.org:80", "127.0.0.1.example.org", "localhost.example.org",
        "example.org@127.0.0.1", "127.0.0.1@example.org", "127.0.0.1:x", "127.0.0.1:99999999",
        "0.0.0.0", "[::1]", "127.0.0.1/x", "[127.0.0.1",
    ],
)  # fmt: skip
def test_foreign_hosts_are_refused(get, host):
    found = get(host=host)
    assert found.status == 421
    assert b"page" not in found.content.replace(b"pages", b"")


@pytest.mark.parametrize(
    "path",
    [
        "/../explorer.json", "/data/../../config.json", "/data/film/../../config.json", "/%2e%2e/config.json",
        "/data/%2e%2e%2fsecret.txt", "/data/film/..%2f..%2fsecret.txt", "/data",
        "/data/", "/data/film/e001.bin", "/data/film.json", "/secret.txt", "/data/secret.txt", "/etc/passwd",
        "/data/film/e001.bin%00", "/data\\explorer.json",
    ],
)  # fmt: skip
def test_what_is_not_of_the_site_is_not_there(get, tmp_path, path):
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "film").mkdir()
    found = get(path)
    assert found.status == 404
    assert b"secret" not in found.content


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT"])
def test_only_reading_is_possible(get, method):
    assert get(method=method).status == 501


def test_every_answer_has_the_headers_of_security(get):
    for found in (get(), get("/absent"), get(host="example.org"), get(method="POST")):
        assert found.headers["Content-Security-Policy"] == POLICY
        assert found.headers["X-Content-Type-Options"] == "nosniff"
        assert found.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert found.headers["Cache-Control"] == "no-cache"
        assert "Access-Control-Allow-Origin" not in found.headers


def test_the_policy_allows_nothing_from_elsewhere_and_nothing_inline():
    rules = dict(rule.split(" ", 1) for rule in POLICY.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == "'self' 'wasm-unsafe-eval'"
    assert "unsafe-inline" not in POLICY
    assert "'unsafe-eval'" not in POLICY
    assert not re.search(r"https?:|\*", POLICY)


def test_what_compresses_well_comes_compressed_to_those_who_accept_it(get, site):
    plain, packed = get("/data/explorer.json"), get("/data/explorer.json", Accept_Encoding="br, gzip;q=0.8")
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.content) < 50
    assert gzip.decompress(packed.content) == plain.content == site.fixed["data/explorer.json"]
    assert plain.headers["Vary"] == packed.headers["Vary"] == "Accept-Encoding"
    for header in ("gzip;q=0", "br", "identity"):
        assert "Content-Encoding" not in get("/data/explorer.json", Accept_Encoding=header).headers
    assert "Content-Encoding" not in get("/model/weights.bin", Accept_Encoding="gzip").headers


def test_a_kept_file_is_used_until_it_changes(get, site):
    tag = get().headers["ETag"]
    found = get(If_None_Match=tag)
    assert (found.status, found.content) == (304, b"")
    get.server.site = Site({**site.fixed, "index.html": b"<p>new</p>"}, site.film)
    found = get(If_None_Match=tag)
    assert (found.status, found.content) == (200, b"<p>new</p>")


def test_a_head_has_the_length_and_no_content(get):
    found = get(method="HEAD")
    assert (found.status, found.headers["Content-Length"], found.content) == (200, "11", b"")


def test_every_file_of_the_page_has_a_type():
    assert {path.suffix for path in PAGE.rglob("*") if path.is_file()} <= set(TYPES)
    assert (TYPES[".wasm"], TYPES[".js"].split(";")[0]) == ("application/wasm", "text/javascript")


def test_a_port_in_use_is_an_error():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(
            OSError, match=rf"Expected a port that is free.*Received: {port} \(it is in use\)"
        ):
            Server(port)


def test_a_closed_server_answers_no_more(site):
    with Server() as server:
        server.start(site)
        address = server.server_address
        socket.create_connection(address).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


def test_clients_that_go_away_leave_no_trace(get, capfd, tmp_path):
    get.server.site = Site({"index.html": bytes(20_000_000)}, Film(tmp_path))
    for _ in range(3):
        with socket.create_connection(get.server.server_address) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            client.recv(100)
    assert get("/absent").status == 404
    assert capfd.readouterr().err == ""
