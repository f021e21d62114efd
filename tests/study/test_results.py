import json
import math

import pytest
from example_results import fail_trial, grid_results, replicate

from clustersweep.study.objective import aggregate
from clustersweep.study.results import (
    FailedReplicate,
    ReplicateState,
    TrialResult,
    TrialState,
    combination,
    losses,
)
from clustersweep.training.metric import VAL_LOSS


@pytest.mark.parametrize(("how", "value"), [("mean", 2.0), ("median", 1.0), ("min", 0.5), ("max", 4.5)])
def test_the_objective_over_the_seeds_is_the_one_asked_for(how, value):
    assert aggregate([4.5, 0.5, 1.0], how) == value


def test_a_combination_is_the_same_whatever_the_order_of_its_params():
    assert combination({"a": 1, "b": "x"}) == combination({"b": "x", "a": 1})


def test_the_spread_is_the_standard_deviation_and_unknown_for_one_seed():
    trial = TrialResult(0, {}, TrialState.COMPLETE, 2.0, {0: replicate(0, 1.0), 1: replicate(1, 3.0)})
    assert trial.spread() == pytest.approx(math.sqrt(2))
    assert math.isnan(TrialResult(0, {}, TrialState.COMPLETE, 1.0, {0: replicate(0, 1.0)}).spread())


def test_of_equal_replicates_the_lower_seed_is_the_best():
    trial = TrialResult(0, {}, TrialState.COMPLETE, 1.0, {2: replicate(2, 1.0), 1: replicate(1, 1.0)})
    assert trial.best_replicate(VAL_LOSS).seed == 1


def test_only_complete_trials_are_ranked_best_first():
    results = fail_trial(grid_results(), 0)
    values = [trial.value for trial in results.ranked()]
    assert values == sorted(values)
    assert len(values) == 53
    assert (results.count("failed"), results.count("infeasible")) == (1, 27)


def test_states_are_the_words_that_are_stored_and_shown():
    assert [str(state) for state in TrialState] == ["waiting", "running", "complete", "failed", "infeasible", "stopped"]
    assert json.dumps([*ReplicateState]) == '["complete", "failed", "paused"]'
    assert [state for state in TrialState if not state.is_finished] == [TrialState.WAITING, TrialState.RUNNING]


def test_failed_replicates_have_no_loss_and_count_for_nothing():
    failed = FailedReplicate(0, "broke", "RuntimeError", 1, 1.0, "worker")
    trial = TrialResult(0, {}, TrialState.FAILED, None, {2: replicate(2, 0.0), 0: failed, 1: replicate(1, 0.5)})
    assert trial.complete_replicates == (replicate(1, 0.5), replicate(2, 0.0))
    assert losses(trial) == (0.5, 0.0)
    assert trial.best_replicate(VAL_LOSS).seed == 2  # a loss of zero is one
    assert not hasattr(failed, "value")
