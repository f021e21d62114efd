"""The order of work, against the plain way to choose: look at everything."""

import random

from clustersweep.sweep.schedule import Backlog


def test_the_trial_with_the_most_work_comes_first_and_of_equals_the_first():
    backlog = Backlog([([0, 1], 1.0), ([0, 1, 2], 1.0), ([0, 1, 2], 1.0), ([], 9.0)])
    assert backlog.most_work() == 1
    assert [backlog.take(1), backlog.take(1)] == [0, 1]
    assert backlog.most_work() == 2
    assert backlog.seeds(1) == (2,)


def test_nothing_is_left_when_everything_is_taken_until_something_is_put_back():
    backlog = Backlog([([7], 1.0)])
    assert backlog
    assert backlog.take(0) == 7
    assert not backlog
    assert backlog.most_work() is None
    backlog.put_back(0, 7)
    assert backlog
    assert backlog.most_work() == 0


def test_what_is_put_back_comes_before_the_trials_other_seeds():
    backlog = Backlog([([0, 1, 2], 1.0)])
    taken = backlog.take(0)
    backlog.put_back(0, taken)
    assert backlog.seeds(0) == (0, 1, 2)


def test_whatever_is_taken_and_put_back_the_choice_is_that_of_looking_at_everything():
    rng = random.Random(0)
    costs = [rng.choice([1.0, 1.5, 2.0, 3.0]) for _ in range(30)]
    backlog = Backlog([(range(rng.randrange(4)), cost) for cost in costs])
    out = []
    for _ in range(2000):
        left = [trial for trial in range(30) if backlog.seeds(trial)]
        if left and rng.random() < 0.2:
            measured = rng.choice(left)
            costs[measured] = rng.uniform(0.5, 4.0)
            backlog.correct(measured, costs[measured])
        expected = max(left, key=lambda trial: len(backlog.seeds(trial)) * costs[trial], default=None)
        assert backlog.most_work() == expected
        assert bool(backlog) == (expected is not None)
        if out and (rng.random() < 0.5 or expected is None):
            backlog.put_back(*out.pop(rng.randrange(len(out))))
        elif expected is not None:
            trial = rng.choice(left)
            out.append((trial, backlog.take(trial)))


def test_a_worker_gets_more_of_what_it_has_compiled_while_there_is_enough_for_all():
    backlog = Backlog([([0, 1, 2], 10.0), ([0, 1, 2], 9.0), ([0, 1, 2], 8.0)])
    backlog.take(1)
    assert backlog.choose(None, 2, 0.1) == 0
    assert backlog.choose(1, 2, 0.1) == 1
    assert backlog.choose(1, 2, 0.0) == 1  # 72 are left, and two workers would take 60 at most


def test_at_the_end_the_largest_trial_is_spread_if_that_is_worth_compiling_it_again():
    backlog = Backlog([([0, 1, 2], 10.0), ([0], 2.0)])
    assert backlog.choose(1, 2, 1.0) == 0  # 28 ahead
    assert backlog.choose(1, 2, 10.0) == 1
    backlog.take(1)
    assert backlog.choose(1, 2, 10.0) == 0  # nothing else is left
    for _ in range(3):
        backlog.take(0)
    assert backlog.choose(1, 2, 0.0) is None


def test_a_measured_cost_changes_the_order():
    backlog = Backlog([([0], 1.0), ([0], 2.0)])
    backlog.correct(0, 3.0)
    assert backlog.most_work() == 0
