"""What the noise of the seeds can tell apart, and what it cannot."""

import dataclasses
import io
import math

import numpy as np
import pytest
from example_results import replicate
from rich.console import Console

from clustersweep.display.tables import print_best
from clustersweep.errors import NothingCompleteError
from clustersweep.masses.export import evidence_of
from clustersweep.report.sweep.listings import trials_html
from clustersweep.report.sweep.sections import verdict_html
from clustersweep.report.sweep.table import results_csv
from clustersweep.report.sweep.verdict import verdict
from clustersweep.study.objective import ObjectiveSpec
from clustersweep.study.ranking import (
    alike_text,
    best_learned_nothing,
    choose,
    indistinguishable,
    margin_of,
    standard_error,
    ties_of,
    trial_learned_nothing,
    typical_spread,
)
from clustersweep.study.results import SweepResults, TrialResult, TrialState
from clustersweep.training.metric import VAL_LOSS


def test_what_the_noise_of_the_seeds_cannot_tell_from_a_trial_lies_within_two_standard_errors_of_it():
    trials = [
        TrialResult(
            number, {}, TrialState.COMPLETE, value, {0: replicate(0, value - 0.1), 1: replicate(1, value + 0.1)}
        )
        for number, value in enumerate([1.0, 1.1, 1.35, 1.7])
    ]
    noise = typical_spread(trials)
    # The median of a variance with one degree of freedom is (1 - 2/9)^3 of the true one.
    assert noise == pytest.approx(math.sqrt(0.02 / (7 / 9) ** 3))
    margin = margin_of(trials[1], noise, "mean")
    assert margin == pytest.approx(2 * noise)
    margin = 0.3
    assert [t.number for t in indistinguishable(trials, trials[0], margin)] == [1]
    assert [t.number for t in indistinguishable(trials, trials[1], margin)] == [0, 2]
    assert [t.number for t in indistinguishable(trials, trials[3], margin)] == []


def test_one_seed_ties_with_nothing():
    trials = [TrialResult(number, {}, TrialState.COMPLETE, 1.0, {0: replicate(0, 1.0)}) for number in range(2)]
    margin = margin_of(trials[0], typical_spread(trials), "mean")
    assert math.isnan(margin)
    assert indistinguishable(trials, trials[0], margin) == ()


@pytest.mark.parametrize("over_seeds", ["mean", "median", "min", "max"])
@pytest.mark.parametrize("seeds", range(2, 11))
def test_of_equal_trials_one_in_twenty_is_called_different_however_the_seeds_become_one_value(over_seeds, seeds):
    noise = np.random.default_rng(seeds).normal(size=(2, 100_000, seeds))
    first, second = getattr(np, over_seeds)(noise, axis=-1)
    trial = TrialResult(0, {}, TrialState.COMPLETE, 0.0, {seed: replicate(seed, 0.0) for seed in range(seeds)})
    different = (abs(first - second) > margin_of(trial, 1.0, over_seeds)).mean()
    assert 0.042 < different < 0.050


@pytest.mark.parametrize("over_seeds", ["mean", "median", "min", "max"])
@pytest.mark.parametrize("seeds", [1, 21, 30, 100, 301])
def test_the_standard_error_is_right_for_one_seed_and_for_many(over_seeds, seeds):
    found = getattr(np, over_seeds)(np.random.default_rng(seeds).normal(size=(30_000, seeds)), axis=1).std()
    assert standard_error(over_seeds, seeds) == pytest.approx(found, rel=0.02)


def test_the_standard_errors_of_small_samples_are_those_of_the_tables():
    # Variances of normal order statistics: Sarhan & Greenberg (1962), Contributions to Order Statistics, table 10C.1.
    assert standard_error("min", 2) ** 2 == pytest.approx(1 - 1 / math.pi)
    assert standard_error("max", 3) ** 2 == pytest.approx(0.55946720, abs=1e-7)
    assert standard_error("median", 3) ** 2 == pytest.approx(0.44867112, abs=1e-7)
    assert standard_error("median", 2) ** 2 == pytest.approx(0.5)
    assert standard_error("min", 5) ** 2 == pytest.approx(0.44753407, abs=1e-7)
    assert standard_error("median", 5) ** 2 == pytest.approx(0.28683366, abs=1e-7)


def sweep(losses, *, variance=0.2, same=()):
    """Give complete trials of two seeds each; `same` are pairs of a trial and the one whose network it is."""
    trials = [
        TrialResult(n, {"a": n}, TrialState.COMPLETE, loss,
                    {0: replicate(0, loss - 0.01), 1: replicate(1, loss + 0.01)},
                    same_as=dict(same).get(n), same_why=WHY if n in dict(same) else "")
        for n, loss in enumerate(losses)
    ]  # fmt: skip
    return SweepResults("s", "d", {"a": tuple(range(len(losses)))}, (0, 1), tuple(trials), variance, metric=VAL_LOSS)


WHY = "dropout acts between dense layers, and there are fewer than two"


def numbers(trials):
    return [trial.number for trial in trials]


def test_networks_that_learned_nothing_are_no_rivals_of_the_best():
    results = sweep([0.19, 0.195, 0.2, 0.2003, 0.2001, 0.21])
    found = ties_of(results, results.ranked()[0])
    assert found.margin > 0.02
    assert numbers(found.trials) == [1]
    assert found.count() == "1 other combination"
    assert numbers(ties_of(dataclasses.replace(results, label_variance=None), results.trials[0]).trials) == [
        1, 2, 4, 3, 5
    ]  # fmt: skip


def test_where_the_best_learned_nothing_there_are_no_ties_and_that_is_what_is_said():
    results = sweep([0.201, 0.2, 0.3])
    assert ties_of(results, results.ranked()[0]).trials == ()
    said = best_learned_nothing(results)
    assert said == (
        "Nothing was learned: the best combination has 0.2000 dex², and predicting the mean mass for every cluster "
        "gives 0.2000 dex²."
    )
    assert best_learned_nothing(sweep([0.15, 0.2])) == ""
    assert best_learned_nothing(sweep([0.3], variance=None)) == ""
    assert best_learned_nothing(sweep([])) == ""


def test_a_best_that_is_better_than_the_mean_by_no_more_than_the_noise_of_its_seeds_is_said_first_too():
    results = sweep([0.19, 0.195])
    best = results.ranked()[0]
    margin = margin_of(best, typical_spread(results.trials), "mean")
    assert margin == pytest.approx(0.0412, abs=1e-4)
    assert best_learned_nothing(results) == (
        "It is not sure that anything was learned: the best combination has 0.1900 dex², and predicting the mean mass "
        "for every cluster gives 0.2000 dex², a difference within the noise of the seeds (0.0412 dex²)."
    )
    assert best_learned_nothing(sweep([0.2 - margin + 1e-6])).startswith("It is not sure")
    assert best_learned_nothing(sweep([0.2 - margin - 1e-6])) == ""
    second = results.ranked()[1]
    assert trial_learned_nothing("trial 1", results, second).startswith(
        "It is not sure that anything was learned: trial 1 has 0.1950 dex²"
    )


def test_with_one_seed_nothing_is_said_of_noise_that_is_not_known():
    trials = (TrialResult(0, {"a": 0}, TrialState.COMPLETE, 0.199, {0: replicate(0, 0.199)}),)
    results = SweepResults("s", "d", {"a": (0,)}, (0,), trials, 0.2, metric=VAL_LOSS)
    assert best_learned_nothing(results) == ""
    worse = dataclasses.replace(results, label_variance=0.199)
    assert best_learned_nothing(worse).startswith("Nothing was learned: ")


def test_trials_of_one_network_count_once_in_ranks_and_ties_and_the_words_say_so():
    results = sweep([0.10, 0.10, 0.101, 0.102, 0.102, 0.103, 0.104], same=[(1, 0), (4, 3)])
    assert numbers(results.distinct()) == [0, 2, 3, 5, 6]
    found = ties_of(results, results.trials[1])
    assert numbers(found.same) == [0]
    assert numbers(found.trials) == [2, 3, 4, 5, 6]
    assert numbers(found.distinct) == [2, 3, 5, 6]
    assert found.count() == "5 other combinations, 2 of them the same network"
    assert alike_text(results) == (f"the same network, as {WHY}: trials 1 = 0, 4 = 3",)
    twice = sweep([0.10, 0.101, 0.101, 0.102, 0.102], same=[(2, 1), (4, 3)])
    assert ties_of(twice, twice.trials[0]).count() == "4 other combinations of 2 different networks"


def test_an_export_ranks_networks_and_names_the_trials_that_are_the_same():
    results = sweep([0.10, 0.10, 0.101, 0.102], same=[(1, 0)])
    assert choose(results, rank=2) == (results.trials[2], 2)
    assert choose(results, number=1) == (results.trials[1], 1)
    with pytest.raises(NothingCompleteError, match="rank 4 asked for, but 's' has 3 complete networks"):
        choose(results, rank=4)
    found = evidence_of(results, results.trials[0], 1, ObjectiveSpec())
    assert (found.of, found.same_network, [tie.trial for tie in found.ties]) == (3, (1,), [2, 3])


def printed(results, width=80):
    said = io.StringIO()
    print_best(results, Console(width=width, file=said))
    return said.getvalue()


def test_what_a_launch_and_a_status_print_says_first_that_nothing_was_learned():
    assert printed(sweep([0.201, 0.2])).startswith("Nothing was learned: the best combination has 0.2000 dex², and ")
    assert "may be as good" not in printed(sweep([0.201, 0.2]))
    unsure = printed(sweep([0.19, 0.195]))
    assert unsure.startswith("It is not sure that anything was learned: the best combination has 0.1900 dex²")
    assert "may be as good" not in unsure


def test_what_a_launch_and_a_status_print_counts_networks_once():
    results = sweep([0.10, 0.10, 0.101, 0.102, 0.102, 0.103, 0.104], same=[(1, 0), (4, 3)])
    said = printed(results)
    assert "\n5 other combinations, 2 of them the same network, may be as good: within 0.0412 dex² of the best" in said
    assert f"\nthe same network, as {WHY}: trials 1 = 0, 4 = 3\n" in said
    rows = [line.split()[:2] for line in said.splitlines() if line[:1].isdigit() and "combination" not in line]
    assert rows == [["1", "0"], ["2", "2"], ["3", "3"], ["4", "5"], ["5", "6"]]


def test_the_report_says_it_too():
    results = sweep([0.10, 0.10, 0.101, 0.102, 0.102], same=[(1, 0), (4, 3)])
    words = verdict_html(results, verdict(results))
    assert "3 other combinations, 2 of them the same network, lie within the noise of the seeds" in words
    assert f"The same network, as {WHY}: trials 1 = 0, 4 = 3." in words
    nothing = sweep([0.201, 0.2])
    assert verdict_html(nothing, verdict(nothing)).startswith('<p class="best">Nothing was learned: the best')
    assert "within the noise of the seeds" not in verdict_html(nothing, verdict(nothing))
    unsure = sweep([0.19, 0.195])
    words = verdict_html(unsure, verdict(unsure))
    assert words.startswith('<p class="best">It is not sure that anything was learned: the best combination has')
    assert "may be as good" not in words
    table = trials_html(results, verdict(results))
    assert "= 0</td>" in table
    assert results_csv(results).decode().splitlines()[3].endswith(",0")


def test_what_the_best_and_its_ties_have_in_common_is_true_of_every_trial_of_a_network():
    results = sweep([0.10, 0.101, 0.101], same=[(2, 1)])
    dropouts = [{"a": 0, "dropout": 0.0}, {"a": 0, "dropout": 0.0}, {"a": 0, "dropout": 0.5}]
    trials = [dataclasses.replace(t, params=p) for t, p in zip(results.trials, dropouts, strict=True)]
    assert verdict(dataclasses.replace(results, trials=tuple(trials))).shared == {"a": 0}
