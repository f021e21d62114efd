"""A database that goes away and comes back, on an action that fails as often as it is told to."""

import pytest

from clustersweep.errors import StorageAwayError, StorageError, StudyLockedError
from clustersweep.sweep import retry as outage
from clustersweep.sweep.events import StorageAway, StorageBack


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(outage, "TRY_EVERY_S", 0.0)


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
    outage.Lasting(told.append, lambda: False, lambda: asked.append(1))(action, 1, two=2)
    assert done == [((1,), {"two": 2})]
    assert told[0] == StorageAway("no server listens", outage.PATIENCE_S)
    assert [type(notice) for notice in told] == [StorageAway, StorageBack]
    assert len(asked) == 3  # before each try but the first


def test_nothing_is_told_or_asked_while_the_database_answers():
    action, done = failing(0)
    told = []
    outage.Lasting(told.append, lambda: False, lambda: told.append("asked"))(action)
    assert (len(done), told) == (1, [])


def test_a_database_that_stays_away_ends_the_sweep(monkeypatch):
    monkeypatch.setattr(outage, "PATIENCE_S", -1.0)
    action, done = failing(3)
    with pytest.raises(StorageAwayError, match="no server listens"):
        outage.Lasting(lambda notice: None, lambda: False, lambda: None)(action)
    assert done == []


def test_one_who_is_asked_to_stop_waits_no_longer():
    action, _ = failing(3)
    with pytest.raises(StorageAwayError):
        outage.Lasting(lambda notice: None, lambda: True, lambda: None)(action)


def test_nothing_is_written_again_once_another_launch_has_the_study():
    action, done = failing(1)

    def taken():
        raise StudyLockedError("by another")

    with pytest.raises(StudyLockedError):
        outage.Lasting(lambda notice: None, lambda: False, taken)(action)
    assert done == []


def test_other_errors_of_the_database_are_not_waited_for():
    action, _ = failing(1, StorageError("deleted meanwhile"))
    told = []
    with pytest.raises(StorageError, match="deleted"):
        outage.Lasting(told.append, lambda: False, lambda: None)(action)
    assert told == []
