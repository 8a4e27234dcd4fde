"""The tables of a report: which numbers stand side by side, and how to read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from digitvae.report.entry import PROTOCOLS, Numbered, ReportEntry, grouped
from digitvae.report.formats import (
    Cell,
    Get,
    count,
    duration,
    estimate,
    negated,
    number,
    share,
    significant,
    value,
)

NATS = "nats"
Line = tuple[str, str, str, Cell]
"""A row before its columns are known: what it is, its unit, how to read it, its cells."""


class Column(NamedTuple):
    """A column of numbers: the place of its run in the report, the run's name, which part of its numbers."""

    run: int
    name: str
    part: str = ""


class Row(NamedTuple):
    """A row of a table: what it is, a text per column or None, the unit of its numbers, how to read it."""

    label: str
    cells: tuple[str | None, ...]
    unit: str = ""
    hint: str = ""


class Table(NamedTuple):
    """A table, with a note below it."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str = ""


def build(title: str, columns: Sequence[tuple[Column, Get]], lines: Iterable[Line], note: str = "") -> Table:
    """Make a table from its columns and lines; rows without any number are left out."""
    rows = [
        Row(label, tuple(cell(get) for _, get in columns), unit, hint) for label, unit, hint, cell in lines
    ]
    return Table(
        title,
        tuple(column for column, _ in columns),
        tuple(row for row in rows if any(text is not None for text in row.cells)),
        note,
    )


def tables(entries: Sequence[ReportEntry]) -> list[Table]:
    """Lay out all numbers that stand side by side for several runs.

    Args:
        entries: the runs.

    Returns:
        First the tables in nats, a set for each protocol and data, then the others, a set for each data.
        Empty rows and tables are left out.
    """
    numbered = list(enumerate(entries))
    several_data = len({e.data for e in entries}) > 1
    found: list[Table] = []
    for (protocol, _), group in grouped(numbered, lambda e: (e.protocol, e.data)):
        data = f", {group[0][1].data_name}" if several_data else ""
        suffix, columns = f" \N{EM DASH} protocol {protocol}{data}", _columns(group)
        likelihood = [*_LIKELIHOOD, *_nll_by_k(group), *_COUNTS]
        note = (
            f"Nats of {PROTOCOLS[protocol]}, means over images; lower is better. "
            "Intervals are 95% bootstrap intervals over the test images."
        )
        found += [
            build(f"Likelihood{suffix}", columns, likelihood, note),
            build(f"Differences{suffix}", columns, _DIFFERENCES, _DIFFERENCES_NOTE),
            build(f"Checks of the likelihood{suffix}", columns, _CHECKS, _CHECKS_NOTE),
        ]
    for _, group in grouped(numbered, lambda e: e.data):
        suffix = f" \N{EM DASH} {group[0][1].data_name}" if several_data else ""
        parts = [column for i, entry in group for column in _sample_columns(i, entry)]
        copies = _columns(group, "samples.memorisation.")
        found += [
            build(f"Reconstruction{suffix}", _columns(group, "test."), _RECONSTRUCTION, _RECONSTRUCTION_NOTE),
            build(f"Latents{suffix}", _columns(group, "latents."), _LATENTS, _LATENTS_NOTE),
            build(f"Samples{suffix}", parts, _SAMPLES, _samples_note(group)),
            build(f"Memorisation{suffix}", copies, _MEMORISATION, _MEMORISATION_NOTE),
            build(f"Time{suffix}", _columns(group), _TIME),
        ]
    return [table for table in found if table.rows]


def per_class(entry: ReportEntry) -> Table:
    """Lay out the likelihood of each class of one run; no rows without labels."""
    k = count(entry.get("test.nll_k"))
    names = ("images", "-ELBO", "reconstruction", "KL", f"NLL, k={k}" if k else "NLL")
    rows = []
    for found in entry.get("per_class") or []:
        nats = (negated(found.get("elbo")), *(found.get(key) for key in ("reconstruction", "kl", "nll")))
        rows.append(Row(str(found["label"]), (count(found.get("images")), *map(number, nats))))
    return Table(
        f"By class, protocol {entry.protocol}",
        tuple(Column(0, "", name) for name in names),
        tuple(rows),
        "Means over the test images of a class, in nats per image.",
    )


def class_balance(entry: ReportEntry) -> Table:
    """Lay out which classes the classifier sees in the samples of one run; no rows without samples."""
    found = [(column, get("class_fractions")) for column, get in _sample_columns(0, entry)]
    found = [(column, fractions) for column, fractions in found if fractions]
    rows = [
        Row(str(i), tuple(share(fractions[i]) if i < len(fractions) else None for _, fractions in found))
        for i in range(max((len(fractions) for _, fractions in found), default=0))
    ]
    note = "Share of the samples that the classifier assigns to each class."
    return Table("Classes of the samples", tuple(column for column, _ in found), tuple(rows), note)


def _columns(group: list[Numbered], prefix: str = "") -> list[tuple[Column, Get]]:
    return [(Column(i, entry.name), _below(entry, prefix)) for i, entry in group]


def _sample_columns(run: int, entry: ReportEntry) -> list[tuple[Column, Get]]:
    """Give the samples of a run, their floor and their baseline a column each, as far as there are any."""
    return [
        (Column(run, entry.name, name), _below(entry, f"samples.{part}."))
        for part, name in {"model": "model", "floor": "floor", "gmm": "GMM"}.items()
        if entry.get(f"samples.{part}") is not None
    ]


def _below(entry: ReportEntry, prefix: str) -> Get:
    return lambda path: entry.get(prefix + path)


def _nll_by_k(group: list[Numbered]) -> list[Line]:
    """Make a row for each k of the runs' curves but the k of the NLL itself, which has its row already."""

    def at(k: int) -> Cell:
        def cell(get: Get) -> str | None:
            return number(dict(zip(get("nll_curve.k") or [], get("nll_curve.nll") or [], strict=True)).get(k))

        return cell

    ks = {k for _, e in group for k in e.get("nll_curve.k") or [] if k != e.get("test.nll_k")}
    return [(f"NLL, k={count(k)}", NATS, "", at(k)) for k in sorted(ks)]


def _overlap(get: Get) -> str | None:
    first, second = get("ais.interval"), get("ais.is_interval")
    if first is None or second is None:
        return None
    return "yes" if max(first[0], second[0]) <= min(first[1], second[1]) else "no"


def _active(get: Get) -> str | None:
    used, dim = get("active_units"), get("latent_dim")
    return None if used is None else f"{count(used)} of {count(dim) or '?'}"


def _samples_note(group: list[Numbered]) -> str:
    counts = sorted(
        {str(count(e.get("samples.count"))) for _, e in group if e.get("samples.count") is not None}
    )
    return (f"{' and '.join(counts)} samples. " if counts else "") + (
        "Floor: training images in place of samples, against the same test images. GMM: samples decoded from "
        "a Gaussian mixture fitted to the latents. The features come from this project's digit classifier: "
        "these distances cannot be compared with the Inception-FID of papers."
    )


_LIKELIHOOD: list[Line] = [
    ("NLL", NATS, "importance-weighted bound; falls with k", estimate("test.nll", k="test.nll_k")),
    ("-ELBO", NATS, "", estimate("test.elbo", opposite=True)),
    ("  reconstruction", NATS, "", value("test.reconstruction")),
    ("  KL", NATS, "", value("test.kl")),
    ("bits per dim", "bits", "from the NLL", estimate("test.bits_per_dim", k="test.nll_k", digits=4)),
]
_COUNTS: list[Line] = [
    ("test images", "", "", value("test.images", count)),
    ("images of the NLL", "", "", value("test.nll_images", count)),
    ("draws of the ELBO", "", "per image", value("test.elbo_draws", count)),
]
_DIFFERENCES: list[Line] = [
    ("difference of NLL", NATS, "below 0: better than the first run", estimate("paired.nll")),
    ("difference of -ELBO", NATS, "", estimate("paired.bound")),
    ("compared with", "", "", value("paired.to", lambda name: name)),
]
_DIFFERENCES_NOTE = (
    "Mean difference over the test images, with 95% paired bootstrap intervals. An interval without 0 means "
    "that the difference is unlikely to be due to the choice of test images."
)
_CHECKS: list[Line] = [
    ("NLL by annealed sampling", NATS, "an independent estimate", estimate("ais.nll", "ais.interval")),
    ("NLL by importance weights", NATS, "same images", estimate("ais.is_nll", "ais.is_interval", "ais.is_k")),
    ("their intervals overlap", "", "", _overlap),
    ("  their difference", NATS, "mean and 95% paired bootstrap interval", estimate("ais.difference")),
    ("images of both", "", "", value("ais.images", count)),
    ("chains per image", "", "annealed sampling", value("ais.chains", count)),
    ("temperatures", "", "annealed sampling", value("ais.temperatures", count)),
    ("-ELBO, encoder", NATS, "on the refined images", estimate("refined.elbo_before", opposite=True)),
    ("-ELBO, refined posterior", NATS, "", estimate("refined.elbo", opposite=True)),
    ("amortisation gap", NATS, "gain of fitting each posterior", estimate("refined.amortisation_gap")),
    ("NLL, encoder", NATS, "on the refined images", estimate("refined.nll_before", k="test.nll_k")),
    ("NLL, refined posterior", NATS, "", estimate("refined.nll", k="test.nll_k")),
    ("refined images", "", "", value("refined.images", count)),
    ("steps of refinement", "", "", value("refined.steps", count)),
]
_CHECKS_NOTE = (
    "Measured on part of the test images: compare these numbers with each other, not with those above."
)
_RECONSTRUCTION: list[Line] = [
    ("MSE", "", "per pixel of [0, 1]; lower is better", value("mse", number, 5)),
    ("MSE of PCA", "", "with as many components as latents", value("pca_mse", number, 5)),
    ("PSNR", "dB", "higher is better", value("psnr")),
    ("SSIM", "", "1 is perfect", value("ssim", number, 3)),
]
_RECONSTRUCTION_NOTE = "Grey test images compared with their reconstructions from the posterior mean."
_LATENTS: list[Line] = [
    ("active latents", "", "variance of the posterior mean above 0.01", _active),
    ("mutual information", NATS, "of image and latents; a lower bound", value("mutual_information")),
    ("  limit", NATS, "logarithm of the number of test images", value("mutual_information_limit")),
    ("Gaussian mismatch", NATS, "KL of a Gaussian fit", value("mismatch.gaussian_kl", significant)),
    ("  floor", NATS, "", value("mismatch.gaussian_kl_floor", significant)),
    ("energy distance", "", "sensitive to any difference", value("mismatch.energy_distance", significant)),
    ("  floor", "", "", value("mismatch.energy_distance_floor", significant)),
    ("linear probe", "", "accuracy of logistic regression", value("linear_probe", share)),
    ("nearest neighbours", "", "accuracy", value("knn", share)),
    ("clustering", "", "accuracy of k-means, fitted without labels", value("clustering", share)),
]
_LATENTS_NOTE = (
    "Mismatch and energy distance compare the latents of all test images with the prior. Their floor is the "
    "value for draws of the prior itself: a perfect model reaches the floor, not 0."
)
_SAMPLES: list[Line] = [
    ("Fréchet distance", "", "lower is better", value("frechet", significant)),
    ("kernel distance", "", "lower is better", value("kernel", significant)),
    ("  spread", "", "standard deviation over subsets", value("kernel_std", significant)),
    ("precision", "", "share of samples that look real", value("precision", number, 3)),
    ("recall", "", "share of real images that are covered", value("recall", number, 3)),
    ("density", "", "how densely real images surround samples; ideally 1", value("density", number, 3)),
    ("coverage", "", "share of real images with a sample nearby", value("coverage", number, 3)),
    ("class entropy", NATS, "2.303 for ten equally frequent classes", value("class_entropy", number, 3)),
    ("class imbalance", "", "total variation distance; ideally 0", value("total_variation", number, 3)),
    ("confidence", "", "mean of the classifier's highest probability", value("confidence", number, 3)),
    ("confident samples", "", "highest probability above 0.9", value("share_confident", share)),
]
_MEMORISATION: list[Line] = [
    ("distance to training images", "", "median over that of test images; copies: 0", value("median_ratio")),
    ("very close samples", "", "nearer than 99% of test images; copies: 100%", value("share_closer", share)),
    (
        "preference for training images",
        "",
        "new images: about 0; copies: 1",
        value("train_preference", number, 3),
    ),
]
_MEMORISATION_NOTE = (
    "Smooth images are nearer to all other images, whether copied or not; this does not affect the last row."
)
_TIME: list[Line] = [
    ("training", "", "", value("train_seconds", duration)),
    ("whole process", "", "that trained the model", value("wall_seconds", duration)),
    ("this evaluation", "", "", value("evaluation_seconds", duration)),
]
