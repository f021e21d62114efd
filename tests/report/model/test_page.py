"""The page of a trained model: figure data, words and tables, and what the browser makes of them."""

import dataclasses
import io
import math
import os
import re
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
from example_training import example_clusters, example_page, example_predictions
from mode_bar import covered_words
from playwright.sync_api import Browser
from rich.console import Console

from clustersweep.display.training_progress import print_training
from clustersweep.errors import StorageError
from clustersweep.report.model.calibration_figures import reliability_figure, uncertainty_figure
from clustersweep.report.model.mass_figures import parity_figure, residual_figure
from clustersweep.report.model.masses import parity, residuals
from clustersweep.report.model.page import training_figures, training_page, write_training_page
from clustersweep.report.model.stage_figures import outlier_figure, stage_figure
from clustersweep.report.model.stages import before, final, outlier_panels, stage_panels
from clustersweep.report.model.tables import outliers_html, published_html, stages_html
from clustersweep.report.model.text import calibration_text, caveats, gain_text, margin, outlier_text, verdict_html
from clustersweep.report.png import find_browser, write_pngs
from clustersweep.training.evaluation.calibration import recalibration_error
from clustersweep.training.evaluation.evaluation import evaluate
from clustersweep.training.evaluation.metrics import Estimate
from clustersweep.training.evaluation.results import StageResult
from clustersweep.words import counted

PAGE = example_page(resamples=100)
EVALUATION, TEST, STAGES = PAGE.evaluation, PAGE.test, PAGE.stages
NAMES = ["masses", "residuals", "reliability", "uncertainty", "curves", "outliers"]


def stage(name: str, seed: int = 0, *, kept: bool = True, loss: float = 0.05, nll: float | None = None) -> StageResult:
    """Give a stage of two epochs."""
    return StageResult(
        name, seed, kept, loss, nll, 2, 2, 3.0, ((0.2, 0.1), (0.04, loss)),  # type: ignore[arg-type]
        () if nll is None else ((0.3, 0.4), (0.1, nll)),
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------ masses


def test_the_parity_plot_shows_every_cluster_of_a_small_test_part_and_counts_all() -> None:
    plot = parity(TEST, EVALUATION)
    assert len(plot.true) == plot.total == plot.density.sum() == 1590
    assert sorted(plot.true) == sorted(TEST.clusters.log_mass)
    assert plot.sd.max() == pytest.approx(EVALUATION.factor * TEST.sd.max())
    assert plot.rmse == EVALUATION.test.rmse


def test_a_large_test_part_is_thinned_by_true_mass_and_its_density_is_not() -> None:
    test = example_predictions(9_000, 5)
    found = evaluate(example_clusters(500, 1), example_predictions(500, 2), test, factor=1.0, resamples=10)
    plot = parity(test, found)
    assert (len(plot.true), plot.total, plot.density.sum()) == (4_000, 9_000, 9_000)
    assert np.median(plot.true) == pytest.approx(np.median(test.clusters.log_mass), abs=0.01)
    assert all(len(panel.x) == 4_000 for panel in residuals(test, found))


def test_error_bars_are_of_clusters_spread_over_the_true_mass() -> None:
    plot = parity(TEST, EVALUATION)
    chosen = plot.true[plot.with_bars]
    assert 30 <= len(chosen) <= 40
    assert (chosen.min(), chosen.max()) == (plot.true.min(), plot.true.max())
    assert np.diff(chosen).max() < 0.25


def test_the_band_holds_the_middle_two_thirds_of_the_predictions_in_each_bin() -> None:
    plot = parity(TEST, EVALUATION)
    assert [point.number for point in plot.band] == [b.metrics.number for b in EVALUATION.by_mass]
    for point, found in zip(plot.band, EVALUATION.by_mass, strict=True):
        inside = (TEST.clusters.log_mass >= found.low) & (TEST.clusters.log_mass < found.high)
        assert found.low <= point.x < found.high
        assert point.median == pytest.approx(np.median(TEST.predicted[inside]))
        share = ((TEST.predicted[inside] >= point.low) & (TEST.predicted[inside] <= point.high)).mean()
        assert share == pytest.approx(0.683, abs=0.03)


def test_masses_are_drawn_in_solar_masses_on_equal_logarithmic_axes() -> None:
    plot = parity(TEST, EVALUATION)
    drawn = parity_figure(plot)
    points = drawn.data[0]
    assert points.x == pytest.approx(10**plot.true)
    assert points.y == pytest.approx(10**plot.predicted)
    bars = drawn.data[1]
    rows = plot.with_bars
    assert bars.y + bars.error_y.array == pytest.approx(10 ** (plot.predicted[rows] + plot.sd[rows]))
    assert bars.y - bars.error_y.arrayminus == pytest.approx(10 ** (plot.predicted[rows] - plot.sd[rows]))
    assert drawn.layout.xaxis.type == drawn.layout.yaxis2.type == "log"
    assert drawn.layout.xaxis.range == drawn.layout.yaxis.range
    assert drawn.layout.yaxis.scaleanchor == "x"
    assert f"RMSE {plot.rmse.value:.3f} dex" in drawn.layout.annotations[0].text


def test_residuals_are_shown_against_three_quantities_with_their_bins() -> None:
    panels = residuals(TEST, EVALUATION)
    assert [panel.quantity for panel in panels] == ["true", "predicted", "redshift"]
    error = TEST.predicted - TEST.clusters.log_mass
    by_redshift = panels[2]
    order = np.argsort(TEST.clusters.redshift, kind="stable")
    assert by_redshift.x == pytest.approx(TEST.clusters.redshift[order])
    assert by_redshift.residual == pytest.approx(np.clip(error[order], -by_redshift.limit, by_redshift.limit))
    found = by_redshift.bins[0]
    inside = TEST.clusters.redshift < found.high
    assert found.bias == pytest.approx(error[inside].mean())
    assert found.scatter == pytest.approx(error[inside].std())
    assert found.x == np.median(TEST.clusters.redshift[inside])
    assert found.baseline_rmse == EVALUATION.by_redshift[0].baseline_rmse.value


def test_a_wild_error_is_drawn_at_the_edge_and_counted() -> None:
    wild = dataclasses.replace(TEST, predicted=np.where(np.arange(1590) == 7, 20.0, TEST.predicted))
    panel = residuals(wild, EVALUATION)[0]
    assert panel.beyond == residuals(TEST, EVALUATION)[0].beyond + 1
    assert parity(wild, EVALUATION).beyond == 1
    assert panel.residual.max() == panel.limit == pytest.approx(4.5 * EVALUATION.test.rmse.value)


def test_the_baseline_is_drawn_as_steps_on_both_sides_of_zero() -> None:
    panels = residuals(TEST, EVALUATION)
    drawn = residual_figure(panels, "counts and z")
    steps = [trace for trace in drawn.data if trace.line.dash == "dash" and trace.xaxis == "x"]
    assert len(steps) == 2
    assert steps[0].y[:2] == (panels[0].bins[0].baseline_rmse,) * 2
    assert steps[1].y == tuple(-value for value in steps[0].y)
    assert steps[0].name == "± RMSE of the baseline “counts and z”"


def test_one_uncertainty_for_all_is_one_narrow_bar_and_many_are_all_counted() -> None:
    spread, same = (
        uncertainty_figure(EVALUATION.test_calibration, sd).data[-1] for sd in (TEST.sd, np.full(1590, 0.2))
    )
    assert (sum(spread.y), sum(same.y), max(same.y)) == (1590, 1590, 1590)
    assert same.width[0] == pytest.approx(0.001)


def test_the_reliability_figure_shows_coverages_their_differences_and_densities() -> None:
    test = EVALUATION.test_calibration
    drawn = {(trace.name, trace.xaxis): trace for trace in reliability_figure(EVALUATION).data}
    after = drawn["after recalibration", None]
    assert after.y == (0.0, *test.after.observed, 1.0)
    differences = drawn["after recalibration", "x2"].y
    assert differences[1] == pytest.approx(100 * (test.after.observed[0] - 0.05))
    assert drawn["validation part, after", None].y[1:-1] == EVALUATION.validation_calibration.after.observed
    bars = next(trace for trace in reliability_figure(EVALUATION).data if trace.type == "bar")
    assert sum(bars.y) * 0.25 == pytest.approx(1 - test.after.pulls_beyond / 1590)
    assert sum(drawn["unit Gaussian", "x3"].y) * 0.05 == pytest.approx(1, abs=1e-3)


# ------------------------------------------------------------------------------------------------ stages


def test_every_stage_has_a_panel_of_losses_and_those_with_a_variance_one_of_likelihoods() -> None:
    panels = stage_panels(STAGES)
    names = ["base", "outliers", "probabilistic", "fine_tune"]
    assert [(p.stage, p.measure) for p in panels] == [(n, "mse") for n in names] + [(n, "nll") for n in names[2:]]
    assert all([curve.seed for curve in panel.curves] == [0, 1, 2] for panel in panels)
    curve, result = panels[1].curves[1], next(r for r in STAGES if r.stage == "outliers" and r.seed == 1)
    assert not curve.kept
    assert curve.validation == tuple(pair[1] for pair in result.curve)
    assert curve.validation[curve.best_epoch - 1] == result.val_loss


def test_a_stage_sets_out_from_the_last_one_that_was_kept() -> None:
    stages = (stage("base", loss=0.05), stage("outliers", kept=False, loss=0.06), stage("base", 1, loss=0.9),
              stage("probabilistic", loss=0.055, nll=-0.1), stage("fine_tune", loss=0.04, nll=-0.2))  # fmt: skip
    assert [before(s, stages) for s in stages] == [None, 0.05, None, 0.05, 0.055]
    assert [before(s, stages, "nll") for s in stages] == [None, None, None, None, -0.1]
    stages += (stage("outliers", 1, kept=False),)
    assert [(s.seed, s.stage) for s in final(stages)] == [(0, "fine_tune"), (1, "base")]


def test_a_rejected_stage_is_drawn_dashed_and_named() -> None:
    drawn = stage_figure(stage_panels(STAGES))
    dashed = [trace for trace in drawn.data if trace.line.dash == "dash" and len(trace.x) > 1]
    assert len(dashed) == 1
    assert "seed 1" in dashed[0].hovertemplate
    titles = [annotation.text for annotation in drawn.layout.annotations]
    assert [("not kept: seed 1" in title) for title in titles] == [False, True, False, False, False, False]
    assert "validation, not kept" in [trace.name for trace in drawn.data]


def test_each_curve_marks_its_best_epoch_and_what_it_set_out_from() -> None:
    drawn = stage_figure(stage_panels((stage("base", loss=0.05), stage("outliers", loss=0.04))))
    marked = [(t.marker.symbol, t.x[0], t.y[0]) for t in drawn.data if t.mode == "markers"]
    assert marked == [(None, 2, 0.05), ("diamond-open", 0, 0.05), (None, 2, 0.04)]
    assert "validation, not kept" not in [trace.name for trace in drawn.data]


def test_a_curve_that_diverged_is_drawn() -> None:
    wild = dataclasses.replace(stage("base"), curve=((0.2, math.inf), (0.1, 0.05)), nll_curve=((math.nan, 1.0),) * 2)
    drawn = stage_figure(stage_panels((wild,)))
    for axis in (drawn.layout.yaxis, drawn.layout.yaxis2):
        assert all(math.isfinite(end) for end in axis.range)


def test_outlier_panels_split_the_error_into_regions_and_others() -> None:
    panel = outlier_panels(STAGES)[1]
    others = [number for number in range(10) if number not in panel.worst]
    assert not panel.kept
    assert panel.clusters == (255, 1016)
    assert panel.inside[0] == pytest.approx(np.mean([panel.before[number] for number in panel.worst]))
    assert panel.outside[1] == pytest.approx(np.mean([panel.after[number] for number in others]))
    base = next(result for result in STAGES if result.seed == 1)
    retrained = next(result for result in STAGES if result.seed == 1 and result.stage == "outliers")
    assert panel.whole == (base.val_loss, retrained.val_loss)


def test_empty_bins_are_left_out_of_the_means() -> None:
    results = [result for result in STAGES if result.regions is not None]
    regions = dataclasses.replace(results[0].regions, before=(math.nan, *results[0].regions.before[1:]))
    panel = outlier_panels((dataclasses.replace(results[0], regions=regions),))[0]
    assert math.isfinite(panel.inside[0])
    assert math.isnan(panel.whole[0])  # the stage before is not known
    assert "–" in outliers_html((panel,))


def test_the_outlier_figure_shades_the_regions_and_says_what_was_kept() -> None:
    panels = outlier_panels(STAGES)
    drawn = outlier_figure(panels)
    assert len(drawn.layout.shapes) == sum(len(panel.worst) for panel in panels)
    first = drawn.layout.shapes[0]
    assert (first.x0, first.x1) == (panels[0].edges[panels[0].worst[0]], panels[0].edges[panels[0].worst[0] + 1])
    fates = [re.sub("<.*?>", "", annotation.text) for annotation in drawn.layout.annotations]
    assert fates == ["seed 0: kept", "seed 1: not kept", "seed 2: kept"]
    assert [trace.line.dash for trace in drawn.data[:6]] == [None, "solid", None, "dash", None, "solid"]


# ------------------------------------------------------------------------------------------------ words


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


# ------------------------------------------------------------------------------------------------ tables


def test_the_table_of_stages_has_losses_before_and_after_and_what_was_kept() -> None:
    listed = stages_html((stage("base", loss=0.05), stage("outliers", kept=False, loss=0.06)))
    rows = [re.sub("<.*?>", " ", row).split() for row in listed.split("<tr")[2:]]
    assert rows[0][1:] == ['class="">', "0", "base", "–", "0.05000", "–", "2", "2", "3", "yes"][1:]
    assert rows[1][1:8] == ["0", "outliers", "0.05000", "0.06000", "+20.0%", "2", "2"]
    assert "NLL" not in listed.split("<tbody>")[0]
    assert '<button type="button">NLL' in stages_html((stage("probabilistic", nll=-0.2),))


def test_the_published_losses_stand_beside_ours_with_their_caveat() -> None:
    listed = published_html(EVALUATION, STAGES)
    for value in ("0.1471", "0.0533", f"{EVALUATION.test.mse.value:.4f}", "mean of its 3 seeds"):
        assert value in listed
    assert "Different data" in listed


# ------------------------------------------------------------------------------------------------ page


def test_the_page_is_one_file_with_numbered_figures(tmp_path: Path) -> None:
    to = write_training_page(PAGE, tmp_path / "model" / "report.html")
    text = to.read_text()
    assert text.count("* plotly.js v") == 1
    assert re.findall(r'id="figure-([a-z]+)"', text) == NAMES
    assert re.findall(r"Figure (\d)\.", text) == ["1", "2", "3", "4", "5", "6"]
    assert "default-src 'none'" in text
    assert "A predicted mass is typically right to within a factor of 1.49" in text
    assert to.stat().st_size < 6_000_000


def test_a_training_of_one_stage_and_one_seed_has_a_page_too() -> None:
    same = dataclasses.replace(TEST, sd=np.full(1590, 0.2))
    found = evaluate(example_clusters(500, 1), example_predictions(500, 2), same, factor=1.0, resamples=10)
    page = dataclasses.replace(PAGE, stages=(stage("base"),), evaluation=found, test=same, facts={}, commands={})
    text = training_page(page)
    assert re.findall(r'id="figure-([a-z]+)"', text) == NAMES[:5]
    assert "Retraining on outliers" not in text


def test_a_survey_without_any_redshift_makes_a_page_that_speaks_of_none() -> None:
    train, *parts = example_clusters(500, 1), example_predictions(500, 2), example_predictions(500, 3)
    blind = [dataclasses.replace(part, redshift=np.full(500, np.nan)) for part in (train, *(p.clusters for p in parts))]
    validation, test = (dataclasses.replace(p, clusters=c) for p, c in zip(parts, blind[1:], strict=True))
    found = evaluate(blind[0], validation, test, factor=1.0, resamples=10)
    page = dataclasses.replace(PAGE, evaluation=found, test=test, facts={})
    words = re.sub(r"<script.*?</script>|<style.*?</style>|<[^>]+>", " ", training_page(page), flags=re.DOTALL)
    assert "redshift" not in words.rpartition("Beside the published values")[0]
    assert not re.search(r"\bnan\b|\bz\b", words, re.IGNORECASE)
    drawn = training_figures(page)
    assert "xaxis3" not in drawn["residuals"].to_dict()["layout"]
    assert "colorbar" not in str(drawn["masses"].data[0].marker.to_plotly_json())


def test_a_handful_of_clusters_makes_a_page() -> None:
    found = evaluate(
        example_clusters(20, 1), example_predictions(6, 2), example_predictions(5, 3), factor=1.0, resamples=10
    )
    page = dataclasses.replace(PAGE, evaluation=found, test=example_predictions(5, 3))
    assert "5 test clusters" in training_page(page)


def test_what_comes_from_outside_is_escaped() -> None:
    evil = '<script>alert("x")</script>'
    text = training_page(dataclasses.replace(PAGE, title=evil, facts={evil: evil}, commands={evil: evil}))
    assert "<script>alert" not in text
    assert text.count("&lt;script&gt;alert") >= 5


def test_a_page_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"the report of .* bytes cannot be written"):
        write_training_page(PAGE, tmp_path / "file" / "report.html")


def test_drawing_the_page_needs_no_tensorflow() -> None:
    code = "import sys, clustersweep.report.model.page; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


ONE = np.arange(1590) == 7


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("predicted", "sd", "beyond", "wide"),
    [
        (np.where(ONE, 1e6, TEST.predicted), TEST.sd, 1, 0),
        (np.full(1590, 1e300), np.full(1590, 1e-300), 1590, 0),
        (np.where(ONE, -1e30, 1e30), np.where(ONE, 1e300, 1e5), 1590, 1590),
    ],
    ids=["one prediction", "all predictions", "all uncertainties"],
)
def test_a_diverged_network_has_a_page_whose_figures_end_near_the_true_masses(
    predicted: np.ndarray, sd: np.ndarray, beyond: int, wide: int
) -> None:
    wild = dataclasses.replace(TEST, predicted=predicted, sd=sd)
    found = evaluate(example_clusters(500, 1), example_predictions(500, 2), wild, factor=1.0, resamples=10)
    curve = ((1e300, 1e308), (1e-12, 0.05))
    diverged = dataclasses.replace(stage("base", loss=0.05), curve=curve, nll_curve=((1e12, 1e300), (0.1, 0.2)))
    page = dataclasses.replace(PAGE, evaluation=found, test=wild, stages=(diverged,))
    text = training_page(page)
    assert (
        f"{counted(beyond, 'cluster lies', 'clusters lie')} beyond the picture"
        in text.split('id="figure-masses"')[1].split("Figure 2.")[0]
    )
    assert f"and the σ of {counted(wide, 'cluster')} lie beyond 3 dex and are drawn there" in text
    drawn = training_figures(page)
    truth = TEST.clusters.log_mass
    for axis in (drawn["masses"].layout.xaxis, drawn["masses"].layout.yaxis2):
        assert axis.range[0] >= truth.min() - 3.3
        assert axis.range[1] <= truth.max() + 3.3
    plot = parity(wild, found)
    assert plot.density.sum() == 1590
    assert drawn["residuals"].layout.yaxis.range[1] < 3.2
    assert drawn["uncertainty"].layout.xaxis.range[1] < 3.3
    assert sum(drawn["uncertainty"].data[-1].y) == 1590
    ticks = drawn["curves"].layout.yaxis.tickvals
    assert 3 <= len(ticks) <= 12
    assert drawn["curves"].layout.yaxis2.range[1] < 30


def test_a_seed_that_failed_is_in_no_mean_and_is_named() -> None:
    stages = (stage("base", 0, loss=0.04), stage("base", 1, loss=0.08))
    why = "the loss is not finite in epoch 3"
    assert [result.seed for result in final(stages, {1: why})] == [0]
    text = training_page(dataclasses.replace(PAGE, stages=stages, failed={1: why}))
    assert f"<b>Seed 1 failed:</b> {why}. Its network is not in the model" in text
    assert "this model, its one seed" in text
    assert "With one seed nothing is known" in text
    assert "Seed 1 failed" not in training_page(dataclasses.replace(PAGE, stages=stages))


def test_a_retraining_of_a_failed_seed_is_not_said_to_be_kept() -> None:
    text = training_page(dataclasses.replace(PAGE, failed={2: "why"}))
    assert "The retraining was kept for 1 of 2 seeds" in text
    only = (*(result for result in STAGES if result.seed == 2), stage("base", 3))
    assert "The retraining was kept" not in training_page(dataclasses.replace(PAGE, stages=only, failed={2: "why"}))


# ------------------------------------------------------------------------------------------------ PNG


def test_without_a_browser_there_is_a_message_instead_of_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = write_pngs({"one": go.Figure()}, tmp_path / "figures")
    assert done.files == ()
    assert done.message == "no PNG: no Chrome or Chromium on the PATH could draw them; install chromium"
    assert not (tmp_path / "figures").exists()


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of a program that stands in for the browser, and an empty folder for temporary files."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(tempfile, "tempdir", str(programs))
    return programs / "chromium"


def test_a_browser_that_draws_nothing_is_named(stand_in: Path, tmp_path: Path) -> None:
    stand_in.write_text("#!/bin/sh\nexit 3\n")
    stand_in.chmod(0o755)
    done = write_pngs({"one": go.Figure()}, tmp_path)
    assert (
        done.message
        == f"no PNG: {stand_in} could not draw them (it drew nothing); the HTML page shows the same figures"
    )
    stand_in.write_text("#!/bin/sh\necho '<pre class=\"error\">Error: no canvas</pre>'\n")
    assert "(Error: no canvas)" in write_pngs({"one": go.Figure()}, tmp_path).message


def runs(pid: str) -> bool:
    """Say whether a process runs; one that is dead may wait for init to fetch it."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().split()[2] != "Z"


@pytest.mark.parametrize(
    ("script", "message"),
    [("sleep 100 & echo $$ $! > {0}; wait", "it took more than 0.5 s"),
     ("sleep 100 > /dev/null & echo $$ $! > {0}", "it drew nothing")],
    ids=["hangs", "leaves a child behind"],
)  # fmt: skip
def test_a_browser_is_ended_with_its_children_and_leaves_nothing(
    stand_in: Path, tmp_path: Path, script: str, message: str
) -> None:
    pids = tmp_path / "pids"
    stand_in.write_text("#!/bin/sh\n" + script.format(pids))
    stand_in.chmod(0o755)
    done = write_pngs({"one": go.Figure()}, tmp_path, timeout_s=0.5)
    assert f"({message})" in done.message
    deadline = time.monotonic() + 30
    while any(runs(pid) for pid in pids.read_text().split()):
        assert time.monotonic() < deadline
    assert list(stand_in.parent.iterdir()) == [stand_in]


@pytest.fixture
def chromium() -> Path:
    """A real browser; where it is missing: in CI a failure, elsewhere a skip that says so."""
    found = find_browser()
    if found is None:
        message = "no Chrome or Chromium on the PATH: install Debian's package chromium"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    return found


def pixels(image: bytes) -> tuple[int, int, bytes]:
    """Give width, height and the filtered pixels of a PNG."""
    width, height = struct.unpack(">II", image[16:24])
    place, data = 8, b""
    while place < len(image):
        (length,) = struct.unpack(">I", image[place : place + 4])
        if image[place + 4 : place + 8] == b"IDAT":
            data += image[place + 8 : place + 8 + length]
        place += 12 + length
    return width, height, zlib.decompress(data)


@pytest.mark.integration
def test_every_figure_becomes_a_png_that_shows_something(
    chromium: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    figures = training_figures(PAGE)
    done = write_pngs(figures, tmp_path / "figures")
    assert done.message == ""
    assert [path.name for path in done.files] == [f"{name}.png" for name in NAMES]
    for path, figure in zip(done.files, figures.values(), strict=True):
        image = path.read_bytes()
        assert image.startswith(b"\x89PNG\r\n\x1a\n")
        width, height, content = pixels(image)
        assert (width, height) == (2200, 2 * figure.layout.height)
        assert len(set(content)) > 100  # a blank picture has a handful of values
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.integration
def test_a_figure_that_the_browser_cannot_draw_is_a_message(chromium: Path, tmp_path: Path) -> None:
    done = write_pngs({"one": go.Figure(layout={"height": 100}), "t o": go.Figure()}, tmp_path / "figures")
    assert done.files == ()
    assert "could not draw them" in done.message


@pytest.mark.integration
def test_chromium_draws_every_figure_of_the_page_and_sends_no_request(browser: Browser, tmp_path: Path) -> None:
    to = write_training_page(PAGE, tmp_path / "report.html")
    requests: list[str] = []
    said: list[str] = []
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: said.append(message.text))
    page.goto(to.as_uri())
    page.wait_for_selector("#figure-outliers .main-svg")
    assert page.locator(".js-plotly-plot").count() == 6
    for name in NAMES:
        assert page.locator(f"#figure-{name}").locator("path.point, path.js-line, .bars path").count() > 3
    assert page.locator("#figure-masses .heatmaplayer image").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 1200
    assert covered_words(page) == []
    page.close()
    assert said == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []


def test_a_model_that_is_no_better_than_the_mean_is_told_first_on_the_screen_and_in_the_report() -> None:
    train, validation, test = example_clusters(400, 1), example_predictions(100, 2), example_predictions(100, 3)
    mean = float(train.log_mass.mean())
    dead = [dataclasses.replace(part, predicted=np.full(100, mean + 0.01)) for part in (validation, test)]
    found = evaluate(train, *dead, factor=1.0, resamples=20)
    found = dataclasses.replace(found, test=dataclasses.replace(found.test, mse=Estimate(found.constant_mse, 0, 1)))
    said = io.StringIO()
    print_training(found, Console(width=80, file=said))
    words = f"{found.constant_mse:.4f} dex², and predicting the mean mass for every cluster gives "
    assert said.getvalue().startswith(f"Nothing was learned: the model, on the test part, has {words}")
    assert f"Nothing was learned: the model has {words}" in verdict_html(found, ())
    good = evaluate(train, validation, test, factor=1.0, resamples=20)
    said = io.StringIO()
    print_training(good, Console(width=80, file=said))
    assert "was learned" not in said.getvalue() + verdict_html(good, ())


def test_a_model_that_is_no_better_than_a_baseline_is_told_on_the_screen_in_the_words_of_the_report() -> None:
    for value, word in ((-0.062, "The model is worse by 0.062 dex"), (-0.005, "The model cannot be told from it")):
        found = changed(gain=Estimate(value, value - 0.01, value + 0.01))
        said = io.StringIO()
        print_training(found, Console(width=80, file=said))
        assert f"\n{gain_text(found)}\n" in said.getvalue()
        assert word in said.getvalue()
    said = io.StringIO()
    print_training(changed(gain=Estimate(0.03, 0.02, 0.04)), Console(width=80, file=said))
    assert "the best of the baselines" not in said.getvalue().lower()


def test_a_model_that_so_few_test_clusters_cannot_tell_from_the_mean_is_told_first_too() -> None:
    train, validation, test = example_clusters(400, 1), example_predictions(100, 2), example_predictions(100, 3)
    mean = float(train.log_mass.mean())
    weak = [
        dataclasses.replace(part, predicted=mean + 0.02 * (part.clusters.log_mass - mean))
        for part in (validation, test)
    ]
    found = evaluate(train, *weak, factor=1.0, resamples=200)
    found = dataclasses.replace(found, test=dataclasses.replace(found.test, r2=Estimate(0.03, -0.01, 0.07)))
    assert found.constant_margin == pytest.approx(0.04 * found.constant_mse)
    said = io.StringIO()
    print_training(found, Console(width=80, file=said))
    words = (
        f" has {found.test.mse.value:.4f} dex², and predicting the mean mass for every cluster gives "
        f"{found.constant_mse:.4f} dex², a difference within the noise of so few clusters "
        f"({found.constant_margin:.4f} dex²)."
    )
    unsure = "It is not sure that anything was learned: the model"
    assert said.getvalue().startswith(f"{unsure}, on the test part,{words}")
    assert f"{unsure}{words}" in verdict_html(found, ())
