"""What the noise of the seeds can tell apart, and what it cannot."""

import math

import numpy as np
import pytest

from clustersweep.ranking import indistinguishable, margin_of, standard_error, typical_spread
from clustersweep.trial import ReplicateResult, TrialResult


def replicate(seed, value):
    return ReplicateResult(seed, "complete", value, 1, 1, 1.0, "worker")


def test_what_the_noise_of_the_seeds_cannot_tell_from_a_trial_lies_within_two_standard_errors_of_it():
    trials = [
        TrialResult(number, {}, "complete", value, {0: replicate(0, value - 0.1), 1: replicate(1, value + 0.1)})
        for number, value in enumerate([1.0, 1.1, 1.35, 1.7])
    ]
    noise = typical_spread(trials)
    # The median of a variance with one degree of freedom is (1 - 2/9)^3 of the true one.
    assert noise == pytest.approx(math.sqrt(0.02 / (7 / 9) ** 3))
    margin = margin_of(trials[1], noise, "mean")
    assert margin == pytest.approx(2 * noise)
    margin = 0.3
    assert [t.number for t in indistinguishable(trials, trials[0], margin)] == [1]
    assert [t.number for t in indistinguishable(trials, trials[1], margin)] == [0, 2]
    assert [t.number for t in indistinguishable(trials, trials[3], margin)] == []


def test_one_seed_ties_with_nothing():
    trials = [TrialResult(number, {}, "complete", 1.0, {0: replicate(0, 1.0)}) for number in range(2)]
    margin = margin_of(trials[0], typical_spread(trials), "mean")
    assert math.isnan(margin)
    assert indistinguishable(trials, trials[0], margin) == ()


@pytest.mark.parametrize("over_seeds", ["mean", "median", "min", "max"])
@pytest.mark.parametrize("seeds", range(2, 11))
def test_of_equal_trials_one_in_twenty_is_called_different_however_the_seeds_become_one_value(over_seeds, seeds):
    noise = np.random.default_rng(seeds).normal(size=(2, 100_000, seeds))
    first, second = getattr(np, over_seeds)(noise, axis=-1)
    trial = TrialResult(0, {}, "complete", 0.0, {seed: replicate(seed, 0.0) for seed in range(seeds)})
    different = (abs(first - second) > margin_of(trial, 1.0, over_seeds)).mean()
    assert 0.042 < different < 0.050


@pytest.mark.parametrize("over_seeds", ["mean", "median", "min", "max"])
@pytest.mark.parametrize("seeds", [1, 21, 30, 100, 301])
def test_the_standard_error_is_right_for_one_seed_and_for_many(over_seeds, seeds):
    found = getattr(np, over_seeds)(np.random.default_rng(seeds).normal(size=(30_000, seeds)), axis=1).std()
    assert standard_error(over_seeds, seeds) == pytest.approx(found, rel=0.02)


def test_the_standard_errors_of_small_samples_are_those_of_the_tables():
    # Variances of normal order statistics: Sarhan & Greenberg (1962), Contributions to Order Statistics, table 10C.1.
    assert standard_error("min", 2) ** 2 == pytest.approx(1 - 1 / math.pi)
    assert standard_error("max", 3) ** 2 == pytest.approx(0.55946720, abs=1e-7)
    assert standard_error("median", 3) ** 2 == pytest.approx(0.44867112, abs=1e-7)
    assert standard_error("median", 2) ** 2 == pytest.approx(0.5)
    assert standard_error("min", 5) ** 2 == pytest.approx(0.44753407, abs=1e-7)
    assert standard_error("median", 5) ** 2 == pytest.approx(0.28683366, abs=1e-7)
