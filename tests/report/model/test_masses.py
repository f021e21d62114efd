"""The data of the figures of masses: which clusters are shown, and their errors in bins."""

import dataclasses

import numpy as np
import pytest
from example_training import example_clusters, example_page, example_predictions

from clustersweep.report.model.masses import parity, residuals
from clustersweep.training.evaluation.evaluation import evaluate

PAGE = example_page(resamples=100)
EVALUATION, TEST = PAGE.evaluation, PAGE.test


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
