"""Reports of evaluations: a self-contained HTML page, and a table for the terminal.

Both take the JSON object of an evaluation (docs/evaluation_schema.md) and know no models, runs or data sets.
Nats of different protocols, or of different data, never stand in one table. Importing this package imports
neither Keras nor Matplotlib.
"""

from __future__ import annotations

from digitvae.report.entry import SCHEMA_VERSION, ReportEntry
from digitvae.report.page import write_report
from digitvae.report.terminal import table

__all__ = ["SCHEMA_VERSION", "ReportEntry", "table", "write_report"]
