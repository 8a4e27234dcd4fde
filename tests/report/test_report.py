"""The report: a page that is valid, closed in itself and never mixes protocols, and the terminal's table."""

from __future__ import annotations

import base64
import io
import json
import re
import statistics
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from digitvae import figures
from digitvae.report import ReportEntry, references, table, write_report

ROOT = Path(__file__).parents[2]

VOID = {"meta", "img", "br", "hr", "link", "input"}
HOSTILE = "<script>alert('x')</script>\"&{{ 7 * 7 }}<img src=//evil>"
OPTIONAL = (
    "nll_curve",
    "refined",
    "ais",
    "samples",
    "samples__gmm",
    "samples__memorisation",
    "latents",
    "latents__kl_per_latent",
    "latents__mismatch__gaussian_kl",
    "latents__linear_probe",
    "latents__knn",
    "latents__clustering",
    "test__elbo_interval",
    "test__nll_interval",
    "train_seconds",
)


class Page(HTMLParser):
    """Reads a page, fails on tags that do not close, and collects what tests ask for."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self.captions: list[str] = []
        self.texts: list[str] = []
        self.heading = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs)
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
            self.captions.append(self.heading)
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag == "h3":
            self.heading = ""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if "h3" in self.open:
            self.heading += data
        if "td" in self.open or "th" in self.open:
            self.tables[-1][-1][-1] += data


def png(width: int = 3, height: int = 2) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((height, width), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def page_of(path: Path, entries: list[ReportEntry]) -> Page:
    assert write_report(path / "report.html", entries) == path / "report.html"
    assert [file.name for file in path.iterdir()] == ["report.html"]
    return Page((path / "report.html").read_text(encoding="utf-8"))


def assert_closed(page: Page, pictures: int) -> None:
    """No address leads out of the page, and every picture is a PNG."""
    links = {
        value or ""
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "data", "action", "poster")
    }
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for link in links:
        assert link.startswith("data:image/png;base64,") or (link[:1] == "#" and link[1:] in ids)
    for _, attributes in page.tags:
        assert attributes.get("aria-labelledby", ids[0]) in ids
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == pictures
    for image in images:
        assert image["alt"]
        data = base64.b64decode((image["src"] or "").partition(",")[2], validate=True)
        with Image.open(io.BytesIO(data)) as decoded:
            decoded.load()
            assert decoded.format == "PNG"
            assert decoded.size == (int(image["width"] or 0), int(image["height"] or 0))


# --- the page -----------------------------------------------------------------------------------------------


def test_page_is_valid_and_closed_in_itself(
    tmp_path: Path, evaluation: Callable[..., Any], config: Any
) -> None:
    drawn = figures.samples(np.zeros((4, 28, 28), np.uint8))
    page = page_of(tmp_path, [ReportEntry("run", evaluation(), config, {"samples": drawn, "mine": png()})])
    assert_closed(page, pictures=2)
    tags = [tag for tag, _ in page.tags]
    assert "script" not in tags
    assert "link" not in tags
    assert tags.count("h1") == 1
    style = (
        (tmp_path / "report.html")
        .read_text(encoding="utf-8")
        .partition("<style>")[2]
        .partition("</style>")[0]
    )
    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style


def test_every_number_has_headers(tmp_path: Path, evaluation: Callable[..., Any], config: Any) -> None:
    page = page_of(tmp_path, [ReportEntry(name, evaluation(), config) for name in "ab"])
    cells = [attributes for tag, attributes in page.tags if tag == "th"]
    assert cells
    assert all(cell.get("scope") in ("row", "col", "colgroup") for cell in cells)
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for found in page.tables:
        assert len({len(row) for row in found[-2:]}) == 1


def test_page_shows_the_numbers(tmp_path: Path, evaluation: Callable[..., Any], config: Any) -> None:
    page = page_of(tmp_path, [ReportEntry("run", evaluation(), config)])
    text = " ".join(page.texts)
    for expected in (
        "81.93 ± 0.36 (k=128)",
        "86.41 ± 0.38",
        "NLL, k=10",
        "81.41 ± 3.69",
        "(k=512)",
        "0.00521",
        "30 of 40",
        "93.1%",
        "12.3",
        "4 min 32 s",
        "3.15.1",
        "Inception-FID",
        "1,135",
        "\N{MINUS SIGN}ELBO",
    ):
        assert expected in text


@pytest.mark.parametrize("pictures", [{"<b>": b"x"}, {"samples": b""}, {"samples": b"GIF89a"}])
def test_no_png_is_refused_and_nothing_is_left(
    tmp_path: Path, evaluation: Callable[..., Any], config: Any, pictures: Any
) -> None:
    with pytest.raises(ValueError, match="PNG"):
        write_report(tmp_path / "report.html", [ReportEntry("run", evaluation(), config, pictures)])
    assert list(tmp_path.iterdir()) == []


def test_old_file_stays_when_the_new_one_fails(
    tmp_path: Path, evaluation: Callable[..., Any], config: Any
) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    with pytest.raises(ValueError, match="PNG"):
        write_report(path, [ReportEntry("run", evaluation(), config, {"samples": b"no"})])
    assert path.read_text() == "old"


def test_hostile_text_stays_text(tmp_path: Path, evaluation: Callable[..., Any], config: Any) -> None:
    config["config"] = {"recipe": HOSTILE, "data": HOSTILE, HOSTILE: HOSTILE}
    config["versions"] = {HOSTILE: HOSTILE}
    config["created"] = HOSTILE
    found = evaluation(per_class=[{"label": HOSTILE, "images": 1, "elbo": -1.0, "nll": 1.0}])
    entries = [ReportEntry(HOSTILE, found, config, {HOSTILE: png()}) for _ in range(2)]
    page = page_of(tmp_path, entries)
    assert_closed(page, pictures=2)
    assert "script" not in [tag for tag, _ in page.tags]
    assert HOSTILE in page.texts
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)


def test_pictures_keep_their_order(tmp_path: Path, evaluation: Callable[..., Any], config: Any) -> None:
    names = ["zeta", "latent_grid", "samples", "alpha"]
    sizes = {name: png(width=i + 1, height=1) for i, name in enumerate(names)}
    page = page_of(tmp_path, [ReportEntry("run", evaluation(), config, sizes)])
    assert [attributes["width"] for tag, attributes in page.tags if tag == "img"] == ["1", "2", "3", "4"]


def test_pixels_of_digits_stay_sharp(tmp_path: Path, evaluation: Callable[..., Any], config: Any) -> None:
    digits = np.random.default_rng(0).integers(0, 2, (100, 28, 28), dtype=np.uint8) * 255
    figure = figures.samples(digits)
    page = page_of(tmp_path, [ReportEntry("run", evaluation(), config, {"samples": figure})])
    [source] = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    with Image.open(io.BytesIO(base64.b64decode((source or "").partition(",")[2]))) as image:
        inside = np.asarray(image.convert("L"))
    figures.save(figure, tmp_path / "samples.png")
    with Image.open(tmp_path / "samples.png") as image:
        np.testing.assert_array_equal(inside, np.asarray(image.convert("L")))


# --- parts that are not there -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", OPTIONAL)
def test_each_part_may_be_null(
    tmp_path: Path, evaluation: Callable[..., Any], config: Any, path: str
) -> None:
    entries = [
        ReportEntry("with", evaluation(), config),
        ReportEntry("out", evaluation(**{path: None}), config),
    ]
    for chosen in (entries, entries[1:]):
        page_of(tmp_path, chosen)
        shown = table(chosen)
        assert "None" not in shown
        assert "nan" not in shown
    assert "None" not in " ".join(page_of(tmp_path, entries[1:]).texts)


def test_almost_nothing_is_enough(tmp_path: Path) -> None:
    entry = ReportEntry("bare", {"schema_version": 1, "protocol": "grey-density"})
    page = page_of(tmp_path, [entry])
    assert "Nothing was measured." in page.texts
    assert "bare" in table([entry])


def test_no_labels_no_table_of_classes(tmp_path: Path, evaluation: Callable[..., Any], config: Any) -> None:
    with_labels = page_of(tmp_path, [ReportEntry("run", evaluation(), config)])
    without = page_of(tmp_path, [ReportEntry("run", evaluation(per_class=[]), config)])
    assert any(name.startswith("By class") for name in with_labels.captions)
    assert not any(name.startswith("By class") for name in without.captions)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 0.0, -0.0, 1e-12, 1e12])
def test_strange_numbers(tmp_path: Path, evaluation: Callable[..., Any], config: Any, value: float) -> None:
    changes = {
        "test__nll": value,
        "test__elbo": value,
        "latents__mismatch__gaussian_kl": value,
        "samples__model__frechet": value,
        "train_seconds": value,
    }
    entry = ReportEntry("run", evaluation(**changes), config)
    page_of(tmp_path, [entry])
    assert "-0.00 " not in table([entry])


# --- protocols ----------------------------------------------------------------------------------------------


def nats_tables(page: Page) -> list[list[list[str]]]:
    """Tables with nats in a column a run."""
    return [
        found
        for name, found in zip(page.captions, page.tables, strict=True)
        if name.startswith(("Likelihood", "Checks"))
    ]


def test_protocols_never_share_a_table_of_nats(
    tmp_path: Path, evaluation: Callable[..., Any], config: Any
) -> None:
    entries = [
        ReportEntry("bits", evaluation(), config),
        ReportEntry("grey", evaluation(protocol="grey-256"), config),
        ReportEntry("more-bits", evaluation(), config),
    ]
    heads = [found[0][1:] for found in nats_tables(page_of(tmp_path, entries))]
    assert sorted(map(tuple, heads)) == [("bits", "more-bits")] * 2 + [("grey",)] * 2
    for section in table(entries).split("\n\n")[1:]:
        if section.startswith(("Likelihood", "Checks")):
            head = section.splitlines()[1].split()
            assert head in (["bits", "more-bits"], ["grey"])
            assert f"protocol {'grey-256' if head == ['grey'] else 'dynamic'}" in section.splitlines()[0]
        elif section.startswith("Reconstruction"):
            assert section.splitlines()[1].split() == ["bits", "grey", "more-bits"]


def test_other_data_never_share_a_table(tmp_path: Path, evaluation: Callable[..., Any], config: Any) -> None:
    other = {**config, "data_sha256": "00" * 32, "config": {"data": "mine.npz"}}
    entries = [ReportEntry("a", evaluation(), config), ReportEntry("b", evaluation(), other)]
    page = page_of(tmp_path, entries)
    for name, found in zip(page.captions, page.tables, strict=True):
        if name not in ("Configuration", "Versions", "Origin"):
            assert not {"a", "b"} <= {cell for row in found for cell in row}
    text = table(entries)
    assert all("a" not in line.split() or "b" not in line.split() for line in text.splitlines())


@pytest.mark.parametrize("protocol", ["dynamic", "grey-256", "grey-density"])
def test_references_stand_beside_their_own_protocol(
    tmp_path: Path, evaluation: Callable[..., Any], config: Any, protocol: str
) -> None:
    page = page_of(tmp_path, [ReportEntry("run", evaluation(protocol=protocol), config)])
    [mine] = [
        i for i, found in enumerate(page.tables) if any(row[0].startswith("runthis rep") for row in found)
    ]
    names = " ".join(row[0] for row in page.tables[mine])
    assert f"rotocol {protocol} " in page.captions[mine]
    others = ("NVAE", "NumPyro", "pythae")
    assert [name in names for name in others] == [protocol == "dynamic"] * 3
    if protocol != "dynamic":
        assert not any(name in text for name in others for text in page.texts)
        assert "This report has no reference for this protocol." in " ".join(page.texts)


def test_measured_references_are_those_of_the_results_file() -> None:
    results = [json.loads(path.read_text()) for path in (ROOT / "benchmarks/results").rglob("speedrun.json")]
    [measured] = [found for found in results if found["date"].startswith(references.DATE)]
    for system, name in {
        "numpyro": "NumPyro",
        "pytorch": "PyTorch",
        "pythae": "pythae",
        "keras": "Keras",
    }.items():
        [known] = [found for found in references.REFERENCES if found.name.startswith(name)]
        last = [run["curve"][-1] for run in measured["systems"][system]["runs"]]
        assert known.bound == round(statistics.median(row["neg_elbo"] for row in last), 2)
        assert {f"{row['epoch']} epochs" for row in last} == {known.training}
        assert references.MEASURED in known.source


def test_references_are_sorted_with_the_run(
    tmp_path: Path, evaluation: Callable[..., Any], config: Any
) -> None:
    page = page_of(tmp_path, [ReportEntry("run", evaluation(), config)])
    rows = page.tables[0][1:]
    assert [row[0][:3] for row in rows].index("run") == 3
    assert page.tables[0][0][1:3] == ["NLL", "k of the NLL"]
    assert rows[3][1:3] == ["81.93 ± 0.36", "128"]


def test_references_are_of_mnist_alone(tmp_path: Path, evaluation: Callable[..., Any], config: Any) -> None:
    config["config"]["data"] = "letters.npz"
    text = " ".join(page_of(tmp_path, [ReportEntry("run", evaluation(), config)]).texts)
    assert "NVAE" not in text
    assert "pythae" not in text


# --- several runs ---------------------------------------------------------------------------------------


def test_runs_of_one_name_are_kept_apart(tmp_path: Path, evaluation: Callable[..., Any], config: Any) -> None:
    entries = [ReportEntry("same", evaluation(test__nll=nll), config) for nll in (80.0, 90.0)]
    page = page_of(tmp_path, entries)
    assert_closed(page, pictures=0)
    [samples] = [t for name, t in zip(page.captions, page.tables, strict=True) if name == "Samples"]
    assert samples[0] == ["", "same", "same"]
    assert samples[1][1:] == ["model", "floor", "GMM"] * 2
    assert "80.00" in table(entries)
    assert "90.00" in table(entries)


def test_differences_of_configs_are_marked(
    tmp_path: Path, evaluation: Callable[..., Any], config: Any
) -> None:
    other = {**config, "config": {**config["config"], "epochs": 3}}
    entries = [ReportEntry("a", evaluation(), config), ReportEntry("b", evaluation(), other)]
    page = page_of(tmp_path, entries)
    [found] = [t for name, t in zip(page.captions, page.tables, strict=True) if name == "Configuration"]
    assert ["epochs (differs)", "10", "3"] in found
    assert ["recipe", "default", "default"] in found


@pytest.mark.parametrize("write", [table, lambda entries: write_report("report.html", entries)])
def test_no_runs(write: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="at least one run"):
        write([])


@pytest.mark.parametrize("changes", [{"schema_version": 2}, {"protocol": "static"}, {"schema_version": None}])
def test_what_it_does_not_know_is_refused(evaluation: Callable[..., Any], changes: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(changes)).partition("_")[0]):
        ReportEntry("run", evaluation(**changes))


def test_importing_it_is_cheap(
    python: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    code = (
        "import sys, digitvae.report as r; "
        "r.table([r.ReportEntry('a', {'schema_version': 1, 'protocol': 'dynamic'})]); "
        "print({'keras', 'matplotlib', 'jinja2'} & set(sys.modules))"
    )
    done = python("-c", code, cwd=tmp_path)
    assert done.stdout.strip() == "set()", done.stderr
