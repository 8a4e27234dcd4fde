"""The measurement of the parts of `digitvae.speed`: the table says what the pairs say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def parts(load_script):
    return load_script("benchmarks/parts.py")


def pair(part, without):
    """Make a pair in which 2 ms a step and 10 s became others without the part."""
    step, wall = without
    return {
        "system": "classic",
        "part": part,
        "with": {"step_seconds": 0.002, "wall_seconds": 10.0, "cpu_seconds": 20.0},
        "without": {"step_seconds": step, "wall_seconds": wall, "cpu_seconds": 2 * wall},
    }


def test_the_table_has_the_medians_of_the_pairs(parts):
    lines = parts.table([pair("adam", (0.003, 11)), pair("adam", (0.0022, 9)), pair("adam", (0.0024, 10))])
    row = "| adam | classic | 3 | 2.00 | +20.0 % (+10 to +50) | +0.0 % (-10 to +10) | +0.0 % (-10 to +10) |"
    assert lines.splitlines()[2:] == [row]


def test_every_part_is_measured_with_some_system(parts):
    assert {part for setting in parts.SETTINGS.values() for part in setting.parts} == set(parts.NAMES)


def test_pairs_are_added_to_those_of_before(parts, monkeypatch, tmp_path):
    monkeypatch.setitem(parts.SETTINGS, "classic", parts.Setting(parts.Variant("classic"), 256, 2, ("adam",)))
    for count in (1, 2):
        monkeypatch.setattr(
            "sys.argv", ["parts", "--systems", "classic", "--pairs", "1", "--out", str(tmp_path / "new")]
        )
        parts.main()
        result = json.loads((tmp_path / "new/parts.json").read_text())
        assert len(result["pairs"]) == count
        assert all(pair[key]["step_seconds"] > 0 for pair in result["pairs"] for key in ("with", "without"))
    assert (tmp_path / "new/parts.md").read_text().startswith("| part | system | pairs |")
