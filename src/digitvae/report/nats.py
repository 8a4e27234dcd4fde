"""Tables in nats: likelihoods and the checks of them. They stand beside the same protocol and data alone."""

from __future__ import annotations

from collections.abc import Callable

from digitvae.report.entry import PROTOCOLS, ReportEntry
from digitvae.report.formats import count, negated, number, with_interval
from digitvae.report.layout import Column, Numbered, Row, Table, build, each, plain

NATS = "nats"


def likelihood(group: list[Numbered], suffix: str) -> Table:
    """Lay out the likelihoods and their bound."""

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
        ("NLL", NATS, "importance-weighted bound; falls with k", each(group, nll)),
        ("-ELBO", NATS, "", each(group, bound)),
        ("  reconstruction", NATS, "", each(group, plain("test.reconstruction", number))),
        ("  KL", NATS, "", each(group, plain("test.kl", number))),
        ("bits per dim", "bits", "from the NLL", each(group, bits)),
        *((f"NLL, k={count(k)}", NATS, "", each(group, at(k))) for k in ks),
        ("test images", "", "", each(group, plain("test.images", count))),
        ("images of the NLL", "", "", each(group, plain("test.nll_images", count))),
        ("draws of the ELBO", "", "an image", each(group, plain("test.elbo_draws", count))),
    ]
    kind = PROTOCOLS[group[0][1].protocol]
    note = (
        f"Nats of {kind}, means over images; lower is better. "
        "Ranges hold 95%, by bootstrap over the test images."
    )
    return build(f"Likelihood{suffix}", group, rows, note)


def differences(group: list[Numbered], suffix: str) -> Table:
    """Lay out how runs differ from the first of them, image by image; no rows without such numbers."""

    def difference(name: str) -> Callable[[ReportEntry], str | None]:
        return lambda e: with_interval(e.get(f"paired.{name}"), e.get(f"paired.{name}_interval"))

    rows = [
        ("difference of NLL", NATS, "below 0: better than the first", each(group, difference("nll"))),
        ("difference of -ELBO", NATS, "", each(group, difference("bound"))),
        ("compared with", "", "", each(group, plain("paired.to", lambda name: name))),
    ]
    note = (
        "Means over the test images of the difference on each image; the ranges hold 95%, by paired "
        "bootstrap. Where a range does not hold 0, the difference is more than a matter of the test images."
    )
    return build(f"Differences{suffix}", group, rows, note)


def checks(group: list[Numbered], suffix: str) -> Table:
    """Lay out the second opinions on the likelihood."""

    def ais(e: ReportEntry) -> str | None:
        return with_interval(e.get("ais.nll"), e.get("ais.interval"))

    def importance(e: ReportEntry) -> str | None:
        return _with_k(with_interval(e.get("ais.is_nll"), e.get("ais.is_interval")), e.get("ais.is_k"))

    def gap(e: ReportEntry) -> str | None:
        return with_interval(e.get("ais.difference"), e.get("ais.difference_interval"))

    def agree(e: ReportEntry) -> str | None:
        first, second = e.get("ais.interval"), e.get("ais.is_interval")
        if first is None or second is None:
            return None
        return "yes" if max(first[0], second[0]) <= min(first[1], second[1]) else "no"

    def refined_nll(e: ReportEntry) -> str | None:
        return _with_k(number(e.get("refined.nll")), e.get("test.nll_k"))

    def encoder_nll(e: ReportEntry) -> str | None:
        return _with_k(number(e.get("refined.nll_before")), e.get("test.nll_k"))

    def amortisation(e: ReportEntry) -> str | None:
        return with_interval(e.get("refined.amortisation_gap"), e.get("refined.amortisation_gap_interval"))

    def opposite(value: float | None) -> str | None:
        return number(negated(value))

    rows = [
        ("NLL by annealed sampling", NATS, "an independent estimate", each(group, ais)),
        ("NLL by importance sampling", NATS, "on the same images", each(group, importance)),
        ("their ranges overlap", "", "", each(group, agree)),
        ("  their difference", NATS, "mean and 95% of the paired bootstrap", each(group, gap)),
        ("images of both", "", "", each(group, plain("ais.images", count))),
        ("chains an image", "", "annealed sampling", each(group, plain("ais.chains", count))),
        ("temperatures", "", "annealed sampling", each(group, plain("ais.temperatures", count))),
        (
            "-ELBO, encoder",
            NATS,
            "on the refined images",
            each(group, plain("refined.elbo_before", opposite)),
        ),
        ("-ELBO, refined posterior", NATS, "", each(group, plain("refined.elbo", opposite))),
        (
            "amortisation gap",
            NATS,
            "what a posterior fitted to each image gains",
            each(group, amortisation),
        ),
        ("NLL, encoder", NATS, "on the refined images", each(group, encoder_nll)),
        ("NLL, refined posterior", NATS, "", each(group, refined_nll)),
        ("refined images", "", "", each(group, plain("refined.images", count))),
        ("steps of refinement", "", "", each(group, plain("refined.steps", count))),
    ]
    note = "On a part of the test images: compare these numbers with one another, not with those above."
    return build(f"Checks of the likelihood{suffix}", group, rows, note)


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


def _with_k(text: str | None, k: int | None) -> str | None:
    return None if text is None else f"{text} (k={count(k) or '?'})"
