"""Whether standard deviations are honest is found out, and mended by one factor."""

import dataclasses
import math

import numpy as np
import pytest
from example_predictions import TEST, predictions

from clustersweep.training.evaluation.calibration import (
    ONE_SIGMA,
    calibration,
    negative_log_likelihood,
    recalibration,
    recalibration_error,
)
from clustersweep.training.evaluation.results import Clusters, Predictions


def test_recalibration_recovers_how_much_too_small_the_standard_deviations_are() -> None:
    # The error of a quantile of Gaussian pulls: that of the coverage over the density there.
    tolerance = 3 * recalibration_error(20_000) / 0.484
    assert recalibration(predictions(20_000, claimed=1.7)) == pytest.approx(1.7, rel=tolerance)


def test_recalibration_brings_new_clusters_to_the_nominal_coverage_even_with_heavy_tails() -> None:
    rng = np.random.default_rng(4)
    fitted, fresh = rng.standard_t(3, 1_270), rng.standard_t(3, 200_000)
    factor = recalibration(predictions(1_270, fitted))
    assert (np.abs(fresh) <= factor).mean() == pytest.approx(ONE_SIGMA, abs=3 * recalibration_error(1_270))
    root_mean_square = math.sqrt((fitted**2).mean())
    assert (np.abs(fresh) <= root_mean_square).mean() > ONE_SIGMA + 0.05  # why it is not that


def test_the_expected_coverage_is_exact_however_few_the_clusters_are() -> None:
    rng = np.random.default_rng(5)
    covered = [math.erf(recalibration(predictions(20, rng.normal(size=20))) / math.sqrt(2)) for _ in range(2_000)]
    assert np.mean(covered) == pytest.approx(ONE_SIGMA, abs=0.007)
    assert np.std(covered) == pytest.approx(recalibration_error(20), rel=0.1)


def test_the_coverage_of_a_fit_to_the_usual_validation_part_is_known_to_one_and_a_third_percent() -> None:
    assert recalibration_error(1_272) == pytest.approx(0.01304, abs=1e-5)


def test_honest_gaussian_uncertainties_are_found_honest() -> None:
    found = calibration(predictions(40_000), 1.0)
    for coverage, nominal in zip(found.coverage, (0.6827, 0.9545), strict=True):
        assert coverage.nominal == pytest.approx(nominal, abs=5e-5)
        assert coverage.error == pytest.approx(math.sqrt(nominal * (1 - nominal) / 40_000), rel=1e-3)
        assert abs(coverage.observed - coverage.nominal) < 3.5 * coverage.error
    assert abs(found.pull_mean) < 3.5 * found.pull_mean_error
    assert found.pull_width == pytest.approx(1, abs=0.02)
    assert found.pull_core_width == pytest.approx(1, abs=0.02)
    assert found.observed == pytest.approx(found.nominal, abs=0.01)
    assert all(abs(b.rmse - b.sd) < 3.5 * b.rmse_error for b in found.spread)


def test_a_factor_widens_every_interval_and_narrows_every_pull() -> None:
    small = predictions(5_000, claimed=2.0)
    before, after = calibration(small, 1.0), calibration(small, 2.0)
    assert before.coverage[0].observed == pytest.approx(math.erf(0.5 / math.sqrt(2)), abs=0.025)
    assert after.coverage[0].observed == pytest.approx(ONE_SIGMA, abs=0.025)
    assert before.pull_width == pytest.approx(2 * after.pull_width)
    assert [b.sd for b in after.spread] == pytest.approx([2 * b.sd for b in before.spread])
    assert [b.rmse for b in after.spread] == [b.rmse for b in before.spread]
    assert after.nll < before.nll


def test_outliers_widen_the_pulls_but_not_their_core() -> None:
    rng = np.random.default_rng(3)
    pulls = rng.normal(size=5_000) * np.where(rng.random(5_000) < 0.02, 5, 1)
    found = calibration(predictions(5_000, pulls), 1.0)
    assert found.pull_width > 1.15
    assert found.pull_core_width == pytest.approx(1, abs=0.05)
    assert found.pulls_beyond == (np.abs(pulls) > 5).sum() > 0
    assert sum(found.pull_clusters) + found.pulls_beyond == 5_000


def test_error_is_compared_with_uncertainty_from_the_most_to_the_least_certain() -> None:
    found = calibration(predictions(1_000), 1.0)
    assert [b.number for b in found.spread] == [100] * 10
    assert [b.sd for b in found.spread] == sorted(b.sd for b in found.spread)


def test_one_uncertainty_for_all_makes_one_bin() -> None:
    same = dataclasses.replace(TEST, sd=np.full(1_000, 0.2))
    assert [b.number for b in calibration(same, 1.0).spread] == [1_000]


def test_the_likelihood_is_that_of_a_gaussian() -> None:
    one = Predictions(
        Clusters(np.array([14.0]), np.array([0.3]), np.array([9.0]), np.array([4.0])), np.array([14.3]), np.array([0.1])
    )
    sigma = 0.2
    density = math.exp(-0.5 * (0.3 / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))
    assert negative_log_likelihood(one, 2.0) == pytest.approx([-math.log(density)])
