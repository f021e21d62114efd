"""What a rung keeps."""

import itertools
import math
import random

import pytest

from clustersweep.study.objective import plain_metric
from clustersweep.study.stopping import StopEarly, auto_rungs, decide, run_rungs, survivors, value_until

LOSS, ACCURACY = plain_metric("loss"), plain_metric("accuracy", direction="maximize")
# Nine trials of three seeds, a step of 1 apart; the noise of the seeds is far smaller.
APART = {number: [number + 0.01 * seed for seed in (0, 1, 2)] for number in range(9)}


def rule(keep=1 / 3, ties=True, rungs=(1,)):
    return StopEarly(rungs=rungs, keep=keep, spares_ties=ties)


@pytest.mark.parametrize(
    ("epochs", "rungs"),
    [(1, ()), (2, (1,)), (6, (1, 3)), (30, (1, 3, 10)), (31, (1, 3, 10, 30)), (300, (1, 3, 10, 30, 100))],
)
def test_rungs_of_their_own_are_half_decades_below_the_end(epochs, rungs):
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
    first, second = run_rungs(curves, rule(rungs=(1, 2)), LOSS)
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
    every = run_rungs(curves, rule(rungs=(1, 3, 10)), LOSS)
    for number, rungs in itertools.product((1, 2), [(1, 3, 10)]):
        assert run_rungs(curves, rule(rungs=rungs[:number]), LOSS) == every[:number]
