"""The variance of a network's second unit, there and back, and the likelihood that it gives."""

import math
from statistics import NormalDist

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def test_a_variance_of_any_size_has_its_unit():
    from clustersweep.training.likelihood import unit_of

    for variance in (1e-9, 0.5, 30.0, 1e6):
        assert math.isfinite(unit_of(variance))
    assert unit_of(1e6) == pytest.approx(1e6)


def test_the_unit_of_a_variance_turns_into_it_again():
    from clustersweep.training.device import tf
    from clustersweep.training.likelihood import unit_of, variance

    variances = [0.001, 0.04, 0.5, 30.0, 1e6]
    units = tf.constant([unit_of(one) for one in variances], tf.float64)
    assert variance(units).numpy() == pytest.approx(variances)


def test_no_unit_gives_less_than_the_floor_nor_overflows():
    from clustersweep.training.device import tf
    from clustersweep.training.likelihood import VARIANCE_FLOOR, unit_of, variance

    found = variance(tf.constant([-1e4, 0.0, 1e4])).numpy()
    assert found == pytest.approx([VARIANCE_FLOOR, math.log(2) + VARIANCE_FLOOR, 1e4])
    assert variance(tf.constant(unit_of(0.0), tf.float64)).numpy() <= 2.001 * VARIANCE_FLOOR


def test_the_terms_are_those_of_a_gaussian_but_for_the_constant():
    from clustersweep.training.device import tf
    from clustersweep.training.likelihood import likelihood_terms

    errors, sds = [0.3, -0.1, 0.0], [0.2, 0.5, 1.5]
    square = tf.constant([error**2 for error in errors], tf.float64)
    terms = likelihood_terms(square, tf.constant([sd**2 for sd in sds], tf.float64)).numpy()
    logs = [math.log(NormalDist(0, sd).pdf(error)) for error, sd in zip(errors, sds, strict=True)]
    assert terms + 0.5 * math.log(2 * math.pi) == pytest.approx([-log for log in logs])
