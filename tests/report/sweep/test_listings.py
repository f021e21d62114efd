"""The tables of a sweep's report."""

import dataclasses
import re

from example_results import fail_trial, grid_results, stop_trials

from clustersweep.report.sweep.listings import infeasible_html, stopped_html, times_html, unfinished_html
from clustersweep.study.results import LaunchTime

RESULTS = grid_results()


def test_failures_and_impossible_combinations_are_listed_with_their_evidence() -> None:
    body = unfinished_html(fail_trial(RESULTS, 0, "RuntimeError: boom\ntrace"))
    assert "Failed replicates (1)" in body
    assert "<summary>RuntimeError: boom</summary>" in body
    assert unfinished_html(RESULTS) == ""
    listed = infeasible_html(RESULTS)
    assert listed.count("kernel_exceeds_input") == 27
    assert "block2_pool&nbsp;3×3×20" in listed


def test_the_time_that_launches_took_is_compared_with_the_estimate_for_what_they_trained():
    first = LaunchTime(2, 24, 60, 120, estimated_s=100.0, seconds=40.0, measured=False)
    again = LaunchTime(8, 12, 60, 60, estimated_s=10.0, seconds=12.0, measured=True)
    shown = times_html(dataclasses.replace(RESULTS, launches=(first, again)))
    rows = [re.findall(r">([^<]*)</td>", row) for row in shown.split("<tr")[2:]]
    assert rows == [
        ["1", "2", "24", "60 of 120", "100", "40", "0.80", "a default"],
        ["2", "8", "12", "60 of 60", "10", "12", "1.20", "earlier sweeps there"],
    ]


STOPPED = stop_trials(RESULTS)


def test_stopped_trials_are_listed_with_rung_rank_and_value() -> None:
    text = re.sub("<[^>]*>", " ", stopped_html(STOPPED))
    trial = next(t for t in STOPPED.trials if t.stopped is not None)
    assert f"{trial.stopped.rank} of {trial.stopped.among}" in text
    assert f"{trial.stopped.value:.4f}" in text
    assert stopped_html(STOPPED).count("<tr") == 1 + 47
