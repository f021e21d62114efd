"""The results as rows for programs and as values for JSON."""

import csv
import dataclasses
import io
import json

import pytest
from example_results import LABEL_VARIANCE, fail_trial, grid_results, replace_trial, stop_trials

from clustersweep.report.sweep.listings import Provenance, provenance_html
from clustersweep.report.sweep.table import results_csv, summary
from clustersweep.study.events import Device
from clustersweep.study.objective import plain_metric
from clustersweep.study.results import CompleteReplicate, SweepResults, TrialResult, TrialState, loss_of

RESULTS = grid_results()


def test_the_table_has_a_row_for_each_replicate_and_each_impossible_combination() -> None:
    rows = list(csv.DictReader(io.StringIO(results_csv(RESULTS).decode())))
    assert len(rows) == 54 * 3 + 27
    done = [row for row in rows if row["state"] == "complete"]
    first = RESULTS.trials[0].replicates[0]
    assert float(done[0]["val_loss_dex2"]) == first.value  # every digit
    assert float(done[0]["r2"]) == pytest.approx(1 - loss_of(first) / LABEL_VARIANCE)
    impossible = [row for row in rows if row["state"] == "infeasible"]
    assert len(impossible) == 27
    assert impossible[0]["reason"].startswith("a 5 x 5 kernel")
    assert impossible[0]["seed"] == ""


def test_the_table_has_the_likelihood_of_networks_with_a_variance() -> None:
    trial = RESULTS.ranked()[0]
    judged = {0: dataclasses.replace(trial.replicates[0], val_nll=-0.25)}
    results = replace_trial(RESULTS, trial.number, replicates={**trial.replicates, **judged})
    rows = csv.DictReader(io.StringIO(results_csv(results).decode()))
    found = {row["seed"]: row["val_nll"] for row in rows if row["trial"] == str(trial.number)}
    assert found == {"0": "-0.25", "1": "", "2": ""}


def test_the_table_and_the_provenance_say_what_computed_each_replicate() -> None:
    trial = RESULTS.ranked()[0]
    devices = Device("CPU", "Xeon", 1, "float32", True), Device("GPU", "A100", 1, "tf32", deterministic=False)
    told = {seed: dataclasses.replace(trial.replicates[seed], devices=devices[:number])
            for seed, number in ((0, 1), (1, 2))}  # fmt: skip
    results = replace_trial(RESULTS, trial.number, replicates={**trial.replicates, **told})
    rows = csv.DictReader(io.StringIO(results_csv(results).decode()))
    names = ("device", "device_model", "threads", "precision", "deterministic")
    found = {row["seed"]: [row[name] for name in names] for row in rows if row["trial"] == str(trial.number)}
    assert found == {
        "0": ["CPU", "Xeon", "1", "float32", "True"],
        "1": ["CPU; GPU", "Xeon; A100", "1", "float32; tf32", "True; False"],
        "2": [""] * 5,
    }
    page = provenance_html(results, Provenance(), "now")
    assert "CPU Xeon, 1 thread, float32 (1 replicate)" in page
    assert "then GPU A100, 1 thread, tf32, order of sums left open (1 replicate)" in page
    assert "trained on" not in provenance_html(RESULTS, Provenance(), "now")


def test_failed_and_waiting_replicates_have_rows_too_on_one_line_each() -> None:
    results = fail_trial(RESULTS, 0, 'RuntimeError: "boom",\n  File x.py')
    results = replace_trial(results, 1, state=TrialState.WAITING, value=None, replicates={})
    text = results_csv(results).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == len(text.splitlines()) - 1
    (failed,) = [row for row in rows if row["state"] == "failed"]
    assert failed["error"] == 'RuntimeError: "boom", File x.py'
    assert failed["trial_state"] == "failed"
    assert [row["seed"] for row in rows if row["state"] == "waiting"] == ["0", "1", "2"]


def test_the_summary_is_plain_json() -> None:
    found = json.loads(json.dumps(summary(RESULTS)))
    best = RESULTS.ranked()[0]
    assert found["best"]["number"] == best.number
    assert found["best"]["seeds"]["0"] == best.replicates[0].value
    assert (len(found["trials"]), len(found["infeasible"])) == (54, 27)
    empty = dataclasses.replace(RESULTS, trials=())
    assert summary(empty)["best"] is None


STOPPED = stop_trials(RESULTS)


def test_the_summary_has_what_was_stopped() -> None:
    told = summary(STOPPED)["stopped"]
    assert len(told) == 47
    assert set(told[0]) == {"number", "params", "rung", "rank", "among", "value"}


def test_axes_and_metrics_that_are_called_as_a_column_of_every_table_have_columns_of_their_own():
    replicate = CompleteReplicate(0, 0.5, 1, 1, 2.0, "w", metrics={"state": 3.0, "loss": 4.0}, code="abc")
    trial = TrialResult(0, {"layer": 7}, TrialState.COMPLETE, 0.5, {0: replicate})
    results = SweepResults("s", "d", {"layer": (7,)}, (0,), (trial,), metric=plain_metric("seconds"))
    (row,) = csv.DictReader(io.StringIO(results_csv(results).decode()))
    found = {name: row[name] for name in ("axis layer", "layer", "metric seconds", "seconds", "state", "loss", "code")}
    assert found == {"axis layer": "7", "layer": "", "metric seconds": "0.5", "seconds": "2.0", "state": "complete",
                     "loss": "4.0", "code": "abc"}  # fmt: skip
