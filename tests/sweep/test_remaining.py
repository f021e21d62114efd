"""The time that is left: derived from what every replicate still has to train, whatever happened before."""

import pytest
from small_study import small_plan

from clustersweep.study.events import EpochEnd
from clustersweep.study.results import CompleteReplicate, StoppedAt
from clustersweep.study.stopping import expected_epochs
from clustersweep.sweep.events import EpochDone, ReplicateBegan, ReplicateDone, TrialStopped, WorkerLost
from clustersweep.sweep.remaining import Remaining

EPOCHS = 10


@pytest.fixture
def plan(tmp_path):
    return small_plan(tmp_path, training={"epochs": EPOCHS, "patience": EPOCHS})


@pytest.fixture
def left(plan):
    """Give what is left of two seeds of the first trial of a plan, an epoch of which costs two seconds."""
    return Remaining([(plan.trials[0], [0, 1])], lambda trial: 2.0)


def began(replicate, epoch=0):
    return ReplicateBegan("w", replicate, epoch, "h", 1)


def epochs(replicate, first, last):
    return [EpochDone("w", replicate, EpochEnd(epoch, 0.5, 0.5, 1.0)) for epoch in range(first, last + 1)]


def ended(replicate, after):
    return ReplicateDone("w", replicate, CompleteReplicate(0, 0.5, 1, after, 1.0, "h:1"))


def told(left, *events):
    for one in events:
        left.on_event(one)
    return left.left_s


def test_everything_is_left_at_first_and_nothing_at_the_end(plan, left):
    assert left.left_s == 40.0
    assert left.after(1.0) is None  # nothing tells yet
    for seed in (0, 1):
        replicate = plan.replicate(plan.trials[0], seed)
        told(left, began(replicate), *epochs(replicate, 1, EPOCHS), ended(replicate, EPOCHS))
    assert left.left_s == pytest.approx(0)
    assert left.after(1.0) is None


def test_epochs_that_a_checkpoint_spares_are_not_left(plan, left):
    replicate = plan.replicate(plan.trials[0], 0)
    assert told(left, began(replicate, 7)) == pytest.approx(2.0 * (3 + 10))
    assert told(left, *epochs(replicate, 8, 10), ended(replicate, 10)) == pytest.approx(2.0 * 10)


def test_epochs_that_a_lost_worker_took_with_it_are_left_again_and_count_once(plan, left):
    replicate = plan.replicate(plan.trials[0], 0)
    assert told(left, began(replicate), *epochs(replicate, 1, 6)) == pytest.approx(2.0 * (4 + 10))
    lost = WorkerLost("w", replicate, "killed", again=True)
    assert told(left, lost, began(replicate, 2)) == pytest.approx(2.0 * (8 + 10))
    assert told(left, *epochs(replicate, 3, 10), ended(replicate, 10)) == pytest.approx(2.0 * 10)


def test_a_checkpoint_that_its_worker_cannot_use_leaves_everything(plan, left):
    replicate = plan.replicate(plan.trials[0], 0)
    assert told(left, began(replicate, 7), *epochs(replicate, 1, 1)) == pytest.approx(2.0 * (9 + 10))


@pytest.mark.parametrize("after", [0, 4])
def test_nothing_is_left_of_a_replicate_that_stopped_early_or_failed(plan, left, after):
    replicate = plan.replicate(plan.trials[0], 0)
    assert told(left, began(replicate), *epochs(replicate, 1, after), ended(replicate, after)) == pytest.approx(20.0)
    assert left.epochs(replicate.trial.params, 0) == 0
    assert left.epochs(replicate.trial.params, 1) == EPOCHS


def test_the_seconds_that_are_left_are_as_many_as_the_work_took_until_now_in_proportion(plan, left):
    replicate = plan.replicate(plan.trials[0], 0)
    told(left, began(replicate, 5), *epochs(replicate, 6, 7))  # 4 of 4 + 6 + 20 that were left when it began
    assert left.after(8.0) == pytest.approx(8.0 * 26 / 4)


def test_a_trial_is_compiled_once_for_all_its_seeds(plan):
    left = Remaining([(plan.trials[0], [0, 1]), (plan.trials[1], [0])], lambda trial: 2.0, lambda trial: 5.0)
    first, second = (plan.replicate(plan.trials[0], seed) for seed in (0, 1))
    assert left.left_s == pytest.approx(3 * 20 + 2 * 5)
    assert told(left, began(first)) == pytest.approx(3 * 20 + 2 * 5)
    assert told(left, *epochs(first, 1, 1)) == pytest.approx(3 * 20 - 2 + 5)
    assert told(left, began(second), *epochs(second, 1, 1)) == pytest.approx(3 * 20 - 4 + 5)
    assert left.after(9.0) == pytest.approx(left.left_s)  # 2 epochs and a compilation took 9 s, as was estimated


def test_replicates_that_did_not_say_how_many_epochs_they_have_count_when_they_end(tmp_path):
    plan = small_plan(tmp_path, training={"epochs": 1, "patience": 1})
    left = Remaining([(plan.trials[0], [0, 1, 2])], lambda trial: 2.0)
    first, second = (plan.replicate(plan.trials[0], seed) for seed in (0, 1))
    assert told(left, began(first), *epochs(first, 1, 40)) == pytest.approx(6.0)
    assert left.after(1.0) is None
    assert told(left, ended(first, 40), began(second, 20), *epochs(second, 21, 30)) == pytest.approx(4.0)
    assert left.after(10.0) == pytest.approx(20.0)


def test_of_what_a_rung_stops_nothing_is_left(plan):
    def ahead(most, done):
        return expected_epochs((2,), 0.5, most, done)

    left = Remaining([(plan.trials[0], [0, 1])], lambda trial: 2.0, ahead=ahead)
    assert left.left_s == 2 * 2.0 * (2 + 0.5 * 8)
    replicate = plan.replicate(plan.trials[0], 0)
    assert told(left, began(replicate), *epochs(replicate, 1, 2)) == pytest.approx(2.0 * (0.5 * 8 + 2 + 0.5 * 8))
    assert told(left, TrialStopped(1, replicate, StoppedAt(2, 3, 3, 0.5, 0.1))) == pytest.approx(0)
