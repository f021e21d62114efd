"""Every case of what a launch does with a plan and what is stored of it. No database."""

import math

import pytest
from small_study import small_plan

from clustersweep.study.events import DIVERGED
from clustersweep.study.reconcile import OpenWork, curve_of, left_to_train, reconcile
from clustersweep.study.results import (
    CompleteReplicate,
    FailedReplicate,
    PausedReplicate,
    StoppedAt,
    TrialResult,
    TrialState,
    combination,
)


@pytest.fixture
def plan(tmp_path):
    """Three feasible combinations, longest first, and one that is impossible; seeds 0 and 1."""
    return small_plan(tmp_path)


def ended(*seeds, failed=()):
    """Return replicates by seed."""
    done = {seed: CompleteReplicate(seed, 0.1, 1, 3, 1.0, "w") for seed in seeds}
    broken = {seed: FailedReplicate(seed, "broke", "RuntimeError", 1, 1.0, "w") for seed in failed}
    return dict(sorted({**done, **broken}.items()))


def kept(trial, number, state, replicates=None):
    value = 0.1 if state == TrialState.COMPLETE else None
    return TrialResult(number, trial.params, state, value, replicates or {})


def work_on(*given, seeds=(0, 1), **named):
    return OpenWork(*given, seeds=seeds, **named)


def newest(*trials):
    return {combination(trial.params): trial for trial in trials}


def impossible(plan, number=0):
    params, why = plan.infeasible[0]
    return TrialResult(number, params, TrialState.INFEASIBLE, infeasible=why)


def test_of_a_study_that_is_not_stored_all_is_added_in_the_plans_order(plan):
    found = reconcile(plan, {})
    assert found.impossible == plan.infeasible
    assert found.work == tuple(work_on(trial, {}, (0, 1)) for trial in plan.trials)
    assert found.seeds == plan.work


def test_an_impossible_combination_that_is_stored_is_not_added_again(plan):
    found = reconcile(plan, newest(impossible(plan)))
    assert found.impossible == ()
    assert len(found.work) == 3


def test_of_a_study_that_is_complete_nothing_is_left(plan):
    stored = newest(
        impossible(plan), *(kept(t, n, TrialState.COMPLETE, ended(0, 1)) for n, t in enumerate(plan.trials, 1))
    )
    found = reconcile(plan, stored)
    assert (found.impossible, found.work, found.seeds) == ((), (), ())


@pytest.mark.parametrize("state", [TrialState.WAITING, TrialState.RUNNING])
def test_a_trial_that_is_not_finished_goes_on_itself_with_what_is_done_of_it(plan, state):
    first, second, third = plan.trials
    stored = newest(kept(second, 7, state, ended(1)))
    assert reconcile(plan, stored).work == (
        work_on(first, {}, (0, 1)),
        work_on(second, ended(1), (0,), continues=7),
        work_on(third, {}, (0, 1)),
    )


def test_a_trial_of_which_only_the_end_was_never_written_goes_on_with_nothing_to_train(plan):
    stored = newest(*(kept(trial, number, TrialState.RUNNING, ended(0, 1)) for number, trial in enumerate(plan.trials)))
    found = reconcile(plan, stored)
    assert [(work.continues, work.missing) for work in found.work] == [(0, ()), (1, ()), (2, ())]
    assert found.seeds == tuple((trial, 0) for trial in plan.trials)


def test_a_complete_trial_that_lacks_a_seed_is_superseded_by_one_that_takes_over_what_is_done(tmp_path):
    plan = small_plan(tmp_path, seeds=[0, 1, 2])
    stored = newest(
        *(kept(trial, number, TrialState.COMPLETE, ended(0, 1)) for number, trial in enumerate(plan.trials))
    )
    assert reconcile(plan, stored).work == tuple(
        work_on(trial, ended(0, 1), (2,), seeds=(0, 1, 2), supersedes=number)
        for number, trial in enumerate(plan.trials)
    )


def test_a_new_value_on_an_axis_adds_only_its_own_combinations(plan, tmp_path):
    stored = newest(
        impossible(plan), *(kept(t, n, TrialState.COMPLETE, ended(0, 1)) for n, t in enumerate(plan.trials, 1))
    )
    found = reconcile(small_plan(tmp_path, search_space={"kernel_size": [3, 5, 7]}), stored)
    assert [params for params, _ in found.impossible] == [{"kernel_size": 5, "conv_blocks": 2}]
    assert [work.trial.params for work in found.work] == [{"kernel_size": 5, "conv_blocks": 1}]


def test_a_failed_trial_is_superseded_by_one_that_trains_what_failed_once_more(plan):
    first, *others = plan.trials
    stored = newest(
        kept(first, 3, TrialState.FAILED, ended(0, failed=[1])),
        *(kept(t, 4, TrialState.COMPLETE, ended(0, 1)) for t in others),
    )
    assert reconcile(plan, stored).work == (work_on(first, ended(0), (1,), supersedes=3),)


def test_a_failed_trial_stays_so_where_failures_are_kept(plan):
    first, *others = plan.trials
    stored = newest(
        kept(first, 3, TrialState.FAILED, ended(0, failed=[1])),
        *(kept(t, 4, TrialState.COMPLETE, ended(0, 1)) for t in others),
    )
    assert reconcile(plan, stored, retry_failed=False).work == ()


@pytest.mark.parametrize(("retry_failed", "missing"), [(True, (1,)), (False, ())])
def test_what_failed_of_a_running_trial_is_trained_again_unless_failures_are_kept(plan, retry_failed, missing):
    first = plan.trials[0]
    (found, *_) = reconcile(
        plan, newest(kept(first, 5, TrialState.RUNNING, ended(0, failed=[1]))), retry_failed=retry_failed
    ).work
    assert (found.continues, found.missing, set(found.done)) == (5, missing, {0} if retry_failed else {0, 1})


def test_a_failed_trial_gets_a_new_seed_also_where_failures_are_kept(tmp_path):
    plan = small_plan(tmp_path, seeds=[0, 1, 2])
    first = plan.trials[0]
    (found, *_) = reconcile(
        plan, newest(kept(first, 5, TrialState.FAILED, ended(0, failed=[1]))), retry_failed=False
    ).work
    assert (found.supersedes, found.missing, set(found.done)) == (5, (2,), {0, 1})


def test_a_combination_that_was_impossible_to_an_older_version_is_trained_now(plan):
    first = plan.trials[0]
    (found, *_) = reconcile(plan, newest(kept(first, 2, TrialState.INFEASIBLE))).work
    assert found == work_on(first, {}, (0, 1), supersedes=2)


def test_combinations_that_are_stored_and_not_in_the_plan_are_left_alone(plan, tmp_path):
    stored = newest(impossible(plan), *(kept(t, n, TrialState.RUNNING) for n, t in enumerate(plan.trials, 1)))
    fewer = small_plan(tmp_path, search_space={"kernel_size": [3]})
    assert {work.continues for work in reconcile(fewer, stored).work} <= {1, 2, 3}
    assert len(reconcile(fewer, stored).work) == 2


def test_what_is_left_counts_replicates_combinations_and_seeds(plan, tmp_path):
    first, second, third = plan.trials
    stored = newest(
        impossible(plan),
        kept(first, 1, TrialState.COMPLETE, ended(0, 1)),
        kept(second, 2, TrialState.RUNNING, ended(0, 1)),
        kept(third, 3, TrialState.FAILED, ended(failed=[0])),
    )
    left = left_to_train(plan, stored, (0, 1))
    assert left.work == ((third, 2),)
    assert (left.finished, left.replicates, left.new, left.new_seeds) == (4, 2, 0, 0)
    grown = left_to_train(
        small_plan(tmp_path, search_space={"kernel_size": [3, 5, 7]}, seeds=[0, 1, 2]), stored, (0, 1)
    )
    assert (grown.finished, grown.new, grown.new_seeds) == (4, 2, 1)


RULE = {"rungs": [1], "keep": 0.33, "spare_ties": False}


def at_rung(value, epochs=1):
    """Return two replicates at a rung, with one value after every epoch."""
    curve = ((9.0, value),) * epochs
    return {seed: PausedReplicate(seed, value, epochs, 1.0, "w", curve) for seed in (0, 1)}


def stopped(trial, number, value):
    where = StoppedAt(1, 3, 3, value, 0.1)
    return TrialResult(number, trial.params, TrialState.STOPPED, paused=at_rung(value), stopped=where)


def running(trial, number, value):
    return TrialResult(number, trial.params, TrialState.RUNNING, paused=at_rung(value))


def test_what_a_rung_has_stopped_stays_stopped_and_what_it_kept_goes_on(tmp_path):
    plan = small_plan(tmp_path, stop_early=RULE)
    first, second, third = plan.trials
    stored = newest(impossible(plan), running(first, 1, 0.1), running(second, 2, 0.2), stopped(third, 3, 0.3))
    work = reconcile(plan, stored).work
    # A killed launch had written one of the two stops: the other trial is open, for the next one to write it.
    assert [(one.continues, one.missing, one.later) for one in work] == [(1, (0, 1), False), (2, (0, 1), False)]
    assert work[0].paused == at_rung(0.1)
    assert left_to_train(plan, stored, (0, 1)).stopped == 2


def test_without_the_rule_what_was_stopped_goes_on_from_a_new_trial(tmp_path):
    plan = small_plan(tmp_path)
    stored = newest(impossible(plan), *(stopped(t, n, 0.1 * n) for n, t in enumerate(plan.trials, 1)))
    work = reconcile(plan, stored).work
    assert [(one.supersedes, one.missing, one.later) for one in work] == [(n, (0, 1), False) for n in (1, 2, 3)]
    assert [one.paused for one in work] == [at_rung(0.1 * n) for n in (1, 2, 3)]


def test_what_was_stopped_waits_for_the_rung_when_that_is_open_again(tmp_path):
    plan = small_plan(tmp_path, stop_early=RULE)
    first, second, third = plan.trials
    stored = newest(impossible(plan), stopped(first, 1, 0.3), stopped(second, 2, 0.2))  # the third is a new combination
    work = reconcile(plan, stored).work
    assert [(one.trial, one.later) for one in work] == [(first, True), (second, True), (third, False)]


def test_a_seed_that_diverged_is_tried_again_only_where_nothing_is_stopped_by_comparison(tmp_path):
    for rule, missing in ((RULE, ()), (None, (1,))):
        plan = small_plan(tmp_path, stop_early=rule)
        first, *_ = plan.trials
        diverged = FailedReplicate(1, "not finite", DIVERGED, 1, 1.0, "w", ((9.0, 0.1),))
        trial = kept(first, 1, TrialState.FAILED, ended(0) | {1: diverged})
        found = [one.missing for one in reconcile(plan, newest(impossible(plan), trial)).work if one.trial == first]
        assert found == ([missing] if missing else [])


def test_a_complete_replicate_without_a_curve_counts_with_its_value_from_its_best_epoch_on():
    assert curve_of(CompleteReplicate(0, 0.5, 3, 5, 1.0, "w"))[2:] == (0.5,)
    assert all(map(math.isnan, curve_of(CompleteReplicate(0, 0.5, 3, 5, 1.0, "w"))[:2]))
