"""Whether uncertainties are honest, as it is drawn."""

import numpy as np
import pytest
from example_training import example_page

from clustersweep.report.model.calibration_figures import reliability_figure, uncertainty_figure

PAGE = example_page(resamples=100)
EVALUATION, TEST = PAGE.evaluation, PAGE.test


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
