"""Who takes part in the race for further seeds, and what it may cost."""

import dataclasses

import pytest
from small_study import DROPOUT, small_plan

from clustersweep.study.events import DIVERGED
from clustersweep.study.finalists import finalists, further_seeds
from clustersweep.study.race import Settled
from clustersweep.study.results import CompleteReplicate, FailedReplicate, PausedReplicate

RULE = {"extra_seeds": {"at_most": 4, "budget": 1.0}}


def done(*values, first=0):
    return {seed: CompleteReplicate(seed, value, 1, 3, 1.0, "w") for seed, value in enumerate(values, first)}


def found(plan, ended, variance=None, paused=None):
    standing = {place: (one, (paused or {}).get(place, {})) for place, one in ended.items()}
    return finalists(plan, plan.ladder(), standing, variance)


@pytest.fixture
def plan(tmp_path):
    """Three trials of two seeds and three epochs."""
    return small_plan(tmp_path, **RULE)


def test_further_seeds_are_the_next_integers_that_the_study_has_not(plan, tmp_path):
    assert further_seeds(plan, 4) == (0, 1, 2, 3)
    assert further_seeds(small_plan(tmp_path, seeds=[7, 3]), 4) == (7, 3, 8, 9)


def test_there_is_no_race_without_a_rule_or_before_all_have_ended(plan, tmp_path):
    ended = {0: done(0.1, 0.2), 1: done(0.1, 0.2), 2: done(0.1, 0.2)}
    assert found(small_plan(tmp_path), ended) is None
    assert found(plan, {**ended, 2: done(0.1)}) is None
    assert found(plan, {0: ended[0]}) is None
    assert found(plan, ended) is not None


def test_those_in_the_race_are_to_have_the_seeds_of_the_next_look(plan):
    ended = {0: done(0.10, 0.12), 1: done(0.11, 0.13), 2: done(0.12, 0.10)}
    assert found(plan, ended).wanted == dict.fromkeys((0, 1, 2), (0, 1, 2))
    one_further = {place: {**one, **done(0.11, first=2)} for place, one in ended.items()}
    assert found(plan, one_further).wanted == dict.fromkeys((0, 1, 2), (0, 1, 2, 3))
    assert found(plan, {**one_further, 2: ended[2]}).wanted == dict.fromkeys((0, 1, 2), (0, 1, 2))


def test_what_failed_or_learned_nothing_or_diverged_later_takes_no_part(plan):
    failed = {**done(0.1), 1: FailedReplicate(1, "no", "OSError", 1, 1.0, "w")}
    later = {**done(0.1, 0.1), 2: FailedReplicate(2, "no", DIVERGED, 1, 1.0, "w")}
    for other in (failed, done(0.1, 0.9), later):
        alone = found(plan, {0: done(0.1, 0.2), 1: other, 2: other}, variance=0.5)
        assert (alone.race.left, alone.race.settled, alone.wanted) == ((0,), Settled.ALONE, {})
    assert found(plan, dict.fromkeys(range(3), failed)) is None


def test_networks_that_are_the_same_are_one_competitor(tmp_path):
    plan = small_plan(tmp_path, **DROPOUT, **RULE)  # six trials, of which three are one network
    ended = {place: done(0.10 + place / 1000, 0.12) for place in range(6)}
    assert len(found(plan, ended).race.left) == 4


def test_what_a_race_may_cost_is_a_share_of_what_was_trained_in_operations(plan, tmp_path):
    """Three trials of two seeds cost what they cost; a further seed of each is half of that."""
    ended = {0: done(0.10, 0.12), 1: done(0.11, 0.13), 2: done(0.12, 0.10)}
    for budget, settled in ((0.51, None), (0.49, Settled.BUDGET)):
        plan = small_plan(tmp_path, extra_seeds={"at_most": 4, "budget": budget})
        assert found(plan, ended).race.settled is settled
    stopping = dataclasses.replace(plan.study, stop_early=None)
    assert stopping == plan.study
    paused = {2: {0: PausedReplicate(0, 0.5, 300, 1.0, "w")}}  # what was stopped has cost, too
    assert found(plan, ended, paused=paused).race.settled is None
