"""The notebook examples/tour.ipynb, run as it stands there."""

from __future__ import annotations

import json
from pathlib import Path

TOUR = Path(__file__).parent.parent / "examples" / "tour.ipynb"
RUN = """
import sys
import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=600).execute()
nbformat.write(notebook, sys.argv[2])
"""


def outputs(path):
    """Return what each cell of code printed, the tables that it shows, and how many pictures."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    found = []
    for cell in cells:
        made = cell.get("outputs", [])
        text = "".join("".join(output["text"]) for output in made if output["output_type"] == "stream")
        shown = [output.get("data", {}) for output in made]
        tables = ["".join(data["text/html"]) for data in shown if "text/html" in data]
        found.append((text, tables, sum("image/png" in data for data in shown)))
    return found


def test_the_tour_shows_what_it_makes(python, tmp_path):
    (tmp_path / "run.py").write_text(RUN, encoding="utf-8")
    done = python("run.py", TOUR, tmp_path / "again.ipynb", cwd=tmp_path, IPYTHONDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert outputs(tmp_path / "again.ipynb") == outputs(TOUR)
    assert sum(pictures for _, _, pictures in outputs(TOUR)) == 7
    assert sum(len(tables) for _, tables, _ in outputs(TOUR)) == 1
