"""Which clusters a flux-limited survey finds: masses, redshifts, luminosities, temperatures, shapes.

Draws properties of clusters; no photons.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from clustersweep.survey.simulator import cosmology, gas, spectrum, tables

Floats = NDArray[np.float64]

LUMINOSITY_SCATTER_DEX = 0.212
TEMPERATURE_SCATTER_DEX = 0.067
TEMPERATURE_LUMINOSITY_CORRELATION = 0.09
FLUX_LIMIT_DEX, FLUX_LIMIT_SCATTER_DEX = -13.20, 0.387
CORE_LN_MEAN, CORE_LN_SCATTER, CORE_LN_RANGE = -1.92, 0.78, (-4.0, 0.0)
CORE_LUMINOSITY_CORRELATION = -0.23
BETA_SCATTER, BETA_RANGE = 0.14, (0.40, 1.20)
AXIS_RATIOS, AXIS_WEIGHTS = (0.55, 0.65, 0.75, 0.85), (0.22, 0.30, 0.25, 0.23)

_PIVOT_REDSHIFT = 0.35
_BATCH = 256  # about one halo in 180 passes the flux selection


def log_luminosity_mean(log_mass: Floats, redshift: Floats) -> Floats:
    """Mean log10 of L (erg/s, 0.5-2 keV rest frame, within R500) at a mass and redshift.

    43.14 + 1.50 (log10 M - 14) + 2.3 log10 E(z)/E(0.35): level and slope measured on rows of the eFEDS mock of
    Comparat et al. 2020 (arXiv:2008.08404).
    """
    evolution = np.log10(cosmology.expansion(redshift) / cosmology.expansion(_PIVOT_REDSHIFT))
    return np.asarray(43.14 + 1.50 * (log_mass - 14) + 2.3 * evolution)


def log_temperature_mean(log_mass: Floats, redshift: Floats) -> Floats:
    """Mean log10 of kT (keV) at a mass and redshift.

    0.408 + 0.55 (log10(0.8 M) - 14) + 0.415 log10 E(z)/E(0.35): measured on the same mock (Comparat et al. 2020).
    """
    evolution = np.log10(cosmology.expansion(redshift) / cosmology.expansion(_PIVOT_REDSHIFT))
    return np.asarray(0.408 + 0.55 * (np.log10(0.8) + log_mass - 14) + 0.415 * evolution)


def flux_erg_s_cm2(log_luminosity: Floats, kt_kev: Floats, redshift: Floats) -> Floats:
    """Unabsorbed 0.5-2 keV flux, observed frame: K(kT, z) L / (4 pi d_L^2) (Hogg et al. 2002, astro-ph/0210394)."""
    _, correction = spectrum.interpolated_response(kt_kev, redshift)
    log_distance_cm = np.log10(cosmology.luminosity_distance_mpc(redshift) * cosmology.CM_PER_MPC)
    return np.asarray(correction * 10 ** (log_luminosity - 2 * log_distance_cm) / (4 * np.pi))


@dataclass(frozen=True)
class Haloes:
    """Candidates or found clusters, each attribute `(halo,)`."""

    log_mass: Floats
    redshift: Floats
    log_luminosity: Floats
    luminosity_residual: Floats
    kt_kev: Floats
    flux_erg_s_cm2: Floats

    def one(self, index: int) -> "Haloes":
        """Return one halo, still as arrays."""
        return Haloes(*(getattr(self, name)[index : index + 1] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Shape:
    """How one cluster's gas lies: core radius over R500, beta, axis ratio and position angle."""

    core_r500: float
    beta: float
    axis_ratio: float
    angle_rad: float


def draw_mass_redshift(rng: np.random.Generator, count: int) -> tuple[Floats, Floats]:
    """Draw log10 M500c / Msun and z from the halo mass function times the comoving volume.

    Tinker et al. 2008 (ApJ 688, 709), as frozen in `data/mass_function.csv`.
    """
    edges_mass, edges_redshift, cumulative = _cells()
    cell = np.searchsorted(cumulative, rng.random(count) * cumulative[-1], side="right")
    row, column = np.divmod(np.minimum(cell, len(cumulative) - 1), len(edges_mass) - 1)
    log_mass = edges_mass[column] + rng.random(count) * (edges_mass[1] - edges_mass[0])
    redshift = edges_redshift[row] + rng.random(count) * (edges_redshift[1] - edges_redshift[0])
    return log_mass, redshift


def draw_haloes(rng: np.random.Generator, count: int) -> Haloes:
    """Draw haloes with correlated lognormal scatter of luminosity and temperature; none is selected yet.

    Scatter of the luminosity: 0.212 dex (Comparat et al. 2020); of kT 0.067 dex, correlated 0.09, measured there.
    """
    log_mass, redshift = draw_mass_redshift(rng, count)
    first, second = rng.standard_normal((2, count))
    rho = TEMPERATURE_LUMINOSITY_CORRELATION
    log_luminosity = log_luminosity_mean(log_mass, redshift) + LUMINOSITY_SCATTER_DEX * first
    hotter = rho * first + np.sqrt(1 - rho**2) * second
    kt_kev = 10 ** (log_temperature_mean(log_mass, redshift) + TEMPERATURE_SCATTER_DEX * hotter)
    flux = flux_erg_s_cm2(log_luminosity, kt_kev, redshift)
    return Haloes(log_mass, redshift, log_luminosity, first, kt_kev, flux)


def found(rng: np.random.Generator, haloes: Haloes) -> NDArray[np.bool_]:
    """Whether the survey finds each halo: log10 F > -13.20 + N(0, 0.387).

    Measured: with these two numbers masses, redshifts and counts come out as in the real set (docs/physics.md).
    """
    limit = FLUX_LIMIT_DEX + FLUX_LIMIT_SCATTER_DEX * rng.standard_normal(len(haloes.redshift))
    return np.log10(haloes.flux_erg_s_cm2) > limit


def draw_cluster(rng: np.random.Generator) -> Haloes:
    """Draw haloes until the survey finds one (`draw_haloes`, `found`)."""
    while True:
        haloes = draw_haloes(rng, _BATCH)
        hits = np.flatnonzero(found(rng, haloes))
        if hits.size:
            return haloes.one(int(hits[0]))


def draw_shape(rng: np.random.Generator, luminosity_residual: float) -> Shape:
    """Draw a cluster's shape; small cores are bright (cool cores), hence the luminosity's residual.

    ln(rc/R500) ~ N(-1.92, 0.78), beta = 1.077 + 0.212 ln(rc/R500) +- 0.14, axis ratios with their weights: measured
    and published values (docs/physics.md); the ranges to which they are clipped are a choice.
    """
    rho = CORE_LUMINOSITY_CORRELATION
    deviate = rho * luminosity_residual + np.sqrt(1 - rho**2) * rng.standard_normal()
    log_core = float(np.clip(CORE_LN_MEAN + CORE_LN_SCATTER * deviate, *CORE_LN_RANGE))
    beta = float(np.clip(1.077 + 0.212 * log_core + BETA_SCATTER * rng.standard_normal(), *BETA_RANGE))
    axis_ratio = float(rng.choice(AXIS_RATIOS, p=AXIS_WEIGHTS))
    return Shape(float(np.exp(log_core)), beta, axis_ratio, float(np.pi * rng.random()))


def central_density_cm3(haloes: Haloes, shape: Shape) -> Floats:
    """Central electron density of the beta model that has the halo's luminosity (`gas.central_density_cm3`)."""
    core_kpc = shape.core_r500 * cosmology.r500_kpc(10**haloes.log_mass, haloes.redshift)
    cooling = spectrum.cooling_erg_cm3_s(haloes.kt_kev)
    return gas.central_density_cm3(10**haloes.log_luminosity, cooling, shape.beta, core_kpc, 1 / shape.core_r500)


@cache
def _cells() -> tuple[Floats, Floats, Floats]:
    """Interpolate the abundance, in its logarithm, on cells of 0.01 dex and 0.005 in z, and add them up."""
    redshift, log_mass, density = tables.halo_abundance()
    edges_mass = np.linspace(log_mass[0], log_mass[-1], round((log_mass[-1] - log_mass[0]) / 0.01) + 1)
    edges_redshift = np.linspace(redshift[0], redshift[-1], round((redshift[-1] - redshift[0]) / 0.005) + 1)
    middle_mass = (edges_mass[1:] + edges_mass[:-1]) / 2
    middle_redshift = (edges_redshift[1:] + edges_redshift[:-1]) / 2
    log_density = np.log(density)
    by_mass = np.array([np.interp(middle_mass, log_mass, row) for row in log_density])
    fine = np.array([np.interp(middle_redshift, redshift, column) for column in by_mass.T]).T
    return edges_mass, edges_redshift, np.cumsum(np.exp(fine).ravel())
