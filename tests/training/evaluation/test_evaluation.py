"""What a trained model is worth: errors, baselines, intervals, and whether its uncertainties are honest."""

import dataclasses
import itertools
import json
import math
import re
import subprocess
import sys

import numpy as np
import pytest

from clustersweep.report.model.tables import baselines_html
from clustersweep.training.evaluation.calibration import (
    ONE_SIGMA,
    calibration,
    negative_log_likelihood,
    recalibration,
    recalibration_error,
)
from clustersweep.training.evaluation.evaluation import evaluate
from clustersweep.training.evaluation.metrics import bootstrap, errors
from clustersweep.training.evaluation.results import Clusters, Predictions


def clusters(number: int, seed: int = 1) -> Clusters:
    """Masses that follow redshift and counts, with 0.2 dex of their own."""
    rng = np.random.default_rng(seed)
    redshift, log_counts = rng.uniform(0.05, 1.0, number), rng.normal(2.5, 0.4, number)
    log_mass = 13.0 + 0.6 * redshift + 0.3 * log_counts + rng.normal(0, 0.2, number)
    # The centre's counts tell nothing more: they are those of the image with noise.
    return Clusters(log_mass, redshift, 10**log_counts, 10 ** (log_counts + rng.normal(-1, 0.2, number)))


def predictions(number: int, pulls: np.ndarray | None = None, *, claimed: float = 1.0, seed: int = 1) -> Predictions:
    """Predictions with these pulls; the standard deviations are claimed so many times too small."""
    rng = np.random.default_rng(seed + 100)
    truth, sd = clusters(number, seed), rng.uniform(0.05, 0.25, number)
    drawn = rng.normal(size=number) if pulls is None else pulls
    return Predictions(truth, truth.log_mass + drawn * sd, sd / claimed)


TRAIN, VALIDATION, TEST = clusters(3000, 7), predictions(800, seed=8), predictions(1000, seed=9)
FOUND = evaluate(TRAIN, VALIDATION, TEST, factor=recalibration(VALIDATION), resamples=200)


# ------------------------------------------------------------------------------------------------ recalibration


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


# ------------------------------------------------------------------------------------------------ calibration


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


# ------------------------------------------------------------------------------------------------ metrics


def test_the_metrics_are_those_of_their_definitions() -> None:
    error = TEST.predicted - TEST.clusters.log_mass
    found = FOUND.test
    assert found.number == 1_000
    assert found.mse.value == pytest.approx((error**2).mean())
    assert found.rmse.value == pytest.approx(math.sqrt((error**2).mean()))
    assert found.bias.value == pytest.approx(error.mean())
    assert found.scatter.value == pytest.approx(1.4826 * np.median(np.abs(error - np.median(error))))
    assert found.r2.value == pytest.approx(1 - (error**2).mean() / TEST.clusters.log_mass.var())
    assert found.nll.value == pytest.approx(FOUND.test_calibration.after.nll)
    assert found.coverage.value == FOUND.test_calibration.after.coverage[0].observed


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


def test_the_bootstrap_gives_the_same_intervals_again_and_in_any_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    again = evaluate(TRAIN, VALIDATION, TEST, factor=FOUND.factor, resamples=200)
    assert again == FOUND
    monkeypatch.setattr("clustersweep.training.evaluation.metrics._CHUNK", 30_000)
    assert evaluate(TRAIN, VALIDATION, TEST, factor=FOUND.factor, resamples=200) == FOUND
    other = evaluate(TRAIN, VALIDATION, TEST, factor=FOUND.factor, resamples=200, seed=1)
    assert other.test.rmse.value == FOUND.test.rmse.value
    assert other.test.rmse.low != FOUND.test.rmse.low


# ------------------------------------------------------------------------------------------------ bins


@pytest.mark.parametrize("name", ["by_mass", "by_predicted_mass", "by_redshift"])
def test_bins_hold_every_cluster_once_and_enough_of_them(name: str) -> None:
    bins = getattr(FOUND, name)
    assert len(bins) > 4
    assert sum(b.metrics.number for b in bins) == 1_000
    assert min(b.metrics.number for b in bins) >= 50
    assert all(left.high == right.low for left, right in itertools.pairwise(bins))
    width = 0.1 if name == "by_redshift" else 0.25
    assert [b.low / width for b in bins] == pytest.approx([round(b.low / width) for b in bins])


def test_a_bin_measures_the_clusters_between_its_edges() -> None:
    one = FOUND.by_redshift[2]
    inside = (TEST.clusters.redshift >= one.low) & (TEST.clusters.redshift < one.high)
    error = (TEST.predicted - TEST.clusters.log_mass)[inside]
    assert one.metrics.number == inside.sum()
    assert one.metrics.bias.value == pytest.approx(error.mean())
    assert one.metrics.rmse.low < one.metrics.rmse.value < one.metrics.rmse.high


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


def test_few_clusters_make_one_bin_and_still_an_evaluation() -> None:
    few = evaluate(clusters(8), predictions(4), predictions(3), factor=1.0, resamples=20)
    assert [b.metrics.number for b in few.by_mass] == [3]
    assert json.loads(json.dumps(few.to_json(), allow_nan=False))["test"]["number"] == 3


# ------------------------------------------------------------------------------------------------ baselines


def test_each_baseline_reaches_the_scatter_that_it_cannot_explain() -> None:
    rmse = {baseline.name: baseline.rmse for baseline in FOUND.baselines}
    assert list(rmse) == ["constant", "linear in z", "counts and z", "central counts, counts and z"]
    assert rmse["constant"].value == pytest.approx(
        np.sqrt(np.mean((TEST.clusters.log_mass - TRAIN.log_mass.mean()) ** 2))
    )
    assert rmse["linear in z"].value == pytest.approx(math.hypot(0.2, 0.3 * 0.4), rel=0.06)
    assert rmse["counts and z"].value == pytest.approx(0.2, rel=0.06)
    assert all(estimate.low < estimate.value < estimate.high for estimate in rmse.values())


def test_without_any_redshift_no_baseline_claims_one() -> None:
    """Not even by its name: a regression on missing redshifts is the constant, or that on counts alone."""
    nowhere = [dataclasses.replace(part, redshift=np.full(len(part.log_mass), np.nan))
               for part in (TRAIN, VALIDATION.clusters, TEST.clusters)]  # fmt: skip
    parts = [dataclasses.replace(one, clusters=part) for one, part in zip((VALIDATION, TEST), nowhere[1:], strict=True)]
    found = evaluate(nowhere[0], *parts, factor=1.0, resamples=50)
    assert [one.name for one in found.baselines] == ["constant", "counts", "central counts, counts"]
    assert found.baselines[1].rmse.value < found.baselines[0].rmse.value
    assert found.by_redshift == ()
    listed = re.sub(r"<[^>]+>", " ", baselines_html(found))
    assert "second-order polynomial in the logarithm of the whole image’s counts" in listed
    assert "redshift" not in listed


def test_the_second_order_regression_knows_squares_and_the_product() -> None:
    rng = np.random.default_rng(12)
    z, log_counts = rng.uniform(0, 1, 600), rng.uniform(1, 3, 600)
    mass = 14 + 0.3 * z**2 - 0.2 * log_counts**2 + 0.5 * z * log_counts
    exact = Clusters(mass, z, 10**log_counts, np.ones(600))
    noisy = Predictions(exact, mass + rng.normal(0, 0.1, 600), np.full(600, 0.1))
    found = evaluate(exact, noisy, noisy, factor=1.0, resamples=20)
    assert found.baselines[2].rmse.value == pytest.approx(0, abs=1e-9)
    assert found.gain.value == pytest.approx(-found.test.rmse.value)


def test_the_counts_of_the_centre_are_a_rival_too() -> None:
    rng = np.random.default_rng(14)
    z, centre, whole = rng.uniform(0, 1, 600), rng.uniform(1, 3, 600), rng.uniform(2, 4, 600)
    mass = 14 + 0.3 * z**2 + 0.4 * centre - 0.2 * centre * whole
    exact = Clusters(mass, z, 10**whole, 10**centre)
    noisy = Predictions(exact, mass + rng.normal(0, 0.1, 600), np.full(600, 0.1))
    found = evaluate(exact, noisy, noisy, factor=1.0, resamples=20)
    assert found.best_baseline == "central counts, counts and z"
    assert found.baselines[3].rmse.value == pytest.approx(0, abs=1e-9)
    assert found.baselines[2].rmse.value > 0.1


@pytest.mark.timeout(10)
def test_a_prediction_far_beyond_all_others_takes_no_bins_of_its_own() -> None:
    wild = dataclasses.replace(TEST, predicted=np.where(np.arange(1_000) == 7, 1e6, TEST.predicted))
    found = evaluate(TRAIN, VALIDATION, wild, factor=1.0, resamples=20).by_predicted_mass
    assert sum(b.metrics.number for b in found) == 1_000
    assert found[-1].low < 16
    assert found[-1].high == 1e6 + 0.25


def test_baselines_are_fitted_to_the_training_part_only() -> None:
    shifted = dataclasses.replace(TRAIN, log_mass=TRAIN.log_mass + 1)
    found = evaluate(shifted, VALIDATION, TEST, factor=1.0, resamples=20)
    assert found.baselines[2].rmse.value == pytest.approx(math.hypot(1, 0.2), rel=0.03)


def test_the_gain_is_the_paired_difference_to_the_best_baseline() -> None:
    best = next(b.rmse for b in FOUND.baselines if b.name == FOUND.best_baseline)
    assert best.value == min(b.rmse.value for b in FOUND.baselines)
    assert FOUND.gain.value == pytest.approx(best.value - FOUND.test.rmse.value)
    assert 0 < FOUND.gain.low < FOUND.gain.value < FOUND.gain.high


def test_a_model_that_is_the_baseline_gains_nothing_for_certain() -> None:
    constant = Predictions(TEST.clusters, np.full(1_000, TRAIN.log_mass.mean()), np.full(1_000, 0.3))
    same = dataclasses.replace(TRAIN, counts=np.full(3_000, 5.0), redshift=np.full(3_000, 0.2))
    found = evaluate(same, VALIDATION, constant, factor=1.0, resamples=50)
    assert (found.gain.low, found.gain.high) == pytest.approx((0, 0), abs=1e-12)  # the same resamples: no noise at all


@pytest.mark.parametrize("empty", ["train", "test", "both"])
def test_images_without_counts_do_not_break_the_regression(empty: str) -> None:
    none_in_ten = np.where(np.arange(3_000) % 10, TRAIN.counts, 0.0)
    train = dataclasses.replace(TRAIN, counts=none_in_ten if empty == "train" else np.zeros(3_000))
    test = (
        TEST
        if empty == "train"
        else dataclasses.replace(TEST, clusters=dataclasses.replace(TEST.clusters, counts=np.zeros(1_000)))
    )
    found = evaluate(TRAIN if empty == "test" else train, VALIDATION, test, factor=1.0, resamples=20)
    assert all(0.1 < baseline.rmse.value < 1.0 for baseline in found.baselines)


# ------------------------------------------------------------------------------------------------ whole


def test_the_optimism_of_the_validation_part_has_an_interval() -> None:
    assert FOUND.optimism.value == pytest.approx(FOUND.test.mse.value - FOUND.validation.mse.value)
    squares = [(p.predicted - p.clusters.log_mass) ** 2 for p in (VALIDATION, TEST)]
    error = math.sqrt(sum(s.var() / len(s) for s in squares))
    assert FOUND.optimism.high - FOUND.optimism.low == pytest.approx(2 * 1.96 * error)


def test_both_parts_are_measured_before_and_after_recalibration() -> None:
    assert FOUND.test_calibration.before.factor == FOUND.validation_calibration.before.factor == 1.0
    assert FOUND.test_calibration.after.factor == FOUND.validation_calibration.after.factor == FOUND.factor
    assert FOUND.validation_calibration.after.coverage[0].observed == pytest.approx(ONE_SIGMA, abs=1 / 800)


def test_everything_becomes_json_and_what_is_not_a_number_null() -> None:
    strange = dataclasses.replace(FOUND, gain=dataclasses.replace(FOUND.gain, value=math.nan, high=math.inf))
    text = json.dumps(strange.to_json(), allow_nan=False)
    back = json.loads(text)
    assert back["gain"] == {"value": None, "low": FOUND.gain.low, "high": None}
    assert back["test"]["rmse"]["value"] == FOUND.test.rmse.value
    assert back["by_mass"][0]["metrics"]["number"] == FOUND.by_mass[0].metrics.number
    assert back["test_calibration"]["after"]["coverage"][0]["sigma"] == 1


def test_evaluating_needs_no_tensorflow() -> None:
    code = "import sys, clustersweep.training.evaluation.evaluation; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
