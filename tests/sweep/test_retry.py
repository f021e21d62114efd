"""A database that goes away and comes back, on an action that fails as often as it is told to."""

import pytest
from simulated_clock import SimulatedClock

from clustersweep.errors import StorageAwayError, StorageError, StudyLockedError
from clustersweep.sweep.events import StorageAway, StorageBack
from clustersweep.sweep.retry import RetryOnOutage
from clustersweep.sweep.timings import Timings

TIMINGS = Timings(outage_patience_s=600.0, try_every_s=2.0)


def lasting(told, stop=lambda: False, check_lock=lambda: None, clock=None):
    return RetryOnOutage(told.append, stop, check_lock, timings=TIMINGS, clock=clock or SimulatedClock())


def failing(times, error=StorageAwayError("no server listens")):  # noqa: B008
    left = [error] * times
    done = []

    def action(*given, **named):
        if left:
            raise left.pop()
        done.append((given, named))

    return action, done


def test_while_the_database_is_away_an_action_is_tried_again_and_both_ends_are_told():
    action, done = failing(3)
    told, asked = [], []
    waiting = lasting(told, check_lock=lambda: asked.append(1))
    waiting(action, 1, two=2)
    assert done == [((1,), {"two": 2})]
    assert told == [StorageAway("no server listens", 600.0), StorageBack(6.0)]
    assert waiting.waited_s == 6.0
    assert len(asked) == 3  # before each try but the first


def test_nothing_is_told_or_asked_while_the_database_answers():
    action, done = failing(0)
    told = []
    lasting(told, check_lock=lambda: told.append("asked"))(action)
    assert (len(done), told) == (1, [])


@pytest.mark.parametrize(("times", "ends"), [(301, False), (302, True)])
def test_a_database_that_stays_away_longer_than_sweeps_wait_ends_the_sweep(times, ends):
    action, done = failing(times)
    clock = SimulatedClock()
    if ends:
        with pytest.raises(StorageAwayError, match="no server listens"):
            lasting([], clock=clock)(action)
        assert (done, clock.now) == ([], 602.0)
    else:
        lasting([], clock=clock)(action)
        assert len(done) == 1


def test_one_who_is_asked_to_stop_waits_no_longer():
    action, _ = failing(3)
    with pytest.raises(StorageAwayError):
        lasting([], stop=lambda: True)(action)


def test_nothing_is_written_again_once_another_launch_has_the_study():
    action, done = failing(1)

    def taken():
        raise StudyLockedError("by another")

    with pytest.raises(StudyLockedError):
        lasting([], check_lock=taken)(action)
    assert done == []


def test_other_errors_of_the_database_are_not_waited_for():
    action, _ = failing(1, StorageError("deleted meanwhile"))
    told = []
    with pytest.raises(StorageError, match="deleted"):
        lasting(told)(action)
    assert told == []
