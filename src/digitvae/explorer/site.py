"""The files of the explorer by their addresses, for the server and for a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from digitvae.explorer.data import FACTS, FORMAT, MAP, prepare
from digitvae.explorer.film import NAME, Film
from digitvae.explorer.model_files import model_files
from digitvae.runs import Run

PAGE = Path(__file__).parent / "page"
"""What `npm run build` in `web/` makes."""


@dataclass(frozen=True)
class Site:
    """What the page consists of.

    Attributes:
        fixed: files that stay as they are, by address.
        film: the film of the training; it may grow.
        live: whether it does.
    """

    fixed: Mapping[str, bytes]
    film: Film
    live: bool = False

    def read(self, address: str) -> bytes | None:
        """Return the file at an address such as `data/map.bin`, or "" for the page; None if there is none."""
        found = self.fixed.get(address or "index.html")
        if found is None and address.startswith("data/"):
            return self.film.read(address.removeprefix("data/"), self.live)
        return found

    def files(self) -> dict[str, bytes]:
        """Return all files as they are now."""
        found = dict(self.fixed)
        for name in self.film.names():
            content = self.read(f"data/{name}")
            if content is not None:
                found[f"data/{name}"] = content
        return found


def run_site(run: Run, about: Mapping[str, Any]) -> Site:
    """Return the explorer of a run; for a run without data for it this takes a while.

    Args:
        run: the run.
        about: what `digitvae.exporting.description` says of it.

    Raises:
        NeedsKeras: a `ValueError`: a model that only Keras can run.
        FileNotFoundError: the page was not built, or the data of the run are gone.
        ValueError: the run has no model, or a damaged one; or other data stand in place of its own.
    """
    page = read_page()
    model = run.onnx_model()
    data = prepare(run, model.light)
    film = Film(run.folder)
    facts = {**json.loads(data[FACTS]), "film": NAME if film.frames() else None}
    fixed = {
        **page,
        **{f"model/{name}": content for name, content in model_files(model).items()},
        "model/model.json": _json({"format": 1, **about, **model.facts()}),
        f"data/{FACTS}": _json(facts),
        f"data/{MAP}": data[MAP],
    }
    return Site(fixed, film)


def film_site(run: Run) -> Site:
    """Return the explorer of a run that is being trained: its film alone.

    Raises:
        FileNotFoundError: the page was not built.
    """
    nothing: dict[str, Any] = {"points": 0, "latent_dim": 0, "map": None, "model": None}
    facts = {
        "format": FORMAT,
        **nothing,
        "information": [],
        "latent_mean": [],
        "latent_scale": [],
        "film": NAME,
    }
    return Site({**read_page(), f"data/{FACTS}": _json(facts)}, Film(run.folder), live=True)


def read_page() -> dict[str, bytes]:
    """Return the files of the page, by address.

    Raises:
        FileNotFoundError: it was not built.
    """
    if not (PAGE / "index.html").is_file():
        raise FileNotFoundError(
            "Expected the built page of the explorer, which comes with the package; in a checkout "
            f"`npm ci && npm run build` in web/ makes it. Received: no {PAGE / 'index.html'}"
        )
    return {
        path.relative_to(PAGE).as_posix(): path.read_bytes()
        for path in sorted(PAGE.rglob("*"))
        if path.is_file()
    }


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
