"""The tables of a report: which numbers stand side by side."""

from __future__ import annotations

from collections.abc import Sequence

from digitvae.report import nats, quality
from digitvae.report.entry import ReportEntry
from digitvae.report.layout import Table, grouped


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
        found += [nats.likelihood(group, suffix), nats.differences(group, suffix), nats.checks(group, suffix)]
    several_data = len({e.data for e in entries}) > 1
    for _, group in grouped(numbered, lambda e: e.data):
        suffix = f" \N{EM DASH} {group[0][1].data_name}" if several_data else ""
        found += [
            quality.reconstruction(group, suffix),
            quality.latents(group, suffix),
            quality.samples(group, suffix),
            quality.memorisation(group, suffix),
            quality.time(group, suffix),
        ]
    return [table for table in found if table.rows]
