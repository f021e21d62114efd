"""What a model's report says in words, and when it says so."""

import dataclasses
import math

import numpy as np
import pytest
from example_training import example_page

from clustersweep.report.model.stages import outlier_panels
from clustersweep.report.model.text import calibration_text, caveats, gain_text, margin, outlier_text
from clustersweep.training.evaluation.calibration import recalibration_error
from clustersweep.training.evaluation.metrics import Estimate

PAGE = example_page(resamples=100)
EVALUATION, STAGES = PAGE.evaluation, PAGE.stages


def changed(**changes: object) -> object:
    return dataclasses.replace(EVALUATION, **changes)  # type: ignore[arg-type]


def test_the_gain_is_said_to_be_one_only_where_its_interval_is_above_zero() -> None:
    better, same, hardly, worse = (
        gain_text(changed(gain=Estimate(value, value - 0.01, value + 0.01)))  # type: ignore[arg-type]
        for value in (0.03, 0.005, -0.005, -0.02)
    )
    assert "“central counts, counts and z” with an RMSE of 0.184 dex" in better
    assert "The model is better by 0.030 dex (95%: 0.020 to 0.040)" in better
    assert "The model cannot be told from it: the difference is +0.005 dex (95%: −0.005 to +0.015)" in same
    assert "The model cannot be told from it" in hardly
    assert "The model is worse by 0.020 dex" in worse


def with_coverage(one: float, two: float) -> object:
    calibrations = EVALUATION.test_calibration
    found = (dataclasses.replace(c, observed=o) for c, o in zip(calibrations.after.coverage, (one, two), strict=True))
    after = dataclasses.replace(calibrations.after, coverage=tuple(found))
    return changed(test_calibration=dataclasses.replace(calibrations, after=after))


@pytest.mark.parametrize(
    ("one", "two", "judged", "tails"),
    [
        (0.690, 0.955, "The uncertainties are honest as far as these clusters can tell", "as a Gaussian has."),
        (0.630, 0.930, "The uncertainties are too narrow", "less than a Gaussian has: the tails are heavier"),
        (0.730, 0.975, "The uncertainties are too wide", "more than a Gaussian has."),
    ],
)
def test_the_uncertainties_are_judged_by_their_coverage(one: float, two: float, judged: str, tails: str) -> None:
    words = calibration_text(with_coverage(one, two))  # type: ignore[arg-type]
    assert judged in words
    assert tails in words
    assert f"{one:.1%} of the truths lie within 1σ, where 68.3% are expected" in words
    assert "expected to be a little too small, as the validation part also chose the epochs" in words


def test_the_margin_of_a_coverage_knows_the_test_part_and_the_fit_of_the_factor() -> None:
    one, two = EVALUATION.test_calibration.after.coverage
    assert margin(one, 1271) == pytest.approx(2 * math.hypot(one.error, recalibration_error(1271)))
    # Measured: factors fitted to 400 Gaussian pulls, judged on as many new ones.
    rng = np.random.default_rng(1)
    factors = np.quantile(np.abs(rng.normal(size=(4_000, 400))), one.nominal, axis=1)
    inside = (np.abs(rng.normal(size=(4_000, 400))) <= 2 * factors[:, None]).mean(axis=1)
    small = dataclasses.replace(two, error=math.sqrt(two.nominal * (1 - two.nominal) / 400))
    assert margin(small, 400) == pytest.approx(2 * inside.std(), rel=0.05)


def test_the_page_names_what_to_distrust() -> None:
    named = dict(caveats(EVALUATION, STAGES))
    chosen = "it chose the epoch of every stage, the outlier regions, whether their retraining was kept and the"
    assert chosen in named["Numbers of the validation part:"]
    assert "within chance" in named["Numbers of the validation part:"]
    assert "too heavy on average" in named["Single masses at the ends:"]
    assert "chose nothing" in named["The test part, once it is used again:"]
    assert "standard deviation of 0.0" in named["Intervals as the whole truth:"]
    plain = dict(caveats(EVALUATION, STAGES[:1]))
    assert "it chose the epoch of every stage and the recalibration." in plain["Numbers of the validation part:"]
    assert "With one seed nothing is known" in plain["Intervals as the whole truth:"]


def test_an_optimism_beyond_chance_is_called_so() -> None:
    named = dict(caveats(changed(optimism=Estimate(0.01, 0.005, 0.015)), STAGES))  # type: ignore[arg-type]
    assert "+0.0100 (95%: +0.0050 to +0.0150), more than chance" in named["Numbers of the validation part:"]


def test_bins_with_a_coverage_beyond_chance_are_named() -> None:
    first = EVALUATION.by_redshift[0]
    metrics = dataclasses.replace(first.metrics, coverage=Estimate(0.5, 0.45, 0.55))
    bins = (dataclasses.replace(first, metrics=metrics), *EVALUATION.by_redshift[1:])
    named = dict(caveats(changed(by_redshift=bins), STAGES))  # type: ignore[arg-type]
    found = named["Uncertainties by redshift:"]
    assert f"of {len(bins)} bins the coverage of 1σ differs from 68.3%" in found
    assert "furthest off: 50% from 0.00 to 0.10" in found


def test_the_page_says_whether_retraining_on_outliers_helped() -> None:
    words = outlier_text(outlier_panels(STAGES))
    assert "The retraining was kept for 2 of 3 seeds" in words
    assert "by −10.0% inside the outlier regions, +2.3% outside and −0.7% over all." in words
