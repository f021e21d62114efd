"""Writes the report of a sweep and its table to their folder."""

# No plotly here: the command line imports this module, and must answer in a blink. `write_report` imports it.
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from clustersweep.files import write_atomically
from clustersweep.report.sweep.listings import Provenance
from clustersweep.report.sweep.table import results_csv
from clustersweep.study.results import SweepResults


@dataclass(frozen=True)
class ReportFiles:
    """What `write_report` wrote."""

    html: Path
    csv: Path


def write_report(results: SweepResults, to: Path, provenance: Provenance | None = None) -> ReportFiles:
    """Write `report.html` and `results.csv` into the folder `to`, which is made where it is missing.

    Raises:
        NothingCompleteError: No trial is complete.
        StorageError: The disk is full or read-only; earlier files are still there.
    """
    # Imported here: plotly and its JavaScript take half a second, and most verbs draw nothing.
    from clustersweep.report.sweep.page import sweep_page

    written = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    page = sweep_page(results, provenance or Provenance(), written)
    files = ReportFiles(to / "report.html", to / "results.csv")
    write_atomically(files.csv, results_csv(results), what="report's table")
    write_atomically(files.html, page.encode(), what="report")
    return files
