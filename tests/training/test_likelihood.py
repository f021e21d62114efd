"""The variance of a network's second unit, there and back."""

import math

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def test_a_variance_of_any_size_has_its_unit():
    from clustersweep.training.likelihood import unit_of

    for variance in (1e-9, 0.5, 30.0, 1e6):
        assert math.isfinite(unit_of(variance))
    assert unit_of(1e6) == pytest.approx(1e6)
