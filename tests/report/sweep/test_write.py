"""The report's two files: where they go, and what stops them."""

import subprocess
import sys
from pathlib import Path

import pytest
from example_results import grid_results

from clustersweep.errors import NothingCompleteError, StorageError
from clustersweep.report import Provenance, write_report
from clustersweep.report.sweep.table import results_csv
from clustersweep.study.results import SweepResults, TrialResult, TrialState
from clustersweep.training.metric import VAL_LOSS

RESULTS = grid_results()


def test_a_sweep_without_a_complete_trial_cannot_be_reported(tmp_path: Path) -> None:
    waiting = TrialResult(0, {"filters": 10}, TrialState.WAITING)
    results = SweepResults("s", "d", {"filters": (10,)}, (0,), (waiting,), metric=VAL_LOSS)
    with pytest.raises(NothingCompleteError, match=r"s: no trial is complete \(1 waiting\).*Run `clustersweep launch`"):
        write_report(results, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_report_is_one_html_file_and_a_table_beside_it(tmp_path: Path) -> None:
    files = write_report(RESULTS, tmp_path / "new" / "folder", Provenance(data="7,946 clusters"))
    page = files.html.read_text()
    assert files.csv.read_bytes() == results_csv(RESULTS)
    assert sorted(path.name for path in files.html.parent.iterdir()) == ["report.html", "results.csv"]
    assert page.count("* plotly.js v") == 1
    assert page.count('class="plotly-graph-div"') == 7
    assert "default-src 'none'" in page
    assert "7,946 clusters" in page
    assert files.html.stat().st_size < 6_000_000


def test_a_folder_that_cannot_be_made_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"the report's table of .* bytes cannot be written"):
        write_report(RESULTS, tmp_path / "file")


def test_importing_the_report_does_not_import_plotly() -> None:
    code = "import sys, clustersweep.report; sys.exit('plotly' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
