"""Units of masses: what texts mean, and log10 of solar masses made of numbers in them."""

import numpy as np
import pytest

from clustersweep.survey.mass_unit import MassUnit, hubble_text, is_mass, mass_unit


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("solMass", MassUnit()),
        (" M_sun ", MassUnit()),
        ("Msun", MassUnit()),
        ("1e14 solMass", MassUnit(1e14)),
        ("10**14 Msun", MassUnit(1e14)),
        ("10^14.Msun", MassUnit(1e14)),
        ("dex(solMass)", MassUnit(logarithmic=True)),
        ("log10[1e14 Msun]", MassUnit(1e14, logarithmic=True)),
        ("dex(dex(solMass))", None),
        ("1e14 dex(solMass)", None),
        ("keV", None),
        ("Msun/h", None),
        ("", None),
    ],
)
def test_a_text_means_a_unit_of_mass_or_none(text, unit):
    assert mass_unit(text) == unit


def test_units_that_only_astronomers_write_are_those_of_astropy():
    assert mass_unit("kg").factor == pytest.approx(1 / 1.988409870698051e30)


@pytest.mark.parametrize("text", ["solMass", "1e+14 solMass", "dex(solMass)", "dex(1e+14 solMass)"])
def test_a_unit_is_written_as_it_is_read(text):
    assert str(mass_unit(text)) == text


def test_masses_become_log10_of_solar_masses_and_what_is_not_positive_becomes_nan():
    masses = np.array([1.0, 10.0, 0.0, -1.0])
    assert np.array_equal(MassUnit(1e14).log_mass(masses), [14.0, 15.0, np.nan, np.nan], equal_nan=True)
    assert np.array_equal(MassUnit(1e14, logarithmic=True).log_mass(np.array([0.5])), [14.5])


def test_groups_and_clusters_have_masses_within_a_range():
    assert is_mass(np.array([10.9, 11.0, 16.5, 16.6, np.nan])).tolist() == [False, True, True, False, False]


@pytest.mark.parametrize(("text", "told"), [("Msun/h", True), ("h70^-1 Msun", True), ("solMass", False), ("kg", False)])
def test_the_hubble_constant_in_a_unit_is_told_with_a_way_out(text, told):
    assert (hubble_text(text) == "; with h = 0.7, masses in Msun/h are in 1.42857 solMass") is told
