"""The order of work, against the plain way to choose: look at everything."""

import random

from clustersweep.backlog import Backlog


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
        expected = max(left, key=lambda trial: len(backlog.seeds(trial)) * costs[trial], default=None)
        assert backlog.most_work() == expected
        assert bool(backlog) == (expected is not None)
        if out and (rng.random() < 0.5 or expected is None):
            backlog.put_back(*out.pop(rng.randrange(len(out))))
        elif expected is not None:
            trial = rng.choice(left)
            out.append((trial, backlog.take(trial)))
