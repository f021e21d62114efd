"""The gas of a cluster in its King potential: density, emission measure, brightness, photon positions.

Equation numbers are those of section 2.1 of the lab report behind this project; Sarazin 1986 (Rev. Mod. Phys. 58, 1)
reviews them all. Shapes and normalisations of one object; no spectrum, no telescope, no population.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gamma

from clustersweep.survey.simulator.cosmology import CM_PER_MPC

Floats = NDArray[np.float64]

MEAN_MOLECULAR_WEIGHT = 0.6
"""mu of a fully ionised plasma with a third of the solar metals."""
ELECTRONS_PER_PROTON = 1.18
_KM2_S2_PER_KEV = 1.602176634e-9 / 1.67262192e-24 / 1e10  # kT / m_p

TRUNCATION_R500 = 3.0
"""The gas ends here: below beta = 0.5 the flux of an endless beta model diverges."""


def king_potential(x: ArrayLike, sigma_km_s: float) -> Floats:
    """Potential of a King sphere in (km/s)^2 at x = r / r_c (lab report, eq. 5; King 1962, AJ 67, 471).

    phi = -4 pi G rho0 r_c^2 ln(x + sqrt(1 + x^2)) / x, where sigma_r^2 = 4 pi G rho0 r_c^2 / 9.
    """
    radius = np.maximum(np.asarray(x, dtype=float), 1e-9)  # the limit at the centre is -9 sigma^2
    return np.asarray(-9 * sigma_km_s**2 * np.arcsinh(radius) / radius)


def beta_from_temperature(sigma_km_s: ArrayLike, kt_kev: ArrayLike) -> Floats:
    """Return beta = mu m_p sigma_r^2 / (k T), energy of galaxies over gas.

    Lab report, after eq. 8; Cavaliere & Fusco-Femiano 1976 (A&A 49, 137).
    """
    energy = MEAN_MOLECULAR_WEIGHT * np.asarray(sigma_km_s) ** 2
    return energy / (_KM2_S2_PER_KEV * np.asarray(kt_kev))


def velocity_dispersion_km_s(beta: ArrayLike, kt_kev: ArrayLike) -> Floats:
    """Return the galaxies' velocity dispersion that beta and kT imply; inverts `beta_from_temperature`."""
    return np.asarray(np.sqrt(np.asarray(beta) * _KM2_S2_PER_KEV * np.asarray(kt_kev) / MEAN_MOLECULAR_WEIGHT))


def hydrostatic_density(x: ArrayLike, beta: float) -> Floats:
    """Density, 1 at the centre, of isothermal gas at rest in a King potential, without approximation.

    rho / rho0 = exp(-mu m_p (phi - phi0) / kT) = exp(-beta (phi - phi0) / sigma_r^2) (lab report, eq. 6 and 7).
    """
    return np.asarray(np.exp(-beta * (king_potential(x, 1.0) + 9.0)))


def gas_density(x: ArrayLike, beta: ArrayLike) -> Floats:
    """The beta model, 1 at the centre: (1 + x^2)^(-3 beta / 2), x = r / r_c.

    It follows where the galaxies' density is approximated by King's (1 + x^2)^(-3/2), as it was meant to be
    (lab report, eq. 8; Cavaliere & Fusco-Femiano 1976, A&A 49, 137).
    """
    return (1 + np.asarray(x) ** 2) ** (-1.5 * np.asarray(beta))


def surface_brightness(x: ArrayLike, beta: ArrayLike) -> Floats:
    """Projected beta model, 1 at the centre: I_X(b) ~ (1 + x^2)^(-3 beta + 1/2), x = b / r_c (lab report, eq. 9)."""
    return (1 + np.asarray(x) ** 2) ** (0.5 - 3 * np.asarray(beta))


def emission_measure(x: ArrayLike, beta: ArrayLike, core_kpc: ArrayLike, density_cm3: ArrayLike) -> Floats:
    """Integral of n_e n_p along the line of sight at x = b / r_c, in cm^-5 (lab report, eq. 2 and 9).

    EM = sqrt(pi) (n_p/n_e) n_e0^2 r_c Gamma(3 beta - 1/2) / Gamma(3 beta) (1 + x^2)^(-3 beta + 1/2), for a
    central electron density n_e0; written with that of the protons, as rho0, the factor is n_e/n_p.
    """
    beta = np.asarray(beta)
    core_cm = np.asarray(core_kpc) * CM_PER_MPC / 1e3
    centre = np.sqrt(np.pi) * np.asarray(density_cm3) ** 2 / ELECTRONS_PER_PROTON * core_cm
    return np.asarray(centre * gamma(3 * beta - 0.5) / gamma(3 * beta) * surface_brightness(x, beta))


def enclosed(x: ArrayLike, beta: ArrayLike) -> Floats:
    """Integrate 2 x I_X (`surface_brightness`) from 0 to x: [(1 + x^2)^p - 1] / p, p = 3/2 - 3 beta."""
    power = _nonzero(1.5 - 3 * np.asarray(beta))
    return np.asarray(np.expm1(power * np.log1p(np.asarray(x) ** 2)) / power)


def radius_enclosing(fraction: ArrayLike, x_max: float, beta: float) -> Floats:
    """Return x = b / r_c within which `fraction` of the light inside `x_max` lies; inverts `enclosed`."""
    power = float(_nonzero(np.asarray(1.5 - 3 * beta)))
    whole = np.expm1(power * np.log1p(x_max**2))
    return np.asarray(np.sqrt(np.expm1(np.log1p(np.asarray(fraction) * whole) / power)))


def central_density_cm3(
    luminosity_erg_s: ArrayLike,
    cooling_erg_cm3_s: ArrayLike,
    beta: ArrayLike,
    core_kpc: ArrayLike,
    x500: ArrayLike,
) -> Floats:
    """Central electron density that gives the luminosity within projected R500: L = Lambda times EM over the disc.

    `emission_measure` at the centre, times the area that the disc's light would fill at the centre's brightness.
    """
    core_cm2 = (np.asarray(core_kpc) * CM_PER_MPC / 1e3) ** 2
    measure = emission_measure(0.0, beta, core_kpc, 1.0) * np.pi * core_cm2 * enclosed(x500, beta)
    return np.sqrt(np.asarray(luminosity_erg_s) / (np.asarray(cooling_erg_cm3_s) * measure))


def elliptical_positions(
    rng: np.random.Generator,
    count: int,
    *,
    core_arcmin: float,
    x_max: float,
    beta: float,
    axis_ratio: float,
    angle_rad: float,
) -> Floats:
    """Draw photons of an elliptical beta model: offsets from the centre in arcmin, `(2, photon)` as (x, y).

    r is drawn by `radius_enclosing`. The ellipse keeps the circle's area: semi-axes r / sqrt(q) and r sqrt(q).
    """
    radius = core_arcmin * radius_enclosing(rng.random(count), x_max, beta)
    phi = 2 * np.pi * rng.random(count)
    along = radius * np.cos(phi) / np.sqrt(axis_ratio)
    across = radius * np.sin(phi) * np.sqrt(axis_ratio)
    cosine, sine = np.cos(angle_rad), np.sin(angle_rad)
    return np.stack([along * cosine - across * sine, along * sine + across * cosine])


def _nonzero(power: Floats) -> Floats:
    """Step off beta = 0.5, where the closed form has its removable singularity."""
    return np.where(np.abs(power) < 1e-9, 1e-9, power)
