"""Predicted against true masses and their errors, as they are drawn."""

import pytest
from example_training import example_page

from clustersweep.report.model.mass_figures import parity_figure, residual_figure
from clustersweep.report.model.masses import parity, residuals

PAGE = example_page(resamples=100)
EVALUATION, TEST = PAGE.evaluation, PAGE.test


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


def test_the_baseline_is_drawn_as_steps_on_both_sides_of_zero() -> None:
    panels = residuals(TEST, EVALUATION)
    drawn = residual_figure(panels, "counts and z")
    steps = [trace for trace in drawn.data if trace.line.dash == "dash" and trace.xaxis == "x"]
    assert len(steps) == 2
    assert steps[0].y[:2] == (panels[0].bins[0].baseline_rmse,) * 2
    assert steps[1].y == tuple(-value for value in steps[0].y)
    assert steps[0].name == "± RMSE of the baseline “counts and z”"
