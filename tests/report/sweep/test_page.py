"""A sweep's report as a whole page; what the browser makes of it is in test_browser.py."""

import dataclasses
import itertools
from pathlib import Path

import pytest
from example_results import GRID, fail_trial, grid_results, stop_trials

from clustersweep.report import Provenance, write_report
from clustersweep.report.sweep.page import sweep_page
from clustersweep.study.results import LaunchTime

RESULTS = grid_results()
STOPPED = stop_trials(RESULTS)


def test_everything_from_outside_is_escaped(tmp_path: Path) -> None:
    evil = '<script>alert("x")</script>'
    results = dataclasses.replace(fail_trial(RESULTS, 0, f"{evil}\n{evil}"), study=evil, digest=evil)
    given = Provenance(data=evil, launched=evil, versions={evil: evil}, commands={evil: evil})
    page = write_report(results, tmp_path, given).html.read_text()
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert") > 8


def test_choices_are_escaped_in_figures_and_headings(tmp_path: Path) -> None:
    axes = {"<b>axis</b>": ("<i>a</i>", "<i>b</i>"), "filters": (10, 20)}
    page = write_report(grid_results(axes), tmp_path).html.read_text()
    assert "<b>axis" not in page
    assert "<i>a" not in page


@pytest.mark.parametrize(
    "axes",
    [{}, {"filters": (10,)}, {"filters": (10, 20)}, {**GRID, "pooling": ("max", "average"), "dropout": (0.0,)}],
    ids=["no axis", "one value", "one axis", "six axes"],
)
def test_sweeps_of_any_shape_can_be_reported(axes: dict[str, tuple[int, ...]], tmp_path: Path) -> None:
    assert write_report(grid_results(axes, (0, 1)), tmp_path).html.exists()


def test_incomplete_sweeps_of_unknown_variance_can_be_reported(tmp_path: Path) -> None:
    trials = tuple(t for t in RESULTS.trials if t.number % 3)
    results = dataclasses.replace(RESULTS, trials=trials, label_variance=None)
    assert "R²:" not in write_report(fail_trial(results, 1), tmp_path).html.read_text()


def test_a_report_without_recorded_launches_says_nothing_of_time():
    page = sweep_page(RESULTS, Provenance(), "now")
    assert "Time, estimated and taken" not in page
    timed = dataclasses.replace(RESULTS, launches=(LaunchTime(2, 24, 60, 120, 100.0, 40.0, measured=True),))
    assert "Time, estimated and taken" in sweep_page(timed, Provenance(), "now")


def test_where_trials_were_stopped_lines_are_drawn_for_every_budget_that_compares_them() -> None:
    page = sweep_page(STOPPED, Provenance(), "now")
    labels = ["after epoch 2 (54 combinations)", "after epoch 5 (19 combinations)"]
    labels.append("at the end of their training (7 combinations)")
    for label in labels:
        assert page.count(f'value="{label}"') == 2  # lines, and effects
    for number, name in itertools.product((1, 2, 3, 4), ("", "-after-2", "-after-5")):
        assert f'id="figure-slice-{number}{name}"' in page
    assert "only equal budgets are compared" in page
    assert "only equal budgets are compared" not in sweep_page(RESULTS, Provenance(), "now")
