"""The HTML page: one file that needs no network and no script."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import groupby
from pathlib import Path
from typing import Any

from digitvae.files import written_whole
from digitvae.report.entry import PROTOCOLS, ReportEntry
from digitvae.report.formats import count, duration, negated, number, significant, with_interval
from digitvae.report.layout import Column, grouped
from digitvae.report.nats import per_class
from digitvae.report.numbers import tables
from digitvae.report.pictures import picture
from digitvae.report.quality import class_balance
from digitvae.report.references import OTHER_PROTOCOLS, REFERENCES

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


@dataclass(frozen=True)
class Card:
    """A headline number."""

    label: str
    value: str
    detail: str


@dataclass(frozen=True)
class Rival:
    """A row of a table of references; `run` marks a run of the report."""

    name: str
    source: str
    bound: str | None
    nll: str | None
    k: str | None
    training: str | None
    run: bool
    order: float


@dataclass(frozen=True)
class Standing:
    """The runs of one protocol among the references of that protocol."""

    protocol: str
    kind: str
    data: str
    rivals: list[Rival]
    comparable: bool
    bound: str = "-ELBO"


def _render(entries: Sequence[ReportEntry]) -> str:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["signed"] = _signed
    environment.filters["bands"] = _bands
    folder = resources.files(__package__)
    template = environment.from_string(folder.joinpath("report.html.jinja").read_text(encoding="utf-8"))
    style = folder.joinpath("report.css").read_text(encoding="utf-8")
    standings = _standings(entries)
    return template.render(
        style=style,
        title=entries[0].name if len(entries) == 1 else f"{len(entries)} runs compared",
        kinds=PROTOCOLS,
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
        standings=standings,
        others=_others({standing.protocol for standing in standings}),
        settings=_settings(entries),
    )


def _signed(text: str) -> str:
    """Put true minus signs in front of numbers and of the ELBO."""
    return re.sub(r"(?<![\w-])-(?=\d|ELBO)", "\N{MINUS SIGN}", text)


def _bands(columns: Sequence[Column]) -> list[tuple[str, int]]:
    """Name each run once, with the number of its columns."""
    return [
        (members[0].name, len(members))
        for members in (list(found) for _, found in groupby(columns, lambda column: column.run))
    ]


def _facts(entry: ReportEntry) -> list[tuple[str, str]]:
    """Say in a few words what was evaluated."""
    config: Mapping[str, Any] = entry.config.get("config") or {}
    shape = entry.config.get("image_shape")
    size = f", {shape[0]} \N{MULTIPLICATION SIGN} {shape[1]} pixels" if shape else ""
    facts = {
        "Protocol": f"{entry.protocol}: {PROTOCOLS[entry.protocol]}",
        "Data": f"{entry.data_name}{size}",
        "Recipe": config.get("recipe"),
        "Created": _moment(entry.config.get("created")),
        "Seed of the evaluation": entry.get("seed"),
    }
    return [(label, str(value)) for label, value in facts.items() if value is not None]


def _moment(created: Any) -> str | None:
    """Shorten a time of ISO 8601 to the minute; others stay as they are."""
    if created is None:
        return None
    found = re.match(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)", str(created))
    return " ".join(found.groups()) if found else str(created)


def _cards(entry: ReportEntry) -> list[Card]:
    def headline(value: float | None, interval: Sequence[float] | None) -> tuple[str | None, str | None]:
        """Part the number, which is large, from its range, which is small."""
        shown, whole = number(value), with_interval(value, interval)
        return shown, whole.removeprefix(shown).strip() if whole and shown else None

    k = f"k = {count(entry.get('test.nll_k')) or '?'}"
    nll, nll_range = headline(entry.get("test.nll"), entry.get("test.nll_interval"))
    bound, bound_range = headline(negated(entry.get("test.elbo")), negated(entry.get("test.elbo_interval")))
    pca, floor = number(entry.get("test.pca_mse"), 5), significant(entry.get("samples.floor.frechet"))
    dim = count(entry.get("latents.latent_dim"))
    epochs = (entry.config.get("config") or {}).get("epochs")
    found = [
        ("NLL", nll, f"{nll_range or ''} nats, {k}".strip()),
        ("-ELBO", bound, f"{bound_range or ''} nats".strip()),
        ("Bits per dim", number(entry.get("test.bits_per_dim"), 4), k),
        ("Reconstruction MSE", number(entry.get("test.mse"), 5), f"PCA {pca}" if pca else ""),
        (
            "Fréchet distance",
            significant(entry.get("samples.model.frechet")),
            f"floor {floor}" if floor else "",
        ),
        ("Active latents", count(entry.get("latents.active_units")), f"of {dim}" if dim else ""),
        ("Training", duration(entry.get("train_seconds")), f"{epochs} epochs" if epochs is not None else ""),
    ]
    return [Card(label, value, text) for label, value, text in found if value is not None]


def _standings(entries: Sequence[ReportEntry]) -> list[Standing]:
    found = []
    for (protocol, _), group in grouped(enumerate(entries), lambda e: (e.protocol, e.data)):
        data = group[0][1].data_name
        comparable = data == REFERENCE_DATA
        if protocol == "samples":
            continue
        rivals = [_own(entry) for _, entry in group]
        if comparable:
            rivals += _known(protocol)
        rivals.sort(key=lambda rival: rival.order)
        found.append(Standing(protocol, PROTOCOLS[protocol], data, rivals, comparable))
    return found


def _own(entry: ReportEntry) -> Rival:
    nll, elbo = entry.get("test.nll"), entry.get("test.elbo")
    epochs = (entry.config.get("config") or {}).get("epochs")
    parts = [duration(entry.get("train_seconds")), f"{epochs} epochs" if epochs is not None else None]
    best = nll if nll is not None else negated(elbo)
    return Rival(
        entry.name,
        "this report",
        with_interval(negated(elbo), negated(entry.get("test.elbo_interval"))),
        with_interval(nll, entry.get("test.nll_interval")),
        None if nll is None else count(entry.get("test.nll_k")),
        ", ".join(part for part in parts if part) or None,
        True,
        float("inf") if best is None else best,
    )


def _known(protocol: str) -> list[Rival]:
    return [
        Rival(
            known.name,
            f"{known.source}; {known.kind}",
            number(known.bound, 1),
            number(known.nll),
            None if known.nll is None else count(known.k) or "unknown",
            known.training,
            False,
            min(value for value in (known.nll, known.bound) if value is not None),
        )
        for known in REFERENCES
        if known.protocol == protocol
    ]


def _others(shown: set[str]) -> list[Standing]:
    """Collect the references of protocols that no run of the report has."""
    kinds = {**PROTOCOLS, **OTHER_PROTOCOLS}
    found = [
        Standing(
            protocol,
            kind,
            REFERENCE_DATA,
            _known(protocol),
            comparable=False,
            bound="cross-entropy + KL" if protocol in OTHER_PROTOCOLS else "-ELBO",
        )
        for protocol, kind in kinds.items()
        if protocol not in shown
    ]
    return [standing for standing in found if standing.rivals]


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
    configs = [e.config.get("config") or {} for e in entries]
    versions = [e.config.get("versions") or {} for e in entries]
    found = []
    for title, values in (("Configuration", configs), ("Versions", versions), ("Origin", origins)):
        keys = dict.fromkeys(key for mapping in values for key in mapping)
        rows = []
        for key in keys:
            cells = ["\N{EM DASH}" if m.get(key) is None else str(m[key]) for m in values]
            rows.append((str(key), cells, len(set(cells)) > 1))
        if rows:
            found.append((title, rows))
    return found
