"""The HTML page: one file that needs no network and no script."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from digitvae.files import written_whole
from digitvae.report.entry import PROTOCOLS, ReportEntry, grouped
from digitvae.report.formats import count, duration, estimate, negated, number, significant
from digitvae.report.pictures import picture
from digitvae.report.references import REFERENCES
from digitvae.report.tables import class_balance, per_class, tables

REFERENCE_DATA = "mnist"
"""The data that the references are of, as configs call them."""


def write_report(path: str | Path, entries: Sequence[ReportEntry]) -> Path:
    """Write a page about one run, or about several side by side.

    Args:
        path: the file, in a folder that exists; an old file is replaced when the new one is whole.
        entries: the runs.

    Returns:
        The path.

    Raises:
        ValueError: there are no runs, or a picture is no PNG.
        OSError: the file cannot be written.
    """
    if not entries:
        raise ValueError("Expected at least one run. Received: none")
    path = Path(path)
    page = _render(entries)
    with written_whole(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


class Rival(NamedTuple):
    """A row of a table of references; `run` marks a run of the report, `order` sorts the rows."""

    name: str
    source: str
    bound: str | None
    nll: str | None
    k: str | None
    training: str | None
    order: float
    run: bool = False


class Standing(NamedTuple):
    """The references of one protocol, with the runs of that protocol and data among them, the best first."""

    protocol: str
    rivals: list[Rival]
    data: str


def _render(entries: Sequence[ReportEntry]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("digitvae.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["signed"] = _signed
    return environment.get_template("report.html.jinja").render(
        title=entries[0].name if len(entries) == 1 else f"{len(entries)} runs compared",
        kinds=PROTOCOLS,
        reference_data=REFERENCE_DATA,
        runs=[
            {
                "name": entry.name,
                "entry": entry,
                "facts": _facts(entry),
                "cards": _cards(entry),
                "classes": [found for found in (per_class(entry), class_balance(entry)) if found.rows],
                "pictures": [picture(name, content, entry.name) for name, content in entry.pictures.items()],
            }
            for entry in entries
        ],
        tables=tables(entries),
        standings=_standings(entries),
        settings=_settings(entries),
    )


def _signed(text: str) -> str:
    """Put true minus signs in front of numbers and of the ELBO."""
    return re.sub(r"(?<![\w-])-(?=\d|ELBO)", "\N{MINUS SIGN}", text)


def _facts(entry: ReportEntry) -> list[tuple[str, str]]:
    """Say in a few words what was evaluated."""
    shape = entry.config.get("image_shape")
    size = f", {shape[0]} \N{MULTIPLICATION SIGN} {shape[1]} pixels" if shape else ""
    facts = {
        "Protocol": f"{entry.protocol}: {PROTOCOLS[entry.protocol]}",
        "Data": f"{entry.data_name}{size}",
        "Recipe": entry.settings.get("recipe"),
        # ISO 8601, to the minute.
        "Created": str(created)[:16].replace("T", " ") if (created := entry.config.get("created")) else None,
        "Seed of the evaluation": entry.get("seed"),
    }
    return [(label, str(value)) for label, value in facts.items() if value is not None]


def _epochs(entry: ReportEntry) -> str:
    epochs = entry.settings.get("epochs")
    return "" if epochs is None else f"{epochs} epochs"


def _cards(entry: ReportEntry) -> list[tuple[str, str, str]]:
    """Choose the headline numbers: what each is, its value, and its details."""
    k = f"k = {count(entry.get('test.nll_k')) or '?'}"
    # A value is large on the page, its interval small.
    nll, _, nll_range = (estimate("test.nll")(entry.get) or "").partition(" ")
    bound, _, bound_range = (estimate("test.elbo", opposite=True)(entry.get) or "").partition(" ")
    pca, floor = number(entry.get("test.pca_mse"), 5), significant(entry.get("samples.floor.frechet"))
    dim, frechet = count(entry.get("latents.latent_dim")), significant(entry.get("samples.model.frechet"))
    found = [
        ("NLL", nll, f"{nll_range} nats, {k}"),
        ("-ELBO", bound, f"{bound_range} nats"),
        ("Bits per dim", number(entry.get("test.bits_per_dim"), 4), k),
        ("Reconstruction MSE", number(entry.get("test.mse"), 5), f"PCA {pca}" if pca else ""),
        ("Fréchet distance", frechet, f"floor {floor}" if floor else ""),
        ("Active latents", count(entry.get("latents.active_units")), f"of {dim}" if dim else ""),
        ("Training", duration(entry.get("train_seconds")), _epochs(entry)),
    ]
    return [(label, value, detail.strip()) for label, value, detail in found if value]


def _standings(entries: Sequence[ReportEntry]) -> list[Standing]:
    found = []
    for (protocol, _), group in grouped(enumerate(entries), lambda e: (e.protocol, e.data)):
        data = group[0][1].data_name
        rivals = [_own(entry) for _, entry in group] + (_known(protocol) if data == REFERENCE_DATA else [])
        if protocol != "samples":
            found.append(Standing(protocol, sorted(rivals, key=lambda rival: rival.order), data))
    return found


def _own(entry: ReportEntry) -> Rival:
    nll, bound = entry.get("test.nll"), negated(entry.get("test.elbo"))
    return Rival(
        entry.name,
        "this report",
        estimate("test.elbo", opposite=True)(entry.get),
        estimate("test.nll")(entry.get),
        None if nll is None else count(entry.get("test.nll_k")),
        ", ".join(filter(None, (duration(entry.get("train_seconds")), _epochs(entry)))) or None,
        min((value for value in (nll, bound) if value is not None), default=math.inf),
        run=True,
    )


def _known(protocol: str) -> list[Rival]:
    return [
        Rival(
            known.name,
            known.source,
            number(known.bound),
            number(known.nll),
            None if known.nll is None else count(known.k) or "unknown",
            known.training,
            min(value for value in (known.nll, known.bound) if value is not None),
        )
        for known in REFERENCES
        if known.protocol == protocol
    ]


def _settings(entries: Sequence[ReportEntry]) -> list[tuple[str, list[tuple[str, list[str], bool]]]]:
    """Collect configs, versions and origins: title, rows of (key, a value each run, they differ)."""
    origins = [
        {
            "created": e.config.get("created"),
            "data_sha256": e.config.get("data_sha256"),
            "image_shape": e.config.get("image_shape"),
            "seed of the evaluation": e.get("seed"),
            "schema_version": e.get("schema_version"),
        }
        for e in entries
    ]
    configs, versions = [e.settings for e in entries], [e.config.get("versions") or {} for e in entries]
    found = []
    for title, values in (("Configuration", configs), ("Versions", versions), ("Origin", origins)):
        rows = []
        for key in dict.fromkeys(key for mapping in values for key in mapping):
            cells = ["\N{EM DASH}" if m.get(key) is None else str(m[key]) for m in values]
            rows.append((str(key), cells, len(set(cells)) > 1))
        if rows:
            found.append((title, rows))
    return found
