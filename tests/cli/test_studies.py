"""`clustersweep studies`: what a database holds."""

import json
import os
import re

import optuna
import pytest
from command_line import typed
from small_study import write_study

import clustersweep as cs
from clustersweep.postgres.location import StudyLock
from clustersweep.storage.store import Storage
from clustersweep.study.plan import make_plan
from clustersweep.study.results import CompleteReplicate
from clustersweep.survey.source import read_header
from clustersweep.tasks import load_study, tasks

pytestmark = pytest.mark.integration


def store(url, folder, name, complete):
    """Store a study of three trials and two seeds, of which so many are complete."""
    folder.mkdir()
    loaded = load_study(write_study(folder, study=name))
    storage = Storage.connect(url, tasks)
    for number, trial in enumerate(storage.begin(make_plan(loaded, read_header(loaded.task.data)))[:complete]):
        storage.start(trial)
        for seed in loaded.seeds:
            storage.record_replicate(trial, CompleteReplicate(seed, 0.2 - 0.05 * number, 1, 1, 1.0, "w"))
        storage.finish(trial, 0.2 - 0.05 * number, curve={})
    storage.close()


def shown(url, *words):
    done = typed("studies", *words, env={**os.environ, "CLUSTERSWEEP_STORAGE": url, "COLUMNS": "100"})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_study_is_listed_with_how_far_it_is_its_best_and_who_launches_it(tmp_path, postgres_tcp, database_name):
    url = postgres_tcp.url_with(database=database_name)
    alchemy = url.replace("postgresql://", "postgresql+psycopg2://", 1)
    assert shown(url) == "no study is stored here yet\n"
    store(alchemy, tmp_path / "a", "all-done", complete=3)
    store(alchemy, tmp_path / "b", "half-done", complete=1)
    others = Storage.connect(alchemy)
    optuna.create_study(storage=others.backend, study_name="of-others").add_trial(optuna.trial.create_trial(value=1.0))
    others.close()
    with StudyLock.acquire(alchemy, "half-done"):
        told, scripts = shown(url), json.loads(shown(url, "--json"))
    rows = {
        line.split()[0]: re.split("  +", line.rstrip()) for line in told.splitlines() if re.match("all|half|of-o", line)
    }
    assert rows["all-done"][1:5] == ["3 of 3", "2", "0", "0.1000 dex²"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", rows["all-done"][5])
    assert rows["all-done"][6] == "finished"
    assert rows["half-done"][1] == "1 of 3"
    assert rows["half-done"][6] == "being launched"
    assert rows["of-others"][1:] == ["-"] * 6
    assert "the study 'of-others' was not made by clustersweep" in told
    assert f"half-done: being launched by clustersweep launch half-done pid {os.getpid()}" in told
    assert postgres_tcp.password not in told
    assert [one["study"] for one in scripts] == ["all-done", "half-done", "of-others"]
    assert (scripts[0]["best"]["value"], scripts[1]["waiting"], scripts[2]["changed"]) == (pytest.approx(0.1), 2, None)
    assert "half-done  1 of 3" in shown(url)
    assert "  2 left" in shown(url)  # nobody launches it any more

    found = cs.studies(storage=url)
    assert {one.name: one.results is not None for one in found} == {
        "all-done": True,
        "half-done": True,
        "of-others": False,
    }
    assert (len(found), found.launches) == (3, {})
    assert "2 left" in repr(found)


def test_a_stored_study_is_told_of_by_its_name_without_its_file(tmp_path, postgres_tcp, database_name):
    url = postgres_tcp.url_with(database=database_name)
    store(url.replace("postgresql://", "postgresql+psycopg2://", 1), tmp_path / "a", "v1.2", complete=1)
    env = {**os.environ, "CLUSTERSWEEP_STORAGE": url}
    told = typed("status", "v1.2", env=env)
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("v1.2 (digest ")
    assert "4 combinations: 1 complete, 2 waiting, 1 infeasible" in told.stdout
    assert json.loads(typed("status", "v1.2", "--json", env=env).stdout)["left"] is None  # no file tells that
    missing = typed("status", "v1.3", env=env)
    assert missing.returncode == 3
    assert "there is no study 'v1.3' in " in missing.stderr
    assert "(stored: v1.2)" in missing.stderr
    assert typed("status", "v1.2.yaml", env=env).returncode == 2  # a file, which is not there


def test_a_home_in_which_nothing_was_launched_exits_3_and_says_so(tmp_path):
    done = typed("studies", "--home", tmp_path / "home", env={**os.environ})
    assert done.returncode == 3
    assert "nothing was ever launched in the home" in done.stderr
