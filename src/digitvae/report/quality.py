"""Tables of what images and codes are worth, and of time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from digitvae.report.entry import ReportEntry
from digitvae.report.formats import count, duration, number, share, significant
from digitvae.report.layout import Column, Numbered, Row, Table, build, each, plain


def reconstruction(group: list[Numbered], suffix: str) -> Table:
    """Lay out how close reconstructions are."""

    def five(value: float | None) -> str | None:
        return number(value, 5)

    def three(value: float | None) -> str | None:
        return number(value, 3)

    rows = [
        ("MSE", "", "per pixel of [0, 1]; lower is better", each(group, plain("test.mse", five))),
        ("MSE of PCA", "", "as many components as latents", each(group, plain("test.pca_mse", five))),
        ("PSNR", "dB", "higher is better", each(group, plain("test.psnr", number))),
        ("SSIM", "", "1 is perfect", each(group, plain("test.ssim", three))),
    ]
    note = "Grey test images against their reconstructions through the posterior mean."
    return build(f"Reconstruction{suffix}", group, rows, note)


def latents(group: list[Numbered], suffix: str) -> Table:
    """Lay out what the code holds."""

    def active(e: ReportEntry) -> str | None:
        used, dim = e.get("latents.active_units"), e.get("latents.latent_dim")
        return None if used is None else f"{count(used)} of {count(dim) or '?'}"

    def mismatch(name: str) -> list[str | None]:
        return each(group, plain(f"latents.mismatch.{name}", significant))

    rows = [
        ("active latents", "", "variance of the posterior mean above 0.01", each(group, active)),
        (
            "mutual information",
            "nats",
            "of image and code, estimated from below; cannot pass the next row",
            each(group, plain("latents.mutual_information", number)),
        ),
        (
            "  its limit",
            "nats",
            "logarithm of the number of test images",
            each(group, plain("latents.mutual_information_limit", number)),
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
            each(group, plain("latents.linear_probe", share)),
        ),
        ("nearest neighbours", "", "accuracy", each(group, plain("latents.knn", share))),
        ("clustering", "", "accuracy without labels", each(group, plain("latents.clustering", share))),
    ]
    note = "A floor is what as many true draws of the prior get: a perfect model has it, not 0."
    return build(f"Latent code{suffix}", group, rows, note)


def _sample_parts(entry: ReportEntry) -> list[tuple[str, str]]:
    parts = (("model", "model"), ("floor", "floor"), ("gmm", "GMM"))
    return [(part, name) for part, name in parts if entry.get(f"samples.{part}") is not None]


def samples(group: list[Numbered], suffix: str) -> Table:
    """Lay out how good samples are, beside their floor and baseline."""

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


def memorisation(group: list[Numbered], suffix: str) -> Table:
    """Lay out whether samples are copies."""

    def part(key: str, form: Callable[[Any], str | None]) -> list[str | None]:
        return each(group, plain(f"samples.memorisation.{key}", form))

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
    return build(f"Memorisation{suffix}", group, rows, note)


def time(group: list[Numbered], suffix: str) -> Table:
    """Lay out how long it took."""
    rows = [
        ("training", "", "", each(group, plain("train_seconds", duration))),
        ("all of it", "", "the whole process that trained", each(group, plain("wall_seconds", duration))),
        ("this evaluation", "", "", each(group, plain("evaluation_seconds", duration))),
    ]
    return build(f"Time{suffix}", group, rows)


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
