"""Who gets more seeds, and what they settle."""

import math
import random

import pytest

from clustersweep.study.objective import plain_metric
from clustersweep.study.race import ERROR, ExtraSeeds, Settled, pooled_noise, run_race, seeds_at_looks

LOSS, ACCURACY = plain_metric("loss"), plain_metric("accuracy", direction="maximize")
# Twenty seeds of four trials: the first two are close, the others are not; the noise of the seeds is 0.1.
GENERATOR = random.Random(3)
VALUES = {t: [mean + GENERATOR.gauss(0, 0.1) for _ in range(20)] for t, mean in enumerate((1.0, 1.02, 2.0, 3.0))}


RULE = ExtraSeeds()


def race(seeds, values=VALUES, rule=RULE, metric=LOSS, over_seeds="mean", spent=math.inf):
    """Run a race in which each trial has so many seeds: a number, or one for each trial."""
    given = seeds if isinstance(seeds, dict) else dict.fromkeys(values, seeds)
    told = {trial: values[trial][: given[trial]] for trial in values}
    costs = dict.fromkeys(values, 1.0)
    return run_race(told, costs, rule, metric, first=3, spent=spent, over_seeds=over_seeds)


@pytest.mark.parametrize(
    ("at_most", "looks"), [(9, (3, 5, 8, 9)), (3, (3,)), (2, (3,)), (20, (3, 5, 8, 12, 18, 20)), (4, (3, 4))]
)
def test_seeds_grow_by_half_from_look_to_look(at_most, looks):
    assert seeds_at_looks(3, at_most) == looks


def test_those_that_the_leader_cannot_be_told_from_get_more_seeds_and_the_others_none():
    found = race(3)
    assert (sorted(found.left), found.seeds, found.settled) == ([0, 1], 5, None)
    assert [one.trial for one in found.looks[0].entrants if one.out] == [2, 3]
    assert found == race({0: 3, 1: 4, 2: 3, 3: 3})  # a round is looked at when all have their seeds


def test_a_race_ends_at_the_number_of_seeds_that_it_may_have():
    found = race({0: 9, 1: 9, 2: 3, 3: 3})
    assert (sorted(found.left), found.settled) == ([0, 1], Settled.AT_MOST)
    assert [look.seeds for look in found.looks] == [3, 5, 8, 9]


def test_a_race_ends_when_the_leader_is_told_from_all_others():
    apart = {0: VALUES[0], 1: [value + 0.3 for value in VALUES[0]][::-1]}
    found = race(9, apart)
    assert (found.left, found.settled) == ((0,), Settled.SEPARATED)
    assert len(found.looks) < 4
    assert race(3, {7: VALUES[0]}).settled is Settled.ALONE


def test_a_race_costs_no_more_than_its_share_of_the_sweep():
    assert race(3, spent=8.0).settled is None  # two trials, two seeds each: half of eight
    assert race(3, spent=7.9).settled is Settled.BUDGET
    assert race({0: 5, 1: 5, 2: 3, 3: 3}, spent=8.0).settled is Settled.BUDGET
    assert race(3, rule=ExtraSeeds(budget=0.1), spent=39.0).settled is Settled.BUDGET


def test_where_higher_is_better_the_highest_leads():
    assert race(3, metric=ACCURACY).left[0] == 3


def test_what_is_seen_depends_on_no_order():
    assert run_race(
        dict(reversed([(t, v[:3]) for t, v in VALUES.items()])), dict.fromkeys(VALUES, 1.0), ExtraSeeds(), LOSS,
        first=3, spent=9.0,
    ) == race(3, spent=9.0)  # fmt: skip


def test_one_seed_tells_no_noise_and_rules_nobody_out():
    found = run_race({0: [1.0], 1: [9.0]}, {0: 1.0, 1: 1.0}, ExtraSeeds(), LOSS, first=1, spent=9.0)
    assert (found.left, found.seeds) == ((0, 1), 2)
    assert math.isnan(found.looks[0].margin)


def test_noise_is_pooled_over_the_trials_of_a_look():
    noise, freedom = pooled_noise([(1.0, 3.0), (1.0, 1.0, 4.0), (5.0,)])
    assert (noise, freedom) == (pytest.approx(math.sqrt((2.0 + 6.0) / 3)), 3)
    assert pooled_noise([(1.0,)])[1] == 0


@pytest.mark.integration  # not for what it needs: for its time
@pytest.mark.parametrize("over_seeds", ["mean", "median"])
@pytest.mark.parametrize("number", [2, 6])
def test_of_ten_thousand_races_of_equals_at_most_one_in_twenty_tells_any_apart(number, over_seeds):
    generator, wrong, races = random.Random(number), 0, 2500  # four such tests make ten thousand
    for _ in range(races):
        values = {t: [generator.gauss(0, 1) for _ in range(9)] for t in range(number)}
        found = race(9, values, over_seeds=over_seeds)
        wrong += any(one.out for look in found.looks for one in look.entrants)
    assert wrong / races < ERROR
    assert wrong > 0


def test_of_races_with_a_best_one_most_find_it():
    generator, found = random.Random(1), 0
    for _ in range(300):
        values = {t: [generator.gauss(1.5 * (t > 0), 1) for _ in range(20)] for t in range(5)}
        found += race(20, values, rule=ExtraSeeds(at_most=20)).left == (0,)
    assert found > 250


@pytest.mark.parametrize(
    ("number", "values", "words"),
    [
        (3, VALUES, "further seeds: after 3 seeds 2 trials cannot be told apart (0 and 1: within 0."),
        (9, VALUES, "of the first), and none may have more (extra_seeds.at_most)"),
        (9, {4: [1.0, 1.1, 1.05] * 3, 7: [2.0, 2.1, 2.05] * 3}, "trial 4 is better than all others, by more than 0."),
        (9, {4: [1.0, 1.1, 1.05] * 3}, ""),
    ],
)
def test_a_race_says_how_far_it_is(number, values, words):
    text = race(number, values).text
    assert words in text.replace("(1 and 0:", "(0 and 1:")
    assert bool(text) == bool(words)


def test_a_race_that_goes_on_says_how_many_seeds_each_gets():
    assert race(3).text.endswith(" of the first): each gets 2 more")
    assert race(3, spent=1.0).text.endswith("; more would cost more than they may (extra_seeds.budget)")


def test_trials_can_be_given_other_numbers():
    found = race(3).renumbered({0: 10, 1: 11, 2: 12, 3: 13})
    assert set(found.left) == {10, 11}
    assert {one.trial for one in found.looks[0].entrants} == {10, 11, 12, 13}
