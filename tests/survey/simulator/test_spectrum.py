"""Spectra and their counts in the bands against numbers from elsewhere."""

import numpy as np
import pytest
from astropy import constants, units
from randomness import rng

from clustersweep.survey.simulator import spectrum, verification


def test_the_bremsstrahlung_constant_is_that_of_the_equation() -> None:
    e, c = constants.e.esu.value, constants.c.cgs.value
    mass, k = constants.m_e.cgs.value, constants.k_B.cgs.value
    exact = 2**5 * np.pi * e**6 / (3 * mass * c**3) * np.sqrt(2 * np.pi / (3 * mass * k))
    at_zero = spectrum.bremsstrahlung(1e-9, 4.0) / spectrum.gaunt_factor(1e-9, 4.0)
    kelvin = (4.0 * units.keV / constants.k_B).to_value("K")
    per_kev = (1 * units.keV / constants.h).to_value("Hz")
    assert at_zero == pytest.approx(exact * 1.35 / np.sqrt(kelvin) * per_kev, rel=2e-3)


def test_the_gaunt_factor_is_of_order_one() -> None:
    assert spectrum.gaunt_factor(1.0, 4.0) == pytest.approx(1.3, abs=0.15)


@pytest.mark.parametrize(
    ("kt_kev", "z", "fractions"),
    [
        (1.0, 0.1, [0.151, 0.238, 0.193, 0.151, 0.103, 0.069, 0.044, 0.027, 0.017, 0.008]),
        (4.0, 0.4, [0.094, 0.174, 0.168, 0.155, 0.124, 0.099, 0.073, 0.053, 0.039, 0.020]),
    ],
)
def test_the_continuums_counts_fall_into_the_bands_as_computed_elsewhere(
    kt_kev: float, z: float, fractions: list[float]
) -> None:
    found = verification.band_fractions(kt_kev, z, lines=False)
    assert found.sum() == pytest.approx(1)
    assert found == pytest.approx(fractions, rel=0.10)


def test_lines_add_what_the_table_says_and_nothing_above_eight_kev() -> None:
    energy = np.linspace(0.5, 2.0, 2000)
    for kt_kev, boost in ((1.0, 3.27), (2.0, 1.35), (10.0, 1.0)):
        ratio = np.trapezoid(spectrum.plasma(energy, kt_kev), energy) / np.trapezoid(
            spectrum.bremsstrahlung(energy, kt_kev), energy
        )
        assert ratio == pytest.approx(boost, rel=0.01)
    assert spectrum.line_boost(14.0) == 1.0  # the table's 0.97 would take light away


def test_counts_for_a_flux_are_those_of_seven_telescopes() -> None:
    assert verification.counts_per_flux(4.0, 0.3) == pytest.approx(1.3e12, rel=0.05)


def test_hot_gas_has_the_k_correction_of_a_power_law() -> None:
    # Far below kT the spectrum is E^-0.4 or so: F = L (1 + z)^(1 - 0.4) / (4 pi d_L^2), within a few per cent.
    _, correction = spectrum.plasma_response(15.0, 0.5, lines=False)
    assert correction == pytest.approx(1.5**0.6, rel=0.05)
    _, here = spectrum.plasma_response(3.0, 0.0)
    assert here == pytest.approx(1.0)


def test_the_table_of_responses_is_as_good_as_the_integrals() -> None:
    kt_kev, z = 10 ** rng().uniform(-0.5, 1.2, 200), rng().uniform(0.01, 1.5, 200)
    exact, table = spectrum.plasma_response(kt_kev, z), spectrum.interpolated_response(kt_kev, z)
    whole = exact[0].sum(axis=1, keepdims=True)
    assert np.abs((table[0] - exact[0]) / whole).max() < 0.002
    assert np.abs(table[0].sum(axis=1, keepdims=True) / whole - 1).max() < 0.003
    assert np.abs(table[1] / exact[1] - 1).max() < 0.003
