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
from example_predictions import TEST, TRAIN, VALIDATION, clusters, predictions

from clustersweep.report.model.tables import baselines_html
from clustersweep.training.evaluation.calibration import ONE_SIGMA, recalibration
from clustersweep.training.evaluation.evaluation import evaluate
from clustersweep.training.evaluation.results import Clusters, Predictions

FOUND = evaluate(TRAIN, VALIDATION, TEST, factor=recalibration(VALIDATION), resamples=200)


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
