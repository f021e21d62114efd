"""What stopping early would have cost and risked."""

import dataclasses
import math

import pytest
from example_results import fail_trial, grid_results, mirrored

from clustersweep.errors import NothingCompleteError
from clustersweep.study.objective import aggregate, plain_metric
from clustersweep.study.replay import replay, replayable, rules_for
from clustersweep.study.results import CompleteReplicate, SweepResults, TrialResult, TrialState
from clustersweep.study.stopping import StopEarly

METRIC = plain_metric("loss", "u")


def study(*trials, seeds=(0, 1, 2)):
    """Return a study of trials, each given by the curves of its seeds; an epoch of trial n takes n + 1 seconds."""
    made = []
    for number, curves in enumerate(trials):
        done = {
            seed: CompleteReplicate(
                seed,
                min(curve),
                1,
                len(curve),
                (number + 1.0) * len(curve),
                "w",
                tuple((9.0, value) for value in curve),
            )
            for seed, curve in zip(seeds, curves, strict=True)
        }
        value = aggregate([replicate.value for replicate in done.values()], "mean")
        made.append(TrialResult(number, {"width": number}, TrialState.COMPLETE, value, done))
    return SweepResults("s", "d", {"width": tuple(range(len(trials)))}, seeds, tuple(made), metric=METRIC)


def flat(value):
    """Return a trial whose loss is the same in every epoch, with little noise."""
    return [[value + 0.01 * seed] * 4 for seed in (0, 1, 2)]


LATE = [[9.0 + 0.01 * seed, 9.0, 9.0, 0.5] for seed in (0, 1, 2)]  # the best one, in its last epoch
RULE = StopEarly(rungs=(1,), keep=1 / 3)


def test_what_is_stopped_costs_what_it_trained_until_then():
    found = replay(study(flat(1.0), flat(2.0), flat(3.0)), RULE)
    assert found.stopped == {1: 1, 2: 1}
    assert found.epochs == pytest.approx((4 + 1 + 1) / 12)
    assert found.seconds == pytest.approx((4 * 1 + 1 * 2 + 1 * 3) / (4 * 6))
    assert (found.winner.number, found.rank, found.regret, found.fresh_regret) == (0, 1, 0.0, 0.0)


def test_a_late_starter_that_is_stopped_is_what_was_risked():
    found = replay(study(flat(1.0), flat(2.0), LATE), RULE)
    assert (found.winner.number, found.rank) == (0, 2)
    assert found.regret == pytest.approx(1.01 - 0.5)
    assert found.fresh_regret == pytest.approx(1.01 - 0.5)  # the mean over the judging seeds
    kept = replay(study(flat(1.0), flat(2.0), LATE), dataclasses.replace(RULE, keep=0.99))
    assert (kept.winner.number, kept.regret, kept.epochs) == (2, 0.0, 1.0)


def test_fresh_seeds_judge_what_the_others_chose():
    # Seed 2 is lucky for trial 1: with it, trial 1 is chosen, and by seeds 0 and 1 alone trial 0.
    lucky = [[2.0] * 4, [2.0] * 4, [-4.0] * 4]
    found = replay(study(flat(1.0), lucky), StopEarly(rungs=(1,), keep=0.5, spare_ties=False))
    assert found.fresh_regret == 0.0  # the rule chooses as the whole grid does, from any seeds


def test_two_seeds_have_none_to_spare_as_a_judge():
    two = study(flat(1.0)[:2], flat(2.0)[:2], seeds=(0, 1))
    assert math.isnan(replay(two, RULE).fresh_regret)


def test_where_higher_is_better_regret_is_what_is_lost_too():
    up = mirrored(study(flat(1.0), flat(2.0), LATE))
    found = replay(up, RULE)
    assert up.metric.direction == "maximize"
    assert found.regret == pytest.approx(1.01 - 0.5)


def test_a_rung_at_the_end_or_after_it_is_none():
    found = replay(study(flat(1.0), flat(2.0)), dataclasses.replace(RULE, rungs=(1, 4, 400)))
    assert found.rule.rungs == (1,)
    assert found.epochs == pytest.approx(5 / 8)
    assert replay(study(flat(1.0), flat(2.0)), dataclasses.replace(RULE, rungs=(4,))).stopped == {}


def test_incomplete_trials_take_no_part():
    results = fail_trial(grid_results(), 0)
    assert len(replayable(results)) == len(replayable(grid_results())) - 1
    with pytest.raises(
        NothingCompleteError, match=r"'s' has 1 complete trials with the curves of all seeds, and replay"
    ):
        replay(study(flat(1.0)), RULE)


def test_the_rules_that_are_tried_go_from_cautious_to_bold():
    rules = rules_for(study(flat(1.0), flat(2.0)))
    assert [(rule.keep, rule.spare_ties) for rule in rules] == [
        (1 / 2, True), (1 / 3, True), (1 / 5, True), (1 / 2, False), (1 / 3, False), (1 / 5, False),
    ]  # fmt: skip
    assert {rule.rungs for rule in rules} == {(1, 3)}
    shares = [replay(grid_results(), rule).epochs for rule in rules_for(grid_results())]
    assert all(0 < share <= 1 for share in shares)
    assert shares[3:] == sorted(shares[3:], reverse=True)
