"""Options that many verbs have: where they go, what they must be, and what their help says."""

import os

from command_line import VERBS, typed
from places import ROOT

SWEEPS = ROOT / "sweeps"


def run(*words, home=None, within=60, **environ):
    env = {**os.environ, **({"CLUSTERSWEEP_HOME": str(home)} if home else {}), **environ}
    return typed(*words, env=env, timeout_s=within)


def test_a_home_or_storage_before_the_verb_is_told_to_go_after_it():
    for option in ("--home", "--storage"):
        for given in ([option, "secret"], [f"{option}=secret"]):
            done = run(*given, "plan", "study.yaml", COLUMNS="200")
            assert done.returncode == 2
            assert f"{option} goes after the verb: clustersweep plan ... {option} ..." in done.stderr
            assert "secret" not in done.stderr


def test_verbs_that_keep_nothing_in_a_home_say_that_they_have_none():
    for words in (["convert", "images.fits", "--home", "x"], ["--home", "x", "predict", "model"], ["show", "--home=x"]):
        done = run(*words, COLUMNS="200")
        assert done.returncode == 2
        verb = next(word for word in words if word in VERBS or word == "predict")
        assert f"{verb} has no --home: it reads and writes only the files that it is given" in done.stderr
    assert (
        "train has no --storage: it reads and writes no studies" in run("train", "--storage", "x", COLUMNS="200").stderr
    )


def test_a_time_to_wait_without_a_unit_is_refused_with_what_it_must_be():
    done = run("launch", SWEEPS / "quickstart.yaml", "--wait", "30", COLUMNS="200")
    assert done.returncode == 2
    assert "'30' is not a number with its unit (s, m, h or d), as in 90s, 30m, 2h or 1d, nor 0" in done.stderr


def test_help_tells_what_holds_where_an_option_is_left_out():
    told = " ".join(run("launch", "--help", COLUMNS="300").stdout.split())
    assert "[default: RAY_ADDRESS, else Ray on this machine]" in told
    assert "[default: 10m on a cluster; on this machine until your launches that came first leave room]" in told
    assert "[default: CLUSTERSWEEP_HOME]" in told
