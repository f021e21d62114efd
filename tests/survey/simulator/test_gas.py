"""The gas of one cluster, each formula against an integral or a number from elsewhere."""

import numpy as np
import pytest
from astropy import constants, units
from randomness import rng
from scipy.integrate import quad

from clustersweep.survey.simulator import cosmology, gas


def test_the_king_potential_is_that_of_its_density() -> None:
    # Poisson's equation for rho0 (1 + x^2)^(-3/2): the force is -4 pi G rho0 r_c [arcsinh x - x / sqrt(1 + x^2)] / x^2.
    x, step = np.array([0.3, 1.0, 4.0]), 1e-5
    force = -(gas.king_potential(x + step, 500.0) - gas.king_potential(x - step, 500.0)) / (2 * step)
    exact = -9 * 500.0**2 * (np.arcsinh(x) - x / np.sqrt(1 + x**2)) / x**2
    assert force == pytest.approx(exact, rel=1e-6)
    assert gas.king_potential(0.0, 500.0) == pytest.approx(-9 * 500.0**2)


def test_the_beta_model_approximates_hydrostatic_gas_in_the_core_of_a_king_potential() -> None:
    x = np.linspace(0, 2, 21)
    exact, approximate = gas.hydrostatic_density(x, 2 / 3), gas.gas_density(x, 2 / 3)
    assert np.abs(np.log10(approximate / exact)).max() < 0.08
    assert approximate[:3] == pytest.approx(exact[:3], rel=0.01)


def test_beta_and_the_velocity_dispersion_follow_from_each_other() -> None:
    assert gas.beta_from_temperature(gas.velocity_dispersion_km_s(0.7, 5.0), 5.0) == pytest.approx(0.7)
    kt = 5.0 * units.keV
    by_astropy = np.sqrt(0.7 * kt / (0.6 * constants.m_p)).to_value("km/s")
    assert gas.velocity_dispersion_km_s(0.7, 5.0) == pytest.approx(by_astropy, rel=1e-3)


@pytest.mark.parametrize("beta", [0.45, 2 / 3, 1.0])
@pytest.mark.parametrize("x", [0.0, 1.5])
def test_the_emission_measure_is_the_integral_along_the_line_of_sight(beta: float, x: float) -> None:
    integral, _ = quad(lambda depth: float(gas.gas_density(np.hypot(x, depth), beta)) ** 2, -np.inf, np.inf)
    core_cm = 100 * cosmology.CM_PER_MPC / 1e3
    expected = integral * core_cm * 0.01**2 / gas.ELECTRONS_PER_PROTON
    assert gas.emission_measure(x, beta, 100.0, 0.01) == pytest.approx(expected, rel=1e-6)


def test_surface_brightness_is_the_emission_measures_shape() -> None:
    x = np.array([0.5, 3.0])
    ratio = gas.emission_measure(x, 0.6, 50.0, 1e-3) / gas.emission_measure(0.0, 0.6, 50.0, 1e-3)
    assert ratio == pytest.approx(gas.surface_brightness(x, 0.6))


@pytest.mark.parametrize("beta", [0.4, 0.5, 2 / 3, 1.2])
def test_the_enclosed_light_is_the_integral_of_the_surface_brightness(beta: float) -> None:
    integral, _ = quad(lambda x: 2 * x * float(gas.surface_brightness(x, beta)), 0, 7.0)
    assert gas.enclosed(7.0, beta) == pytest.approx(integral, rel=1e-6)
    x = gas.radius_enclosing(0.3, 7.0, beta)
    assert gas.enclosed(x, beta) / gas.enclosed(7.0, beta) == pytest.approx(0.3, rel=1e-6)
    assert gas.radius_enclosing(np.array([0.0, 1.0]), 7.0, beta) == pytest.approx([0.0, 7.0], abs=1e-6)


def test_photons_of_an_ellipse_have_its_axis_ratio_angle_and_light_curve() -> None:
    angle, ratio = 0.6, 0.55
    x, y = gas.elliptical_positions(
        rng(), 400_000, core_arcmin=0.5, x_max=6.0, beta=0.9, axis_ratio=ratio, angle_rad=angle
    )
    along, across = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
    assert np.median(np.abs(across)) / np.median(np.abs(along)) == pytest.approx(ratio, rel=0.01)
    radius = np.hypot(along * np.sqrt(ratio), across / np.sqrt(ratio)) / 0.5
    for limit in (0.5, 2.0, 5.0):
        expected = gas.enclosed(limit, 0.9) / gas.enclosed(6.0, 0.9)
        assert (radius < limit).mean() == pytest.approx(float(expected), abs=0.003)


def test_the_central_density_gives_the_luminosity_back() -> None:
    density = gas.central_density_cm3(2e44, 7e-24, 0.65, 150.0, 6.0)
    core_cm = 150 * cosmology.CM_PER_MPC / 1e3
    ring, _ = quad(lambda x: 2 * np.pi * x * float(gas.emission_measure(x, 0.65, 150.0, float(density))), 0, 6.0)
    assert 7e-24 * ring * core_cm**2 == pytest.approx(2e44, rel=1e-5)
    assert 1e-4 < density < 0.1
