"""Errors with their intervals, and the bootstrap that gives these."""

import dataclasses
import math

import numpy as np
import pytest
from example_predictions import clusters, predictions

from clustersweep.training.evaluation.metrics import bootstrap, errors
from clustersweep.training.evaluation.results import Predictions


def test_a_robust_scatter_does_not_see_outliers() -> None:
    pulls = np.random.default_rng(2).normal(size=2_000)
    clean, spoilt = predictions(2_000, pulls), predictions(2_000, np.where(np.arange(2_000) % 100, pulls, 20.0))
    values = [errors(part, 1.0)(np.arange(2_000)) for part in (clean, spoilt)]
    assert values[1]["scatter"] == pytest.approx(values[0]["scatter"], rel=0.03)
    assert values[1]["rmse"] > 1.5 * values[0]["rmse"]


def test_nineteen_of_twenty_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(6)
    inside = 0
    for seed in range(200):
        drawn = rng.normal(0.5, 1.0, 100)
        mean = bootstrap(100, lambda rows, drawn=drawn: {"mean": drawn[rows].mean(axis=-1)}, seed=seed, resamples=200)
        inside += mean["mean"].low <= 0.5 <= mean["mean"].high
    assert inside / 200 == pytest.approx(0.94, abs=0.05)


def test_resamples_of_one_cluster_have_no_r2_and_do_not_spoil_its_interval() -> None:
    truth = dataclasses.replace(clusters(3), log_mass=np.array([13.9, 14.1, 14.3]))
    three = Predictions(truth, np.array([14.0, 14.1, 14.2]), np.full(3, 0.1))
    found = bootstrap(3, errors(three, 1.0), seed=1, resamples=500)["r2"]  # one in nine is degenerate
    assert found.value == pytest.approx(0.75)
    assert -10 < found.low < found.value <= found.high <= 1
    same = dataclasses.replace(three, clusters=dataclasses.replace(truth, log_mass=np.full(3, 14.1)))
    none = bootstrap(3, errors(same, 1.0), seed=1, resamples=50)["r2"]
    assert math.isnan(none.value)
    assert math.isnan(none.low)
    assert math.isnan(none.high)
