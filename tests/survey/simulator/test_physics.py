"""The physics of one cluster: gas, spectrum, instrument, point sources, each against a number from elsewhere."""

import inspect
import re
from types import ModuleType

import numpy as np
import pytest
from astropy import constants, units
from astropy.cosmology import FlatLambdaCDM
from scipy.integrate import quad

from clustersweep.survey.simulator import (
    cosmology,
    gas,
    instrument,
    observation,
    points,
    population,
    spectrum,
    tables,
    verification,
)


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


SOURCE = re.compile(r"\b(19|20)\d\d\b|lab report|`[a-z./_]*[a-zA-Z_0-9.]+`|docs/physics\.md|a choice")


@pytest.mark.parametrize("module", [cosmology, gas, spectrum, instrument, points, population])
def test_every_function_of_the_physics_names_its_source(module: ModuleType) -> None:
    # A paper, a table, the lab report, the page of the physics, or the function of which it is a consequence.
    own = [f for _, f in inspect.getmembers(module, callable) if getattr(f, "__module__", "") == module.__name__]
    functions = [f for f in own if not inspect.isclass(f) and not f.__name__.startswith("_")]
    assert len(functions) >= 2
    silent = [f.__name__ for f in functions if not SOURCE.search(f.__doc__ or "")]
    assert silent in ([], ["band_energies"])  # which only cuts bands into steps


# Cosmology


@pytest.mark.parametrize("z", [0.01, 0.333, 1.4])
def test_distances_and_r500_agree_with_astropys_cosmology(z: float) -> None:
    model = FlatLambdaCDM(H0=67.74, Om0=0.3089)
    assert cosmology.luminosity_distance_mpc(z) == pytest.approx(model.luminosity_distance(z).value, rel=1e-4)
    assert cosmology.kpc_per_arcmin(z) == pytest.approx(model.kpc_proper_per_arcmin(z).value, rel=1e-4)
    assert cosmology.expansion(z) == pytest.approx(model.efunc(z), rel=1e-3)
    radius = cosmology.r500_kpc(1e14, z) * units.kpc
    mean_density = 1e14 * units.Msun / (4 / 3 * np.pi * radius**3)
    assert (mean_density / model.critical_density(z)).to_value("") == pytest.approx(500, rel=1e-3)


# Gas


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


# Spectrum


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


# Instrument


def test_the_point_spread_function_agrees_with_the_stars() -> None:
    radius, measured = tables.measured_psf()
    model = instrument.psf_enclosed(radius)
    assert np.abs(model - measured).max() < 0.03
    assert verification.drawn_psf(radius) == pytest.approx(model, abs=0.004)
    half = np.interp(0.5, model, radius) * 2
    assert 22 < half < 30  # half-energy width in arcsec; 26 to 30 in survey mode out to infinity


def test_the_background_is_one_count_a_pixel() -> None:
    exposure_s = 1250.0
    drawn = sum(observation.background_photons(rng(), exposure_s).band.size for _ in range(20)) / 20
    assert drawn / 2500 == pytest.approx(1.1, rel=0.04)
    photons = observation.background_photons(rng(), 1e5)
    share = np.bincount(photons.band) / photons.band.size
    expected = tables.bands().background_cts_s_arcmin2
    assert share == pytest.approx(expected / expected.sum(), rel=0.03)
    assert np.abs(photons.position_arcmin).max() <= 10
    assert np.abs(photons.position_arcmin.mean(axis=1)).max() < 0.1


def test_exposures_scatter_about_1250_seconds_above_a_floor() -> None:
    generator = rng()
    exposures = np.array([instrument.draw_exposure_s(generator) for _ in range(4000)])
    assert exposures.mean() == pytest.approx(1250, rel=0.01)
    assert exposures.std() == pytest.approx(200, rel=0.05)
    assert exposures.min() >= 600


def test_the_area_of_the_bands_is_the_curves_average() -> None:
    table = tables.read_table("bands10.csv")
    for low, high, area in table[:, 1:4]:
        energy = np.linspace(low, high, 200)
        assert np.interp(energy, *tables.effective_area()).mean() == pytest.approx(area, rel=0.12)


# Point sources


def test_point_sources_follow_the_counts_on_both_sides_of_the_break() -> None:
    per_image = points.brighter_than(points.FAINTEST_ERG_S_CM2) * instrument.FIELD_ARCMIN**2 / 3600
    assert per_image == pytest.approx(18, abs=0.6)
    flux = points.draw_fluxes(rng(), 200_000)
    assert flux.min() >= points.FAINTEST_ERG_S_CM2
    for limit in (8e-15, 2e-14, 1e-13):
        expected = points.brighter_than(limit) / points.brighter_than(points.FAINTEST_ERG_S_CM2)
        assert (flux > limit).mean() == pytest.approx(float(expected), rel=0.05)


def test_a_central_active_galaxy_lies_at_the_centre() -> None:
    sources, photons = observation.point_photons(rng(), 1e-3, 1e-8)  # too short an exposure for any but a blazing one
    assert sources > 5
    assert photons.band.size > 3
    assert np.hypot(*photons.position_arcmin).max() <= instrument.PSF_CUT_ARCSEC / 60 + 1e-9


# The forward model


def test_the_forward_model_gives_the_counts_of_a_real_cluster() -> None:
    # eFEDS J092121.2+031726: 1,181 net counts within 2'.
    assert verification.real_cluster_counts() == pytest.approx(1181, rel=0.20)


def test_photons_outside_the_image_are_lost_and_the_rest_land_in_their_pixel_and_band() -> None:
    position = np.array([[-9.9, 9.9, 0.1, 10.0, 0.0], [-9.9, 9.9, -9.9, 0.0, -10.1]])
    image = observation.histogram(observation.Photons(position, np.array([0, 1, 2, 3, 4])), 50)
    assert image.shape == (50, 50, 10)
    assert image.sum() == 3
    assert image[0, 0, 0] == image[49, 49, 1] == image[0, 25, 2] == 1


def test_the_halo_table_has_the_abundance_of_tinker() -> None:
    z, log_mass, density = tables.halo_abundance()
    whole = np.trapezoid(np.trapezoid(density, log_mass, axis=1), z)
    assert whole == pytest.approx(569, rel=0.03)  # per square degree above 1e13
    massive = log_mass >= 14 - 1e-9
    assert 8.8 < np.trapezoid(np.trapezoid(density[:, massive], log_mass[massive], axis=1), z) < 9.9


def test_drawn_haloes_follow_the_table() -> None:
    log_mass, z = population.draw_mass_redshift(rng(), 200_000)
    redshift, masses, density = tables.halo_abundance()
    by_mass = np.trapezoid(density, redshift, axis=0)
    for limit in (13.5, 14.0):
        above = masses >= limit - 1e-9
        expected = np.trapezoid(by_mass[above], masses[above]) / np.trapezoid(by_mass, masses)
        assert (log_mass > limit).mean() == pytest.approx(expected, rel=0.05)
    by_redshift = np.trapezoid(density, masses, axis=1)
    mean = np.trapezoid(by_redshift * redshift, redshift) / np.trapezoid(by_redshift, redshift)
    assert z.mean() == pytest.approx(mean, rel=0.01)


def test_haloes_have_the_scaling_relations_scatter_and_correlation_of_the_recipe() -> None:
    haloes = population.draw_haloes(rng(), 100_000)
    bright = haloes.log_luminosity - population.log_luminosity_mean(haloes.log_mass, haloes.redshift)
    hot = np.log10(haloes.kt_kev) - population.log_temperature_mean(haloes.log_mass, haloes.redshift)
    assert bright.mean() == pytest.approx(0, abs=0.003)
    assert bright.std() == pytest.approx(0.212, rel=0.01)
    assert hot.std() == pytest.approx(0.067, rel=0.01)
    assert np.corrcoef(bright, hot)[0, 1] == pytest.approx(0.09, abs=0.01)


def test_shapes_have_the_cores_of_the_recipe_and_bright_clusters_have_small_ones() -> None:
    generator = rng()
    residual = generator.standard_normal(6000)
    shapes = [population.draw_shape(generator, float(r)) for r in residual]
    log_core = np.log([s.core_r500 for s in shapes])
    assert np.median(log_core) == pytest.approx(-1.92, abs=0.05)
    assert log_core.std() == pytest.approx(0.78, rel=0.05)
    assert np.corrcoef(log_core, residual)[0, 1] == pytest.approx(-0.23, abs=0.04)
    assert np.median([s.beta for s in shapes]) == pytest.approx(0.67, abs=0.01)
    assert min(s.beta for s in shapes) >= 0.4
    ratios, counts = np.unique([s.axis_ratio for s in shapes], return_counts=True)
    assert ratios.tolist() == [0.55, 0.65, 0.75, 0.85]
    assert counts / 6000 == pytest.approx([0.22, 0.30, 0.25, 0.23], abs=0.02)
