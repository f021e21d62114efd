"""Point sources follow the counts from which they are drawn."""

import pytest
from randomness import rng

from clustersweep.survey.simulator import instrument, points


def test_point_sources_follow_the_counts_on_both_sides_of_the_break() -> None:
    per_image = points.brighter_than(points.FAINTEST_ERG_S_CM2) * instrument.FIELD_ARCMIN**2 / 3600
    assert per_image == pytest.approx(18, abs=0.6)
    flux = points.draw_fluxes(rng(), 200_000)
    assert flux.min() >= points.FAINTEST_ERG_S_CM2
    for limit in (8e-15, 2e-14, 1e-13):
        expected = points.brighter_than(limit) / points.brighter_than(points.FAINTEST_ERG_S_CM2)
        assert (flux > limit).mean() == pytest.approx(float(expected), rel=0.05)
