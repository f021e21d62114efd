"""What a rung keeps."""

import dataclasses
import itertools
import math
import random

import pytest

from clustersweep.study.objective import plain_metric
from clustersweep.study.results import (
    CompleteReplicate,
    PausedReplicate,
    StoppedAt,
    SweepResults,
    TrialResult,
    TrialState,
)
from clustersweep.study.stopping import (
    Ladder,
    StopEarly,
    auto_rungs,
    budgets,
    compared_at,
    decide,
    expected_epochs,
    run_rungs,
    survivors,
    value_until,
)
from clustersweep.study.task import Infeasible

LOSS, ACCURACY = plain_metric("loss"), plain_metric("accuracy", direction="maximize")
# Nine trials of three seeds, a step of 1 apart; the noise of the seeds is far smaller.
APART = {number: [number + 0.01 * seed for seed in (0, 1, 2)] for number in range(9)}


def rule(keep=1 / 3, ties=True, rungs=(1,)):
    return StopEarly(rungs=rungs, keep=keep, spare_ties=ties)


@pytest.mark.parametrize(
    ("epochs", "rungs"),
    [
        (1, ()), (2, (1,)), (6, (1, 3)), (30, (1, 3, 10)), (31, (1, 3, 10, 30)), (50, (1, 3, 10, 30)),
        (60, (3, 10, 30)), (300, (10, 30, 100)),
    ],
)  # fmt: skip
def test_rungs_of_their_own_are_half_decades_from_a_fiftieth_of_the_training_on(epochs, rungs):
    assert auto_rungs(epochs) == rungs


def test_the_best_share_is_kept_and_the_rest_is_stopped():
    rung = decide(1, APART, rule(), LOSS)
    assert survivors(rung) == {0, 1, 2}
    assert rung.stopped == (3, 4, 5, 6, 7, 8)
    assert [place.rank for place in rung.places] == list(range(1, 10))
    assert not any(place.tied for place in rung.places)


def test_where_higher_is_better_the_highest_are_kept():
    assert survivors(decide(1, APART, rule(), ACCURACY)) == {6, 7, 8}


@pytest.mark.parametrize(("keep", "number"), [(1 / 3, 3), (0.34, 4), (0.01, 1), (0.99, 9)])
def test_a_share_is_rounded_up_and_never_nothing(keep, number):
    assert len(survivors(decide(1, APART, rule(keep), LOSS))) == number


def test_what_the_noise_cannot_tell_from_the_best_is_kept_too():
    noisy = {number: [number + 3 * seed for seed in (-1, 0, 1)] for number in range(9)}  # sd 3, margin some 6
    rung = decide(1, noisy, rule(), LOSS)
    assert rung.noise == pytest.approx(3 / (1 - 1 / 9) ** 1.5)  # the median's bias for two degrees of freedom
    assert rung.margin == pytest.approx(2 * rung.noise * math.sqrt(2 / 3))
    near = {number for number in noisy if number < rung.margin}
    assert survivors(rung) == near
    assert len(near) > 3
    assert {place.trial for place in rung.places if place.tied} == near - {0, 1, 2}
    assert survivors(decide(1, noisy, rule(ties=False), LOSS)) == {0, 1, 2}


def test_one_seed_tells_no_noise_and_spares_none():
    rung = decide(1, {number: [float(number)] for number in range(9)}, rule(), LOSS)
    assert math.isnan(rung.margin)
    assert survivors(rung) == {0, 1, 2}


def test_a_seed_that_diverged_puts_its_trial_last():
    values = APART | {0: [0.0, 0.0, value_until([math.nan, math.inf], 2, LOSS)]}
    rung = decide(1, values, rule(), LOSS)
    assert rung.places[-1].trial == 0
    assert not rung.places[-1].kept
    assert decide(1, {1: [-math.inf, 1.0], 2: [0.1, 0.1]}, rule(), ACCURACY).places[-1].trial == 1


def test_all_diverged_still_leaves_some():
    assert survivors(decide(1, dict.fromkeys(range(9), [math.inf] * 3), rule(), LOSS)) == {0, 1, 2}


def test_trials_that_are_trained_alike_count_once_and_share_their_fate():
    values = APART | {9: APART[0], 10: APART[3]}
    rung = decide(1, values, rule(), LOSS, alike={9: 0, 10: 3})
    assert survivors(rung) == {0, 1, 2, 9}  # a third of nine, and the first one's twin
    assert {place.trial: place.rank for place in rung.places if place.trial in (3, 10)} == {3: 4, 10: 4}


def test_a_decision_depends_on_no_order():
    random.seed(1)
    values = {number: [random.gauss(number, 2) for _ in range(3)] for number in range(9)}
    whole = decide(1, values, rule(), LOSS)
    for _ in range(20):
        shuffled = random.sample(list(values.items()), len(values))
        assert decide(1, dict(shuffled), rule(), LOSS) == whole


def test_equals_are_ranked_by_their_numbers():
    rung = decide(1, {number: [1.0, 1.0] for number in (5, 3, 4)}, rule(ties=False), LOSS)
    assert [place.trial for place in rung.places] == [3, 4, 5]
    assert survivors(rung) == {3}


@pytest.mark.parametrize(("epoch", "best"), [(1, 5.0), (2, 3.0), (3, 3.0), (4, 2.0), (9, 2.0)])
def test_a_replicate_counts_with_its_best_value_until_the_rung(epoch, best):
    assert value_until([5.0, 3.0, math.nan, 2.0], epoch, LOSS) == best


def test_each_rung_compares_what_the_one_before_kept():
    # Trial 8 would be the best in the end, and is stopped at the first rung.
    curves = {number: [[number + 0.01 * s, number + 0.01 * s] for s in (0, 1, 2)] for number in range(9)}
    curves[8] = [[8.0, -9.0]] * 3
    first, second = run_rungs(curves, (1, 2), rule(), LOSS)
    assert survivors(first) == {place.trial for place in second.places} == {0, 1, 2}
    assert survivors(second) == {0}


@pytest.mark.parametrize("over_seeds", ["mean", "median", "min", "max"])
def test_of_nine_equals_few_are_stopped_at_any_way_over_the_seeds(over_seeds):
    """More than one in twenty, as the best of nine is flattered by its luck; six in nine without sparing ties."""
    generator, lost = random.Random(7), 0
    for _ in range(400):
        values = {number: [generator.gauss(0, 1) for _ in range(3)] for number in range(9)}
        lost += len(decide(1, values, rule(), LOSS, over_seeds=over_seeds).stopped)
    assert 0.05 < lost / (400 * 9) < 0.25


def test_a_longer_list_of_rungs_decides_the_same_at_those_it_shares():
    curves = {n: [[n + math.sin(n * e + s) for e in range(1, 11)] for s in (0, 1, 2)] for n in range(9)}
    every = run_rungs(curves, (1, 3, 10), rule(), LOSS)
    for number, rungs in itertools.product((1, 2), [(1, 3, 10)]):
        assert run_rungs(curves, rungs[:number], rule(), LOSS) == every[:number]


RUNGS, SEEDS, END = (1, 3, 10), (0, 1, 2), 12


def some_curves(seed, trials=11):
    """Curves of which some end early, and of which some diverged: these end in None."""
    generator = random.Random(seed)
    curves = {
        (trial, s): [trial / 4 + generator.gauss(0, 1) + 2 / e for e in range(1, generator.choice([2, 7, END]) + 1)]
        for trial in range(trials) for s in SEEDS
    }  # fmt: skip
    for trial, epochs in ((3, 0), (1, 1), (0, 4), (5, 10)):
        curves[trial, 1] = [*curves[trial, 1][:epochs], None]
    curves.update({(8, s): curves[2, s] for s in SEEDS})  # one that is trained as another one is
    return curves


def climb(curves, ties, order):
    """Train what a ladder allows, a replicate at a time in any order; returns the ladder and the epochs trained."""
    trials = sorted({trial for trial, _ in curves})
    ladder = Ladder(rule(ties=ties), RUNGS, {trial: trial for trial in trials} | {8: 2}, SEEDS, metric=LOSS)
    trained = dict.fromkeys(curves, 0)
    while True:
        open_ones = [
            (trial, s) for trial, s in curves
            if ladder.stopped_at(trial) is None and not ladder.waits(trial, s)
            and trained[trial, s] < len(curves[trial, s])
        ]  # fmt: skip
        if not open_ones:
            return ladder, trained
        chosen = order.choice(open_ones)
        until = ladder.until(chosen[0]) or END
        trained[chosen] = min(until, len(curves[chosen]))
        curve, ended = curves[chosen][:until], until >= len(curves[chosen])
        failed = curve[-1] is None
        moves = ladder.take(*chosen, curve[:-1] if failed else curve, ended=ended, failed=failed)
        assert not {trial for trial, _ in moves.stopped} & set(moves.go_on)


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_rungs_decide_the_same_in_whatever_order_replicates_arrive(ties, seed):
    curves, trials = some_curves(seed), range(11)
    whole = climb(curves, ties, random.Random(0))[0].decided
    for order in range(1, 6):
        ladder, trained = climb(curves, ties, random.Random(order))
        assert ladder.undecided is None
        assert ladder.decided == whole
        for (trial, s), epochs in trained.items():
            at = ladder.stopped_at(trial)
            # None trains past the rung that stops it, though some go on before a rung is complete.
            assert epochs == min(at.epoch if at else END, len(curves[trial, s]))
    left = set(trials)
    for rung in whole:  # each as it is decided from all curves at once
        values = {
            t: [
                math.inf if None in curves[t, s][: rung.epoch] else value_until(curves[t, s], rung.epoch, LOSS)
                for s in SEEDS
            ]
            for t in left
        }
        assert rung == decide(rung.epoch, values, rule(ties=ties), LOSS, alike={8: 2})
        left = survivors(rung)


def test_what_a_rung_keeps_in_any_case_goes_on_before_it_is_complete():
    ladder = Ladder(rule(ties=False), (1,), {trial: trial for trial in range(9)}, (0,), metric=LOSS)
    for trial in range(6):
        assert ladder.take(trial, 0, [float(trial)], ended=False).go_on == ()
    assert ladder.take(6, 0, [6.0], ended=False).go_on == (0,)  # two may still be better: it is third then
    assert (ladder.until(0), ladder.until(1), ladder.waits(1, 0), ladder.undecided) == (None, 1, True, 1)
    assert ladder.take(7, 0, [-1.0], ended=False).go_on == (7,)
    last = ladder.take(8, 0, [8.0], ended=False)
    assert (last.go_on, [trial for trial, _ in last.stopped]) == ((1,), [2, 3, 4, 5, 6, 8])
    assert [rung.epoch for rung in last.decided] == [1]


def test_a_rung_is_open_as_long_as_a_replicate_is_missing():
    ladder = Ladder(rule(), (1, 3), {trial: trial for trial in range(9)}, SEEDS, metric=LOSS)
    for trial, seed in itertools.product(range(9), SEEDS):
        if (trial, seed) != (8, 2):
            ladder.take(trial, seed, [float(trial)] * 3, ended=False)
    assert (ladder.undecided, ladder.decided) == (1, [])
    assert ladder.until(0) == 3
    ladder.take(8, 2, [8.0], ended=False)
    assert [rung.epoch for rung in ladder.decided] == [1, 3]  # the curves of those it kept are longer already
    assert ladder.until(0) is None


def test_the_noise_that_a_study_names_is_taken_for_the_one_of_the_seeds():
    one_seed = {number: [float(number)] for number in range(9)}
    known = StopEarly(rungs=(1,), keep=1 / 3, noise=2.0)
    rung = decide(1, one_seed, known, LOSS)
    assert rung.margin == pytest.approx(2 * math.sqrt(2) * 2.0)
    assert survivors(rung) == {0, 1, 2, 3, 4, 5}


@pytest.mark.parametrize(
    ("done", "expected"),
    [(0, 1 + 2 / 2 + 7 / 4), (1, 2 / 2 + 7 / 4), (2, 1 + 7 / 2), (3, 7 / 2), (4, 6.0), (10, 0.0), (12, 0.0)],
)
def test_what_a_replicate_trains_on_average_counts_only_the_share_that_every_rung_keeps(done, expected):
    assert expected_epochs((1, 3, 10), 0.5, 10, done) == expected  # the last rung is no more before its end
    assert expected_epochs((), 0.5, 10, done) == max(0, 10 - done)


def swept():
    """A sweep of four trials of two seeds and six epochs: one complete, two stopped, one impossible."""

    def curve(number, epochs):
        return tuple((9.0, number + 1 / epoch) for epoch in range(1, epochs + 1))

    def paused(number, epochs):
        return {s: PausedReplicate(s, number + 1 / epochs, epochs, 6.0, "w", curve(number, epochs)) for s in (0, 1)}

    done = {s: CompleteReplicate(s, 1 / 6, 6, 6, 12.0, "w", curve(0, 6)) for s in (0, 1)}
    trials = (
        TrialResult(0, {"a": 1}, TrialState.COMPLETE, 1 / 6, done),
        TrialResult(1, {"a": 2}, TrialState.STOPPED, paused=paused(1, 3), stopped=StoppedAt(3, 2, 2, 4 / 3, 1 / 3)),
        TrialResult(2, {"a": 3}, TrialState.STOPPED, paused=paused(2, 1), stopped=StoppedAt(1, 3, 3, 3.0, 1.0)),
        TrialResult(3, {"a": 4}, TrialState.INFEASIBLE, infeasible=Infeasible("r", "l", (), "no")),
    )
    return SweepResults("s", "d", {"a": (1, 2, 3, 4)}, (0, 1), trials, metric=LOSS)


def test_a_sweep_can_be_compared_at_every_rung_that_stopped_some_and_at_its_end():
    assert budgets(swept()) == (1, 3, None)
    alone = dataclasses.replace(swept(), trials=swept().trials[:1])
    assert budgets(alone) == (None,)
    assert compared_at(swept(), None) == swept()


def test_after_a_rung_every_trial_that_got_there_has_its_value_until_there():
    first = compared_at(swept(), 1)
    assert [t.value for t in first.trials] == [1.0, 2.0, 3.0, None]
    assert [t.stopped is not None for t in first.trials] == [False, False, True, False]
    assert [t.state for t in first.trials[:3]] == [TrialState.COMPLETE] * 3
    assert {(r.epochs, r.best_epoch, len(r.curve), r.seconds) for r in first.trials[0].complete_replicates} == {
        (1, 1, 1, 2.0)
    }
    second = compared_at(swept(), 3)
    assert [t.value for t in second.trials] == [pytest.approx(1 / 3), pytest.approx(4 / 3), None, None]
    assert second.trials[2] == swept().trials[2]  # stopped before: it has no value there


def test_what_was_trained_longer_than_a_rung_and_ended_before_it_counts_with_its_own_value():
    early = {s: CompleteReplicate(s, 0.1, 2, 2, 4.0, "w", ((9.0, 0.2), (9.0, 0.1))) for s in (0, 1)}
    trials = (TrialResult(0, {"a": 1}, TrialState.COMPLETE, 0.1, early), *swept().trials[1:])
    found = compared_at(dataclasses.replace(swept(), trials=trials), 3)
    assert found.trials[0].value == pytest.approx(0.1)
    assert found.trials[0].replicates == early
