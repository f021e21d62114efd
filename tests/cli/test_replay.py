"""`clustersweep replay` on a stored study."""

import json
import os

import pytest
from command_line import typed
from small_study import write_study

from clustersweep.postgres.location import open_database
from clustersweep.storage.store import Storage
from clustersweep.study.plan import make_plan
from clustersweep.study.results import CompleteReplicate
from clustersweep.survey.source import read_header
from clustersweep.tasks import load_study, tasks

pytestmark = pytest.mark.integration


def curve(number, seed):
    return tuple((9.0, 0.1 * (number + 1) + 0.001 * seed - 0.0001 * epoch) for epoch in range(12))


@pytest.fixture(scope="module")
def study(embedded_home, tmp_path_factory):
    """A study of three trials with three seeds and twelve epochs, of which the first ends best."""
    folder = tmp_path_factory.mktemp("replay")
    path = write_study(folder, study="replayed", seeds=[0, 1, 2], training={"epochs": 12})
    loaded = load_study(path)
    storage = Storage.connect(open_database(None, {}, embedded_home).url, tasks)
    for number, opened in enumerate(storage.begin(make_plan(loaded, read_header(loaded.task.data)))):
        storage.start(opened)
        for seed in loaded.seeds:
            told = curve(number, seed)
            done = CompleteReplicate(seed, told[-1][1], 12, 12, 2.0, "w", told)
            storage.record_replicate(opened, done)
        storage.finish(opened, told[-1][1], curve={})
    storage.close()
    return path


def replay(study, home, *words):
    env = {**os.environ, "CLUSTERSWEEP_HOME": str(home.path), "COLUMNS": "100"}
    return typed("replay", study, *words, env=env)


def test_rules_from_cautious_to_bold_are_shown_with_what_they_cost_and_risk(study, embedded_home):
    done = replay(study, embedded_home)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "replayed: 3 complete trials, 3 seeds, up to 12 epochs"
    assert lines[1] == "compared after epoch 1, 3, 10; all shares are of what training everything to its end took"
    rows = [line.split() for line in lines if line[:1].isdigit()]
    assert [row[:2] for row in rows] == [[keep, ties] for ties in ("spared", "no") for keep in ("50%", "33%", "20%")]
    assert {row[6] for row in rows} == {"1"}  # the rank of the winner
    assert rows[1][2:5] == ["39%", "39%", "2"]  # two of three stop after the first epoch of twelve
    assert lines[-1].startswith("fresh seed: each seed in turn judges the winner that the others choose")


def test_one_rule_tells_what_every_rung_decides(study, embedded_home):
    done = replay(study, embedded_home, "--rungs", "2,4", "--keep", "0.5", "--spare-ties")
    assert done.stdout.count("spared") == 1
    assert "after epoch 2: 3 trials, 2 kept\nafter epoch 4: 2 trials, 1 kept\n" in done.stdout


def test_scripts_get_every_decision(study, embedded_home):
    [one] = json.loads(
        replay(study, embedded_home, "--rungs", "2", "--keep", "0.34", "--no-spare-ties", "--json").stdout
    )["rules"]
    assert (one["rungs"], one["keep"], one["spare_ties"], one["rank"], one["regret"]) == ([2], 0.34, False, 1, 0.0)
    [rung] = one["decided"]
    assert [(place["rank"], place["kept"]) for place in rung["trials"]] == [(1, True), (2, True), (3, False)]
    assert one["epochs"] == pytest.approx((12 + 12 + 2) / 36)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["--rungs", "3,2"],
            "replay: rungs = 3,2: must be whole numbers of epochs that rise, the first one at least 1. Give",
        ),
        (
            ["--rungs", "0,2"],
            "replay: rungs = 0,2: must be whole numbers of epochs that rise, the first one at least 1. Give",
        ),
        (
            ["--rungs", "3;9"],
            "replay: rungs = 3;9: must be whole numbers with commas between them. Give, for instance, 3,10,30.",
        ),
        (["--rungs", "12,20"], "replay: rungs = 12,20: no training of it went beyond epoch 12, so there is nothing"),
        (["--keep", "1"], "replay: keep = 1.0: must be a share between 0 and 1. Give, for instance, 0.33."),
    ],
)
def test_a_rule_that_is_none_is_refused_with_what_it_must_be(words, says, study, embedded_home):
    done = replay(study, embedded_home, *words)
    assert done.returncode == 2
    assert says in done.stderr


def test_a_study_of_single_epochs_has_nothing_to_stop(embedded_home, tmp_path):
    path = write_study(tmp_path, study="single", training={"epochs": 1, "patience": 1})
    loaded = load_study(path)
    storage = Storage.connect(open_database(None, {}, embedded_home).url, tasks)
    for opened in storage.begin(make_plan(loaded, read_header(loaded.task.data))):
        storage.start(opened)
        for seed in loaded.seeds:
            storage.record_replicate(opened, CompleteReplicate(seed, 0.1, 1, 1, 1.0, "w", ((0.1, 0.1),)))
        storage.finish(opened, 0.1, curve={})
    storage.close()
    done = replay(path, embedded_home)
    assert done.returncode == 2
    assert "replay: rungs = 1: no training of it went beyond epoch 1, so there is nothing that stopping" in done.stderr
    assert "Give earlier ones, or replay longer trainings." in done.stderr
