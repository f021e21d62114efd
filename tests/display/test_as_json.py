"""What verbs tell scripts."""

import dataclasses
import io
import json
from datetime import UTC, datetime

import pytest
from example_results import grid_results
from places import ROOT
from rich.console import Console
from small_study import small_plan

from clustersweep.display.as_json import flops_per_s, plan_json, replay_json, status_json, studies_json
from clustersweep.display.tables import print_status
from clustersweep.storage.store import Overview, Storage
from clustersweep.study.cost import Speed
from clustersweep.study.plan import Left, make_plan
from clustersweep.study.replay import replay
from clustersweep.study.stopping import StopEarly
from clustersweep.survey.source import read_header
from clustersweep.tasks import load_study, tasks

SWEEPS = ROOT / "sweeps"


def planned(name):
    study = load_study(SWEEPS / name)
    return make_plan(study, read_header(study.task.data))


def test_the_json_of_status_has_the_documented_form_also_before_anything_is_complete(tmp_path):
    storage = Storage.in_memory(tasks)
    storage.begin(small_plan(tmp_path))
    shown = status_json(storage.results("small"))
    assert list(shown) == ["study", "digest", "complete", "running", "waiting", "failed", "infeasible", "stopped",
                           "interrupted", "best", "launch", "left"]  # fmt: skip
    assert (shown["waiting"], shown["infeasible"], shown["best"]) == (3, 1, None)


def test_what_a_dead_launch_left_running_is_interrupted(tmp_path):
    storage = Storage.in_memory(tasks)
    for trial in storage.begin(small_plan(tmp_path))[:2]:
        storage.start(trial)
    results, said = storage.results("small"), io.StringIO()
    print_status(results, Console(width=80, file=said))
    assert "4 combinations: 1 waiting, 1 infeasible, 2 interrupted\n" in said.getvalue()
    assert (status_json(results)["running"], status_json(results)["interrupted"]) == (0, 2)
    print_status(results, Console(width=80, file=said), "clustersweep launch small pid 7 on here")
    assert "being launched by clustersweep launch small pid 7 on here\n4 combinations: 2 running" in said.getvalue()
    assert (status_json(results, "somebody")["running"], status_json(results, "somebody")["interrupted"]) == (2, 0)


def test_the_json_of_a_plan_has_the_documented_form():
    shown = json.loads(json.dumps(plan_json(planned("grid.yaml"), 4, Speed())))
    assert list(shown) == ["study", "digest", "combinations", "feasible", "replicates", "infeasible", "trials", "same",
                           "estimate", "left"]  # fmt: skip
    assert (shown["study"], shown["combinations"], shown["feasible"]) == ("efeds-grid", 81, 54)
    assert set(shown["infeasible"][0]) == {"params", "rule", "layer", "trace"}
    assert set(shown["trials"][0]) == {
        "params", "parameters", "flops_per_image", "flops_per_replicate", "estimated_s"
    }  # fmt: skip
    assert set(shown["estimate"]) == {
        "workers", "seconds", "flops_per_s", "trial_s", "measured",
        "within_factor", "device", "measured_replicates", "measured_sizes", "largest_over_measured",
    }  # fmt: skip
    assert (shown["estimate"]["workers"], shown["estimate"]["measured"]) == (4, False)
    assert shown["estimate"]["seconds"] > shown["trials"][0]["estimated_s"]
    assert len(shown["infeasible"]) == 27


def test_speed_is_the_operations_of_a_plan_over_its_seconds(tmp_path):
    plan, speed = small_plan(tmp_path), Speed()
    flops = sum(trial.cost_flops for trial in plan.trials)
    seconds = sum(speed.replicate_s(trial) for trial in plan.trials)
    assert flops_per_s(plan, speed) == pytest.approx(flops / seconds)
    assert flops_per_s(dataclasses.replace(plan, trials=()), speed) == 0.0


def test_what_is_left_of_a_plan_is_told_with_its_seconds_where_it_was_compared(tmp_path):
    plan, speed = small_plan(tmp_path), Speed()
    assert plan_json(plan, 2, speed)["left"] is None
    whole = plan_json(plan, 2, speed, Left(plan.work, 0, 0, 0))
    some = plan_json(plan, 2, speed, Left(((plan.trials[0], 1),), 5, 1, 2, 3))["left"]
    assert whole["left"]["seconds"] == whole["estimate"]["seconds"]
    assert 0 < some.pop("seconds") < whole["left"]["seconds"]
    assert some == {
        "replicates": 1, "combinations": 1, "finished": 5, "new_combinations": 1, "new_seeds": 2, "stopped": 3,
    }  # fmt: skip


def test_every_study_is_told_with_who_launches_it_and_one_without_results_says_why():
    changed = datetime(2026, 3, 1, 12, 30, 15, 999, UTC)
    results = grid_results()
    told = studies_json(
        [Overview(results.study, results, changed), Overview("foreign", None, None, "not made by clustersweep")],
        {results.study: "ann pid 7 on here"},
    )
    best = results.ranked()[0]
    assert json.loads(json.dumps(told)) == told
    assert told[0]["changed"] == "2026-03-01T12:30:15+00:00"
    assert (told[0]["launch"], told[0]["complete"], told[0]["infeasible"]) == ("ann pid 7 on here", 54, 27)
    assert (told[0]["best"]["number"], told[0]["best"]["value"]) == (best.number, best.value)
    assert "left" not in told[0]  # the file that would say is not at hand
    assert told[1] == {"study": "foreign", "note": "not made by clustersweep", "changed": None}


def test_a_replay_is_json_also_where_two_seeds_cannot_judge_and_tells_the_fate_of_every_trial():
    results = grid_results(seeds=(0, 1))
    rule = StopEarly(rungs=(2, 5), keep=0.34, spare_ties=False)
    told = replay_json(results, [replay(results, rule)])
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    (one,) = told["rules"]
    assert (told["trials"], told["seeds"], one["rungs"], one["fresh_regret"]) == (54, [0, 1], [2, 5], None)
    first, second = one["decided"]
    kept = {place["trial"] for place in first["trials"] if place["kept"]}
    assert (first["epoch"], len(first["trials"]), second["epoch"]) == (2, 54, 5)
    assert {place["trial"] for place in second["trials"]} == kept
    assert one["winner"] in {place["trial"] for place in second["trials"] if place["kept"]}
