"""A trial and its replicates while they run: when a trial has ended, its value, its curve, and what a replicate is."""

import pytest
from arithmetic_task import tasks
from arithmetic_workers import arithmetic_plan

from clustersweep.storage.store import Storage
from clustersweep.study.events import Failed, Finished
from clustersweep.study.results import CompleteReplicate, FailedReplicate
from clustersweep.sweep.running import Job, RunningTrial

BROKEN = FailedReplicate(1, "broke", "RuntimeError", 0, 0.0, "worker")


def ended(seed, value, *val_losses):
    curve = tuple((2 * loss, loss) for loss in val_losses)
    return CompleteReplicate(seed, value, 1, len(curve), 1.0, "worker", curve)


@pytest.fixture
def plan(tmp_path):
    return arithmetic_plan(tmp_path)


@pytest.fixture
def trial(plan):
    """The first trial of the small study, of seeds 0 and 1."""
    return RunningTrial(0, Storage.in_memory(tasks).begin(plan)[0], {})


def test_a_trial_has_ended_when_every_seed_has(trial, plan):
    assert not trial.ended(plan.study)
    trial.results[0] = ended(0, 0.2)
    assert not trial.ended(plan.study)
    trial.results[1] = BROKEN
    assert trial.ended(plan.study)


def test_a_trials_value_is_the_objective_over_its_seeds_and_none_where_one_failed(trial, plan):
    trial.results |= {0: ended(0, 0.2), 1: ended(1, 0.4), 7: ended(7, 9.0)}  # a seed of an earlier study file
    assert trial.value(plan.study) == pytest.approx(0.3)
    trial.results[1] = BROKEN
    assert trial.value(plan.study) is None


def test_a_trials_curve_is_the_mean_over_the_seeds_that_got_so_far_running_ones_too(trial):
    assert trial.mean_curve() == {}
    trial.results[0] = ended(0, 0.2, 0.5, 0.25)
    assert trial.mean_curve({1: ((9.0, 1.0), (9.0, 0.75), (9.0, 0.5))}) == {1: 0.75, 2: 0.5, 3: 0.5}


def test_what_a_replicate_came_to_has_the_events_figures_and_the_host_and_a_failure_its_own_times(trial, plan):
    job = Job(trial, plan.replicate(trial.stored.trial, 1), [(0.5, 0.4)], True, "host:1", [1.5, 0.5])
    finished = Finished(0.1, 2, 3, 9.0, ((0.5, 0.4),), 1, b"weights", val_nll=-0.5)
    complete = job.complete(finished)
    assert (complete.seed, complete.value, complete.best_epoch, complete.epochs) == (1, 0.1, 2, 3)
    assert (complete.seconds, complete.worker, complete.resumed, complete.val_nll) == (9.0, "host:1", 1, -0.5)
    failed = job.failed(Failed("X", "broke", "a trace"))
    assert (failed.seed, failed.signature, failed.error) == (1, "X", "broke\na trace")
    assert (failed.epochs, failed.seconds, failed.worker, failed.curve) == (1, 2.0, "host:1", ((0.5, 0.4),))
