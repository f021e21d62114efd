"""The commands that a study's report gives its reader to copy."""

import html
from pathlib import Path

from example_results import grid_results

from clustersweep.report.sweep.study_report import write_study_report


def test_the_commands_in_a_report_are_quoted(tmp_path, monkeypatch):
    monkeypatch.setenv("CLUSTERSWEEP_PROGRAM", "docker compose run --rm clustersweep")
    page = write_study_report(grid_results(), "data", tmp_path / "run", Path("my sweeps/a.yaml")).html.read_text()
    for verb in ("launch", "report", "export"):
        assert f"docker compose run --rm clustersweep {verb} 'my sweeps/a.yaml'" in html.unescape(page)


def test_the_commands_in_a_report_have_the_home_that_was_given_and_never_the_storage(tmp_path):
    folder, study, home = tmp_path / "run", Path("a.yaml"), ("--home", "my home")
    page = html.unescape(write_study_report(grid_results(), "data", folder, study, options=home).html.read_text())
    for rest in ("launch a.yaml", "report a.yaml", "export a.yaml --to best/"):
        assert f"clustersweep {rest} --home 'my home'</pre>" in page
    assert "--storage" not in page
    other = write_study_report(grid_results(), "data", folder, study, options=home, other_storage=True)
    assert "Each with the same --storage as before" in other.html.read_text()
