"""The metric: which value is better, and what is ranked and tied by it, whichever way is up."""

import dataclasses
import math

import pytest
from example_results import ACCURACY, grid_results, mirrored

from clustersweep.study.objective import plain_metric
from clustersweep.study.ranking import ties_of
from clustersweep.training.metric import VAL_LOSS

RESULTS = dataclasses.replace(grid_results(dead=False), label_variance=None)
MIRRORED = mirrored(RESULTS)


@pytest.mark.parametrize(("metric", "better"), [(VAL_LOSS, 0.1), (ACCURACY, 0.2)])
def test_the_direction_says_which_of_two_values_is_better(metric, better):
    worse = 0.3 - better
    assert metric.better(better, worse)
    assert not metric.better(worse, better)
    assert not metric.better(better, better)


def test_the_highest_is_ranked_first_where_more_is_better():
    assert [t.number for t in MIRRORED.ranked()] == [t.number for t in RESULTS.ranked()]
    assert MIRRORED.ranked()[0].value == max(t.value for t in MIRRORED.trials if t.value is not None)


def test_the_best_replicate_is_the_highest_where_more_is_better():
    trial = MIRRORED.ranked()[0]
    best = trial.best_replicate(ACCURACY)
    assert best.value == max(r.value for r in trial.complete_replicates)
    assert best.seed == RESULTS.ranked()[0].best_replicate(VAL_LOSS).seed


def test_the_same_trials_are_tied_whichever_way_is_up():
    ties, mirrored_ties = ties_of(RESULTS, RESULTS.ranked()[0]), ties_of(MIRRORED, MIRRORED.ranked()[0])
    assert ties.trials
    assert [t.number for t in mirrored_ties.trials] == [t.number for t in ties.trials]
    assert math.isclose(ties.margin, mirrored_ties.margin)


def test_a_metric_without_a_unit_is_written_without_one():
    assert (plain_metric("error").with_unit, plain_metric("error").titled("error")) == ("", "error")
    assert (ACCURACY.with_unit, ACCURACY.titled("accuracy")) == (" %", "accuracy [%]")
