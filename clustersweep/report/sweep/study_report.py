"""The report of a study, with where its numbers come from and what to type next."""

from pathlib import Path
from typing import TYPE_CHECKING

from clustersweep.provenance import versions
from clustersweep.study.results import SweepResults
from clustersweep.words import command

if TYPE_CHECKING:
    from clustersweep.report.sweep.write import ReportFiles


def write_study_report(
    results: SweepResults,
    data: str,
    to: Path,
    where: Path,
    *,
    options: tuple[str, ...] = (),
    other_storage: bool = False,
) -> "ReportFiles":
    """Write a study's report with its provenance.

    Args:
        results: What it came to.
        data: The data in words.
        to: The folder.
        where: The study's file, for the commands that the report shows.
        options: Options that these commands need too: the home that was given. Never the storage's password.
        other_storage: Whether they need a `--storage` that was given, which the report only mentions.

    Raises:
        NothingCompleteError: No trial is complete.
        StorageError: The disk is full or read-only.
    """
    # A launch that trains has no time for it before.
    from clustersweep.report.sweep.listings import Provenance
    from clustersweep.report.sweep.write import write_report

    commands = {
        "go on or extend": command("launch", where, *options),
        "this report": command("report", where, *options),
        "the best configuration": command("export", where, "--to", "best/", *options),
    }
    note = "Each with the same --storage as before." if other_storage else ""
    return write_report(results, to, Provenance(data=data, versions=versions(), commands=commands, note=note))
