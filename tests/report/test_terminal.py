"""The terminal's table: it fits, stays in its place, and no number stands without what it needs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from digitvae.report import ReportEntry, table


def test_intervals_that_lean_are_ranges(evaluation: Callable[..., Any], config: Any) -> None:
    leaning = ReportEntry("run", evaluation(test__elbo_interval=[-90.0, -86.0]), config)
    assert "86.41 (86.00 to 90.00)" in table([leaning])


def test_an_nll_never_stands_without_its_k(evaluation: Callable[..., Any], config: Any) -> None:
    text = table([ReportEntry("run", evaluation(), config)])
    for line in text.splitlines():
        if line.strip().startswith(("NLL", "bits per dim")) and "annealed" not in line:
            assert re.search(r"k=\d", line)


@pytest.mark.parametrize("runs", [1, 2, 3, 7])
@pytest.mark.parametrize("name", ["R", "20261122-112711-default", "x" * 300])
def test_table_fits_a_terminal(evaluation: Callable[..., Any], config: Any, runs: int, name: str) -> None:
    entries = [ReportEntry(f"{name}{i}", evaluation(), config) for i in range(runs)]
    head, *sections = table(entries).split("\n\n")
    assert head.count(name) == runs
    lines = "\n\n".join(sections).splitlines()
    assert max(map(len, lines)) <= 100
    # Numbers of a column end below one another.
    kl = next(line for line in lines if line.startswith("    KL"))
    reconstruction = next(line for line in lines if line.startswith("    reconstruction"))
    assert len(kl) == len(reconstruction)
    assert sum(line.count("25.89") for line in lines) == runs


def test_table_moves_no_cursor(evaluation: Callable[..., Any], config: Any) -> None:
    assert "\x1b" not in table([ReportEntry("\x1b[31mred\r\n\u202e", evaluation(), config)])
