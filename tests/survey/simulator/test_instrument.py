"""The telescope against what was measured of it."""

import numpy as np
import pytest
from randomness import rng

from clustersweep.survey.simulator import instrument, tables, verification


def test_the_point_spread_function_agrees_with_the_stars() -> None:
    radius, measured = tables.measured_psf()
    model = instrument.psf_enclosed(radius)
    assert np.abs(model - measured).max() < 0.03
    assert verification.drawn_psf(radius) == pytest.approx(model, abs=0.004)
    half = np.interp(0.5, model, radius) * 2
    assert 22 < half < 30  # half-energy width in arcsec; 26 to 30 in survey mode out to infinity


def test_exposures_scatter_about_1250_seconds_above_a_floor() -> None:
    generator = rng()
    exposures = np.array([instrument.draw_exposure_s(generator) for _ in range(4000)])
    assert exposures.mean() == pytest.approx(1250, rel=0.01)
    assert exposures.std() == pytest.approx(200, rel=0.05)
    assert exposures.min() >= 600
