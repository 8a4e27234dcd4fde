"""The files of a report: what was measured, as JSON, and a table of it, as Markdown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from digitvae.files import written_whole


def write_json(result: Any, path: Path) -> None:
    """Write what was measured."""
    _write(json.dumps(result, indent=2), path)


def write_report(result: Any, table: str, folder: Path, name: str) -> None:
    """Write `NAME.json` and `NAME.md`."""
    write_json(result, folder / f"{name}.json")
    _write(table, folder / f"{name}.md")


def _write(text: str, path: Path) -> None:
    with written_whole(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
