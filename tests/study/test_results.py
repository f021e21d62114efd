import math

import pytest
from example_results import fail_trial, grid_results

from clustersweep.study.results import ReplicateResult, TrialResult, aggregate, combination


def replicate(seed, value):
    return ReplicateResult(seed, "complete", value, 1, 1, 1.0, "worker")


@pytest.mark.parametrize(("how", "value"), [("mean", 2.0), ("median", 1.0), ("min", 0.5), ("max", 4.5)])
def test_the_objective_over_the_seeds_is_the_one_asked_for(how, value):
    assert aggregate([4.5, 0.5, 1.0], how) == value


def test_a_combination_is_the_same_whatever_the_order_of_its_params():
    assert combination({"a": 1, "b": "x"}) == combination({"b": "x", "a": 1})


def test_the_spread_is_the_standard_deviation_and_unknown_for_one_seed():
    trial = TrialResult(0, {}, "complete", 2.0, {0: replicate(0, 1.0), 1: replicate(1, 3.0)})
    assert trial.spread() == pytest.approx(math.sqrt(2))
    assert math.isnan(TrialResult(0, {}, "complete", 1.0, {0: replicate(0, 1.0)}).spread())


def test_of_equal_replicates_the_lower_seed_is_the_best():
    trial = TrialResult(0, {}, "complete", 1.0, {2: replicate(2, 1.0), 1: replicate(1, 1.0)})
    assert trial.best_replicate.seed == 1


def test_only_complete_trials_are_ranked_best_first():
    results = fail_trial(grid_results(), 0)
    values = [trial.value for trial in results.ranked()]
    assert values == sorted(values)
    assert len(values) == 53
    assert (results.count("failed"), results.count("infeasible")) == (1, 27)
