"""Studies that stop early, launched through the command line as a person does: real PostgreSQL and Ray."""

import csv
import json
import os
import re

import arithmetic_task
import forking
import pytest
from places import TESTS
from small_study import write_study

import clustersweep as cs
from clustersweep.home import Home

pytestmark = pytest.mark.integration

NINE = {
    "search_space": {"kernel_size": [2, 3, 4], "conv_blocks": None, "filters": [2, 4, 6]},
    "network": {"filters": None},
    "training": {"epochs": 12, "patience": 12, "batch_size": 60},
}
RULE = {"rungs": [1, 4], "keep": 0.34, "spare_ties": False}


def typed(*words, home, real=False, code=0):
    environ = {
        **os.environ, "CLUSTERSWEEP_HOME": str(home.path), "PYTHONPATH": str(TESTS / "support"),
        arithmetic_task.AT_ONCE: "1", "COLUMNS": "120",
    }  # fmt: skip
    done = forking.run(words, environ, 110, arithmetic=not real)
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def stopped(embedded_home, tmp_path_factory):
    """A study of nine trials of which two rungs have stopped eight, and what its launch said."""
    path = write_study(tmp_path_factory.mktemp("stopped"), study="stops-early", stop_early=RULE, **NINE)
    return path, typed("launch", path, home=embedded_home)


def test_a_launch_tells_its_rungs_and_counts_what_they_stopped(stopped, embedded_home):
    path, done = stopped
    assert "stops early: after epochs 1 and 4 the best 34% go on\n" in done.stderr
    assert "after epoch 1: 4 of 9 trials go on; 5 stopped\n" in done.stderr
    assert "after epoch 4: 2 of 4 trials go on; 2 stopped\n" in done.stderr
    assert "9 combinations: 2 complete, 7 stopped\n" in done.stdout
    again = typed("launch", path, home=embedded_home)
    assert "0 of 18 replicates to train" in again.stderr
    assert "stopped" not in again.stderr.replace("stops", "")


def test_status_for_scripts_counts_stopped_trials_apart(stopped, embedded_home):
    path, _ = stopped
    told = json.loads(typed("status", path, "--json", home=embedded_home).stdout)
    assert {name: told[name] for name in ("complete", "stopped", "infeasible", "waiting", "failed")} == {
        "complete": 2, "stopped": 7, "infeasible": 0, "waiting": 0, "failed": 0,
    }  # fmt: skip
    assert told["left"] == {
        "replicates": 0, "combinations": 0, "finished": 18, "new_combinations": 0, "new_seeds": 0, "stopped": 14,
    }  # fmt: skip
    shown = typed("status", "stops-early", home=embedded_home).stdout
    assert "9 combinations: 2 complete, 7 stopped" in shown


def test_plan_says_what_the_rule_saves_and_what_is_stopped(stopped, embedded_home):
    path, _ = stopped
    told = typed("plan", path, home=embedded_home).stdout
    assert "stops early: after epochs 1 and 4 the best 34% go on" in told
    assert "all 18 replicates are finished (14 stopped early): launch has nothing to train" in told


def test_the_table_has_a_row_for_every_replicate_that_was_stopped_with_the_reason(stopped, embedded_home, tmp_path):
    path, _ = stopped
    report = cs.write_report(path, tmp_path, home=embedded_home.path)
    rows = list(csv.DictReader(report.csv.read_text().splitlines()))
    assert len(rows) == 18
    first = [row for row in rows if row["trial_state"] == "stopped" and row["epochs_trained"] == "1"]
    assert len(first) == 10
    assert {row["state"] for row in first} == {"paused"}
    assert all(row["reason"].startswith("rank ") and " of 9 after epoch 1: " in row["reason"] for row in first)
    assert all(float(row["val_loss_dex2"]) > 0 and row["trial_value_dex2"] == "" for row in first)
    page = report.html.read_text()
    assert "Stopped early" in page
    assert "after epoch 1 (9 combinations)" in page
    assert "at the end of their training (2 combinations)" in page


def test_stopped_trials_without_checkpoints_begin_again(stopped, embedded_home):
    path, _ = stopped
    folder = Home(embedded_home.path).run("stops-early") / "checkpoints"
    assert len(list(folder.iterdir())) == 14
    done = typed("clean", path, home=embedded_home)
    assert done.stdout.startswith("removed the checkpoints of 7 stopped trials, ")
    assert not list(folder.iterdir())
    assert typed("clean", "stops-early", home=embedded_home).stdout == (
        "stops-early has no checkpoints of stopped trials\n"
    )
    grid = write_study(path.parent, study="stops-early", **NINE)
    typed("launch", grid, home=embedded_home)
    plain = write_study(path.parent, study="plain", **NINE)
    typed("launch", plain, home=embedded_home)
    went_on, straight = (curves(cs.results(name, home=embedded_home.path)) for name in ("stops-early", "plain"))
    assert went_on == straight
    assert len(went_on) == 18


def curves(found):
    return {
        (tuple(t.params.items()), seed): r.curve for t in found.sweep.trials for seed, r in t.replicates.items()
    }  # fmt: skip


def test_a_rung_that_stays_open_is_told_with_what_to_do(embedded_home, tmp_path):
    text = "def train(run):\n    if run.params['a'] == 2 and run.seed == 1:\n        raise OSError('away')\n"
    text += "    for epoch in (1, 2, 3):\n        run.report(epoch, error=run.params['a'] + run.seed / 10)\n"
    (tmp_path / "mine.py").write_text(text)
    path = tmp_path / "mine.yaml"
    path.write_text(
        "study: stays-open\ntask: mine:train\nsettings: {epochs: 3}\nsearch_space: {a: [1, 2, 3]}\nseeds: [0, 1]\n"
        "objective: {metric: error}\nstop_early: {rungs: [1], keep: 0.33, spare_ties: false}\n"
    )
    done = typed("launch", path, home=embedded_home, real=True, code=1)
    assert "error: the rung after epoch 1 is not decided, as a replicate failed before it" in done.stderr
    assert "Launch again to try it once more, or with --keep-failed to go on without it" in done.stderr
    done = typed("launch", path, "--keep-failed", home=embedded_home, real=True)
    assert "after epoch 1: 1 of 3 trials goes on; 2 stopped" in done.stderr
    assert "3 combinations: 1 complete, 2 stopped" in done.stdout


def test_networks_that_go_on_from_rung_to_rung_have_the_bits_of_those_that_are_never_stopped(embedded_home, tmp_path):
    three = {
        "search_space": {"kernel_size": None, "conv_blocks": None, "filters": [2, 3, 4]},
        "network": {"filters": None}, "training": {"epochs": 4, "patience": 4},
    }  # fmt: skip
    rule = {"rungs": [1, 2], "keep": 0.5, "spare_ties": False}
    for name, one in (("net-stops", rule), ("net-plain", None)):
        typed("launch", write_study(tmp_path, study=name, stop_early=one, **three), home=embedded_home, real=True)
    whole = curves(cs.results("net-plain", home=embedded_home.path))
    found = cs.results("net-stops", home=embedded_home.path).sweep
    told = {(tuple(t.params.items()), s): r for t in found.trials for s, r in {**t.replicates, **t.paused}.items()}
    assert sorted(len(one.curve) for one in told.values()) == [1, 1, 2, 2, 4, 4]
    assert all(one.curve == whole[key][: len(one.curve)] for key, one in told.items())


def test_the_best_of_a_finished_sweep_get_further_seeds_and_everything_says_what_they_settled(embedded_home, tmp_path):
    rule = {"at_most": 5, "budget": 3.0}
    typed("launch", write_study(tmp_path, study="races", **NINE), home=embedded_home)
    path = write_study(tmp_path, study="races", extra_seeds=rule, **NINE)
    plan = typed("plan", path, home=embedded_home).stdout
    assert "get further seeds: up to 5 seeds, for at most 300% of what the sweep costs" in plan
    done = typed("launch", path, home=embedded_home)
    assert re.search(r"0 of 18 replicates to train, and \d further seeds of the best", done.stderr), done.stderr
    settled = next(line for line in done.stdout.splitlines() if line.startswith("further seeds: "))
    found = cs.results("races", home=embedded_home.path).sweep
    assert found.race.text == settled
    assert found.race.settled is not None
    assert {len(t.replicates) for t in found.trials if t.number in found.race.left} == {found.race.looks[-1].seeds}
    report = cs.write_report(path, tmp_path / "report", home=embedded_home.path)
    assert "This is said of this split of these data" in report.html.read_text()
    rows = [row for row in csv.DictReader(report.csv.read_text().splitlines()) if int(row["seed"]) > 1]
    assert len(rows) == sum(len(t.replicates) - 2 for t in found.trials if t.replicates)
    assert typed("status", "races", home=embedded_home).stdout.count(settled) == 1
