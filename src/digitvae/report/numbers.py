"""The tables of a report: which numbers stand in them, beside what, and in which unit."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from digitvae.report.entry import PROTOCOLS, ReportEntry
from digitvae.report.formats import count, duration, negated, number, share, significant, with_interval

NATS = "nats"
Numbered = tuple[int, ReportEntry]
"""A run and its place in the report: two runs may have the same name."""


@dataclass(frozen=True)
class Column:
    """A column of numbers.

    Attributes:
        run: the place of its run in the report, from 0.
        name: of the run.
        part: which numbers of the run, where it has several columns.
    """

    run: int
    name: str
    part: str = ""


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        label: what it is.
        cells: a text for each column, None where there is no number.
        unit: of the numbers.
        hint: how to read them.
    """

    label: str
    cells: tuple[str | None, ...]
    unit: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Table:
    """A table, with a note below it."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str = ""


def tables(entries: Sequence[ReportEntry]) -> list[Table]:
    """Lay out all numbers that stand side by side for several runs.

    Args:
        entries: the runs.

    Returns:
        First the tables in nats, a set for each protocol and data, then the others, a set for each data.
        Empty rows and tables are left out.
    """
    numbered = list(enumerate(entries))
    found: list[Table] = []
    for (protocol, _), group in grouped(numbered, lambda e: (e.protocol, e.data)):
        suffix = f" \N{EM DASH} protocol {protocol}"
        if len({e.data for e in entries}) > 1:
            suffix += f", {group[0][1].data_name}"
        found += [_likelihood(group, suffix), _checks(group, suffix)]
    several_data = len({e.data for e in entries}) > 1
    for _, group in grouped(numbered, lambda e: e.data):
        suffix = f" \N{EM DASH} {group[0][1].data_name}" if several_data else ""
        found += [
            _reconstruction(group, suffix),
            _latents(group, suffix),
            _samples(group, suffix),
            _memorisation(group, suffix),
            _time(group, suffix),
        ]
    return [table for table in found if table.rows]


def grouped(
    entries: Iterable[Numbered], key: Callable[[ReportEntry], Any]
) -> list[tuple[Any, list[Numbered]]]:
    """Collect the entries with the same key, in the order in which keys come first."""
    groups: dict[Hashable, list[Numbered]] = {}
    for i, entry in entries:
        groups.setdefault(key(entry), []).append((i, entry))
    return list(groups.items())


def per_class(entry: ReportEntry) -> Table:
    """Lay out the likelihood of each class of one run; no rows without labels."""
    keys = ("images", "elbo", "reconstruction", "kl", "nll")
    k = entry.get("test.nll_k")
    names = ("images", "-ELBO", "reconstruction", "KL", f"NLL, k={count(k)}" if k else "NLL")
    rows = []
    for found in entry.get("per_class") or []:
        images, *nats = (found.get(key) for key in keys)
        nats[0] = negated(nats[0])
        rows.append(Row(str(found["label"]), (count(images), *map(number, nats))))
    return Table(
        f"By class, protocol {entry.protocol}",
        tuple(Column(0, "", name) for name in names),
        tuple(rows),
        "Means over the test images of a class, in nats per image.",
    )


def class_balance(entry: ReportEntry) -> Table:
    """Lay out which classes the classifier sees in the samples of one run; no rows without samples."""
    parts = _sample_parts(entry)
    columns = [(part, name) for part, name in parts if entry.get(f"samples.{part}.class_fractions")]
    fractions = [entry.get(f"samples.{part}.class_fractions") for part, _ in columns]
    rows = [
        Row(str(i), tuple(share(values[i]) if i < len(values) else None for values in fractions))
        for i in range(max(map(len, fractions), default=0))
    ]
    return Table(
        "Classes of the samples",
        tuple(Column(0, "", name) for _, name in columns),
        tuple(rows),
        "Shares of the classes that the classifier finds.",
    )


def _build(
    title: str, group: list[Numbered], rows: list[tuple[str, str, str, list[str | None]]], note: str = ""
) -> Table:
    """Put a table of one column a run together; rows are (label, unit, hint, cells)."""
    return Table(
        title,
        tuple(Column(i, entry.name) for i, entry in group),
        tuple(
            Row(label, tuple(cells), unit, hint)
            for label, unit, hint, cells in rows
            if any(cell is not None for cell in cells)
        ),
        note,
    )


def _each(group: list[Numbered], cell: Callable[[ReportEntry], str | None]) -> list[str | None]:
    return [cell(entry) for _, entry in group]


def _plain(path: str, form: Callable[[Any], str | None]) -> Callable[[ReportEntry], str | None]:
    return lambda entry: form(entry.get(path))


def _with_k(text: str | None, k: int | None) -> str | None:
    return None if text is None else f"{text} (k={count(k) or '?'})"


def _likelihood(group: list[Numbered], suffix: str) -> Table:
    # The k of the NLL itself has its row already.
    ks = sorted({k for _, e in group for k in e.get("nll_curve.k") or [] if k != e.get("test.nll_k")})

    def bound(e: ReportEntry) -> str | None:
        return with_interval(negated(e.get("test.elbo")), negated(e.get("test.elbo_interval")))

    def nll(e: ReportEntry) -> str | None:
        return _with_k(with_interval(e.get("test.nll"), e.get("test.nll_interval")), e.get("test.nll_k"))

    def bits(e: ReportEntry) -> str | None:
        return _with_k(number(e.get("test.bits_per_dim"), 4), e.get("test.nll_k"))

    def at(k: int) -> Callable[[ReportEntry], str | None]:
        def cell(e: ReportEntry) -> str | None:
            curve = dict(zip(e.get("nll_curve.k") or [], e.get("nll_curve.nll") or [], strict=True))
            return number(curve.get(k))

        return cell

    rows = [
        ("NLL", NATS, "importance-weighted bound; falls with k", _each(group, nll)),
        ("-ELBO", NATS, "", _each(group, bound)),
        ("  reconstruction", NATS, "", _each(group, _plain("test.reconstruction", number))),
        ("  KL", NATS, "", _each(group, _plain("test.kl", number))),
        ("bits per dim", "bits", "from the NLL", _each(group, bits)),
        *((f"NLL, k={count(k)}", NATS, "", _each(group, at(k))) for k in ks),
        ("test images", "", "", _each(group, _plain("test.images", count))),
        ("images of the NLL", "", "", _each(group, _plain("test.nll_images", count))),
        ("draws of the ELBO", "", "an image", _each(group, _plain("test.elbo_draws", count))),
    ]
    kind = PROTOCOLS[group[0][1].protocol]
    note = (
        f"Nats of {kind}, means over images; lower is better. "
        "Ranges hold 95%, by bootstrap over the test images."
    )
    return _build(f"Likelihood{suffix}", group, rows, note)


def _checks(group: list[Numbered], suffix: str) -> Table:
    def ais(e: ReportEntry) -> str | None:
        return with_interval(e.get("ais.nll"), e.get("ais.interval"))

    def importance(e: ReportEntry) -> str | None:
        return _with_k(with_interval(e.get("ais.is_nll"), e.get("ais.is_interval")), e.get("ais.is_k"))

    def agree(e: ReportEntry) -> str | None:
        first, second = e.get("ais.interval"), e.get("ais.is_interval")
        if first is None or second is None:
            return None
        return "yes" if max(first[0], second[0]) <= min(first[1], second[1]) else "no"

    def refined_nll(e: ReportEntry) -> str | None:
        return _with_k(number(e.get("refined.nll")), e.get("test.nll_k"))

    def opposite(value: float | None) -> str | None:
        return number(negated(value))

    rows = [
        ("NLL by annealed sampling", NATS, "an independent estimate", _each(group, ais)),
        ("NLL by importance sampling", NATS, "on the same images", _each(group, importance)),
        ("their ranges overlap", "", "", _each(group, agree)),
        ("images of both", "", "", _each(group, _plain("ais.images", count))),
        ("chains an image", "", "annealed sampling", _each(group, _plain("ais.chains", count))),
        ("temperatures", "", "annealed sampling", _each(group, _plain("ais.temperatures", count))),
        (
            "-ELBO, encoder",
            NATS,
            "on the refined images",
            _each(group, _plain("refined.elbo_before", opposite)),
        ),
        ("-ELBO, refined posterior", NATS, "", _each(group, _plain("refined.elbo", opposite))),
        (
            "amortisation gap",
            NATS,
            "what a posterior fitted to each image gains",
            _each(group, _plain("refined.amortisation_gap", number)),
        ),
        ("NLL, refined posterior", NATS, "", _each(group, refined_nll)),
        ("refined images", "", "", _each(group, _plain("refined.images", count))),
        ("steps of refinement", "", "", _each(group, _plain("refined.steps", count))),
    ]
    note = "On a part of the test images: compare these numbers with one another, not with those above."
    return _build(f"Checks of the likelihood{suffix}", group, rows, note)


def _reconstruction(group: list[Numbered], suffix: str) -> Table:
    def five(value: float | None) -> str | None:
        return number(value, 5)

    def three(value: float | None) -> str | None:
        return number(value, 3)

    rows = [
        ("MSE", "", "per pixel of [0, 1]; lower is better", _each(group, _plain("test.mse", five))),
        ("MSE of PCA", "", "as many components as latents", _each(group, _plain("test.pca_mse", five))),
        ("PSNR", "dB", "higher is better", _each(group, _plain("test.psnr", number))),
        ("SSIM", "", "1 is perfect", _each(group, _plain("test.ssim", three))),
    ]
    note = "Grey test images against their reconstructions through the posterior mean."
    return _build(f"Reconstruction{suffix}", group, rows, note)


def _latents(group: list[Numbered], suffix: str) -> Table:
    def active(e: ReportEntry) -> str | None:
        used, dim = e.get("latents.active_units"), e.get("latents.latent_dim")
        return None if used is None else f"{count(used)} of {count(dim) or '?'}"

    def mismatch(name: str) -> list[str | None]:
        return _each(group, _plain(f"latents.mismatch.{name}", significant))

    rows = [
        ("active latents", "", "variance of the posterior mean above 0.01", _each(group, active)),
        (
            "mutual information",
            "nats",
            "of image and code, estimated",
            _each(group, _plain("latents.mutual_information", number)),
        ),
        (
            "Gaussian mismatch",
            "nats",
            "codes of all test images against the prior, by mean and covariance",
            mismatch("gaussian_kl"),
        ),
        ("  floor", "nats", "", mismatch("gaussian_kl_floor")),
        ("energy distance", "", "the same, but notices every difference", mismatch("energy_distance")),
        ("  floor", "", "", mismatch("energy_distance_floor")),
        (
            "linear probe",
            "",
            "accuracy of logistic regression on the code",
            _each(group, _plain("latents.linear_probe", share)),
        ),
        ("nearest neighbours", "", "accuracy", _each(group, _plain("latents.knn", share))),
        ("clustering", "", "accuracy without labels", _each(group, _plain("latents.clustering", share))),
    ]
    note = "A floor is what as many true draws of the prior get: a perfect model has it, not 0."
    return _build(f"Latent code{suffix}", group, rows, note)


def _sample_parts(entry: ReportEntry) -> list[tuple[str, str]]:
    parts = (("model", "model"), ("floor", "floor"), ("gmm", "GMM"))
    return [(part, name) for part, name in parts if entry.get(f"samples.{part}") is not None]


def _samples(group: list[Numbered], suffix: str) -> Table:
    def simple(key: str, form: Callable[[Any], str | None]) -> Callable[[dict[str, Any]], str | None]:
        return lambda found: form(found.get(key))

    def three(value: float | None) -> str | None:
        return number(value, 3)

    measures: list[tuple[str, str, str, Callable[[dict[str, Any]], str | None]]] = [
        ("Fréchet distance", "", "lower is better", simple("frechet", significant)),
        ("kernel distance", "", "lower is better", simple("kernel", significant)),
        ("  spread", "", "standard deviation over subsets", simple("kernel_std", significant)),
        ("precision", "", "share of samples that look real", simple("precision", three)),
        ("recall", "", "share of real images that are covered", simple("recall", three)),
        ("density", "", "how far inside the real images; 1 is right", simple("density", three)),
        ("coverage", "", "share of real images with a sample near", simple("coverage", three)),
        ("class entropy", "nats", "ten even classes: 2.303", simple("class_entropy", three)),
        (
            "class imbalance",
            "",
            "total variation from the real shares; 0 is right",
            simple("total_variation", three),
        ),
        ("confidence", "", "mean of the classifier's highest probability", simple("confidence", three)),
        ("confident samples", "", "probability above 0.9", simple("share_confident", share)),
    ]
    columns = [(i, e, part, name) for i, e in group for part, name in _sample_parts(e)]
    rows = [
        Row(label, cells, unit, hint)
        for label, unit, hint, cell in measures
        if any(cells := tuple(cell(e.get(f"samples.{part}")) for _, e, part, _ in columns))
    ]
    counts = {count(e.get("samples.count")) for _, e, _, _ in columns} - {None}
    note = (
        (f"{' and '.join(sorted(map(str, counts)))} samples. " if counts else "")
        + "Floor: training images in place of samples, against the same test images. GMM: samples decoded "
        "from a Gaussian mixture fitted to the codes. The features are those of a digit classifier of this "
        "project, so these distances cannot be compared with the Inception-FID of papers."
    )
    return Table(
        f"Samples{suffix}", tuple(Column(i, e.name, name) for i, e, _, name in columns), tuple(rows), note
    )


def _memorisation(group: list[Numbered], suffix: str) -> Table:
    def part(key: str, form: Callable[[Any], str | None]) -> list[str | None]:
        return _each(group, _plain(f"samples.memorisation.{key}", form))

    rows = [
        (
            "distance to training images",
            "",
            "median, as a multiple of a test image's; copies have 0",
            part("median_ratio", number),
        ),
        (
            "very close samples",
            "",
            "nearer to a training image than 99% of test images; copies have 100%",
            part("share_closer", share),
        ),
        (
            "preference for training images",
            "",
            "over test images, as nearest; fresh samples have about 0, copies 1",
            part("train_preference", lambda value: number(value, 3)),
        ),
    ]
    note = "Smooth images are nearer to all others, copied or not; the last row is free of that."
    return _build(f"Memorisation{suffix}", group, rows, note)


def _time(group: list[Numbered], suffix: str) -> Table:
    rows = [
        ("training", "", "", _each(group, _plain("train_seconds", duration))),
        ("all of it", "", "the whole process", _each(group, _plain("wall_seconds", duration))),
    ]
    return _build(f"Time{suffix}", group, rows)
