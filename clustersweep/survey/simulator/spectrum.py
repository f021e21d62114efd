"""What a photon's energy is: bremsstrahlung and lines of hot gas, power laws, and their counts in the bands.

Spectra and instrument response over energy; nothing about positions or populations.
"""

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import k0e

from clustersweep.survey.simulator import tables

Floats = NDArray[np.float64]

ERG_PER_KEV = 1.602176634e-9
SOFT_KEV = (0.5, 2.0)
"""The band in which fluxes and luminosities are quoted."""
LINE_KEV, LINE_SIGMA_KEV = 0.95, 0.15
"""Where the excess over bremsstrahlung goes, rest frame: around the Fe L lines. A choice, no plasma code."""
PHOTON_INDEX = 1.9
"""Of active galaxies."""

# 32 pi e^6 / (3 m_e c^3) sqrt(2 pi / (3 m_e k)) in erg cm^3 s^-1 Hz^-1 K^1/2 (Rybicki & Lightman 1979, 5.14).
_BREMSSTRAHLUNG_CGS = 6.84e-38
_IONS = 1.35  # sum of n_e n_Z Z^2 over n_e n_p: helium and metals
_HZ_PER_KEV = 2.418e17
_KELVIN_PER_KEV = 1.1604518e7
_STEPS = 96  # points of an integral over one band or over 0.5-2 keV


def gaunt_factor(energy_kev: ArrayLike, kt_kev: ArrayLike) -> Floats:
    """Free-free Gaunt factor: (sqrt(3)/pi) exp(u/2) K0(u/2), u = E / kT.

    The Born approximation, averaged over a thermal plasma (Karzas & Latter 1961, ApJS 6, 167).
    """
    return np.asarray(0.551 * k0e(np.asarray(energy_kev) / (2 * np.asarray(kt_kev))))


def bremsstrahlung(energy_kev: ArrayLike, kt_kev: ArrayLike) -> Floats:
    """Energy emitted per n_e n_p, in erg cm^3 / s / keV.

    eps = (2^5 pi e^6 / 3 m_e c^3) (2 pi / 3 m_e k)^(1/2) g Z^2 T^(-1/2) exp(-E/kT), summed over the ions
    (eq. 1 of the lab report behind this project; Rybicki & Lightman 1979, eq. 5.14).
    """
    temperature = np.asarray(kt_kev) * _KELVIN_PER_KEV
    strength = _BREMSSTRAHLUNG_CGS * _IONS * _HZ_PER_KEV / np.sqrt(temperature)
    decay = np.exp(-np.asarray(energy_kev) / np.asarray(kt_kev))
    return np.asarray(strength * gaunt_factor(energy_kev, kt_kev) * decay)


def line_boost(kt_kev: ArrayLike) -> Floats:
    """Emission with lines over bremsstrahlung, 0.5-2 keV rest frame; at least 1.

    Interpolated in the logarithms of `data/line_boost_vs_kT.csv` (APEC: Smith et al. 2001, ApJ 556, L91).
    """
    temperature, boost = tables.line_boost()
    return np.maximum(1.0, np.exp(np.interp(np.log(kt_kev), np.log(temperature), np.log(boost))))


def plasma(energy_kev: ArrayLike, kt_kev: ArrayLike, *, lines: bool = True) -> Floats:
    """Energy emitted per n_e n_p by gas with lines, in erg cm^3 / s / keV, broadcast over energy and kT.

    `bremsstrahlung`, and one Gaussian near 0.95 keV that holds all that `line_boost` has above it: a choice, since
    ten broad bands do not resolve lines.
    """
    energy, kt = np.asarray(energy_kev, dtype=float), np.asarray(kt_kev, dtype=float)
    continuum = bremsstrahlung(energy, kt)
    if not lines:
        return continuum
    soft = np.linspace(*SOFT_KEV, _STEPS)
    grid = soft.reshape(-1, *([1] * kt.ndim))
    within = np.trapezoid(bremsstrahlung(grid, kt), soft, axis=0)
    bump = np.exp(-0.5 * ((energy - LINE_KEV) / LINE_SIGMA_KEV) ** 2) / (LINE_SIGMA_KEV * np.sqrt(2 * np.pi))
    return np.asarray(continuum + (line_boost(kt) - 1) * within * bump)


def cooling_erg_cm3_s(kt_kev: ArrayLike) -> Floats:
    """Energy emitted in 0.5-2 keV, rest frame, per n_e n_p: the integral of `plasma`."""
    energy = np.linspace(*SOFT_KEV, _STEPS)
    kt = np.asarray(kt_kev, dtype=float)
    return np.asarray(np.trapezoid(plasma(energy, kt[..., None]), energy, axis=-1))


def power_law(energy_kev: ArrayLike, photon_index: float = PHOTON_INDEX) -> Floats:
    """Energy spectrum of an active galaxy, arbitrary units: E^(1 - photon index). The index 1.9 is a choice."""
    return np.asarray(energy_kev, dtype=float) ** (1 - photon_index)


def band_factors(energy_flux: Floats, energy_kev: Floats, soft_flux: Floats) -> Floats:
    """Fold spectra with absorption and effective area.

    Rate = integral of (energy flux / E) A(E) dE times the band's transmission. A(E) on axis is eROSITA's public
    calibration (Predehl et al. 2021, A&A 647, A1), the transmission that of 3e20 cm^-2 (`data/README.md`).

    Args:
        energy_flux: `(..., band, energy)`, observed energy per unit energy, any units.
        energy_kev: `(band, energy)`, observed.
        soft_flux: `(...)`, the same spectrum's integral over 0.5-2 keV, observed, unabsorbed.

    Returns:
        Counts per second and per erg/s/cm^2 of unabsorbed 0.5-2 keV flux, `(..., band)`.
    """
    area_cm2 = np.interp(energy_kev, *tables.effective_area())
    photons = energy_flux / energy_kev * area_cm2
    rate = np.trapezoid(photons, energy_kev, axis=-1) * tables.bands().transmission
    return np.asarray(rate / (soft_flux[..., None] * ERG_PER_KEV))


def band_energies() -> Floats:
    """Return the energies at which each band is integrated, `(band, energy)` in keV."""
    edges = tables.bands().edges_kev
    return np.linspace(edges[:-1], edges[1:], _STEPS, axis=-1)


def plasma_response(kt_kev: ArrayLike, redshift: ArrayLike, *, lines: bool = True) -> tuple[Floats, Floats]:
    """Return counts per second per unit 0.5-2 keV flux `(..., band)`, and the K-correction `(...)`.

    Both by integration. The K-correction is the 0.5-2 keV flux, observed frame, over
    L(0.5-2 keV, rest frame) / (4 pi d_L^2) (Hogg et al. 2002, astro-ph/0210394).
    """
    kt, shift = np.broadcast_arrays(np.asarray(kt_kev, dtype=float), 1 + np.asarray(redshift, dtype=float))
    soft = np.linspace(*SOFT_KEV, _STEPS)
    observed = np.trapezoid(plasma(soft * shift[..., None], kt[..., None], lines=lines), soft, axis=-1)
    rest = np.trapezoid(plasma(soft, kt[..., None], lines=lines), soft, axis=-1)
    energy = band_energies()
    spectrum = plasma(energy * shift[..., None, None], kt[..., None, None], lines=lines)
    # dE = (1 + z) dE_observed: the flux density at one observed energy gathers a wider rest-frame interval.
    return band_factors(spectrum, energy, np.asarray(observed)), np.asarray(shift * observed / rest)


@cache
def point_source_response() -> Floats:
    """Return an active galaxy's counts per second per unit of unabsorbed 0.5-2 keV flux: `power_law`, `(band,)`."""
    soft, energy = np.linspace(*SOFT_KEV, _STEPS), band_energies()
    return band_factors(power_law(energy), energy, np.asarray(np.trapezoid(power_law(soft), soft)))


_KT_KEV = np.geomspace(0.2, 25.0, 64)
_REDSHIFT = np.linspace(0.0, 1.6, 65)


@cache
def _response_table() -> tuple[Floats, Floats]:
    return plasma_response(_KT_KEV[:, None], _REDSHIFT)


def interpolated_response(kt_kev: ArrayLike, redshift: ArrayLike) -> tuple[Floats, Floats]:
    """Return `plasma_response` from a table, bilinear in log kT and z; within 0.3 % of the integrals."""
    rates, correction = _response_table()
    row, up = _cell(np.log(_KT_KEV), np.log(np.asarray(kt_kev)))
    column, right = _cell(_REDSHIFT, np.asarray(redshift))

    def interpolate(table: Floats) -> Floats:
        extra = (...,) + (None,) * (table.ndim - 2)
        u, r = up[extra], right[extra]
        low = table[row, column] * (1 - r) + table[row, column + 1] * r
        high = table[row + 1, column] * (1 - r) + table[row + 1, column + 1] * r
        return np.asarray(low * (1 - u) + high * u)

    return interpolate(rates), interpolate(correction)


def _cell(grid: Floats, value: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Find the grid cell of each value, clipped to the grid, and its place in the cell from 0 to 1."""
    step = grid[1] - grid[0]
    place = np.clip((value - grid[0]) / step, 0, len(grid) - 1 - 1e-9)
    index = place.astype(np.int64)
    return index, np.asarray(place - index)
