"""Distances, the expansion rate and R500 in the survey's cosmology. Nothing about gas or telescopes.

Flat LambdaCDM with H0 = 67.74 km/s/Mpc, Om0 = 0.3089, Ob0 = 0.0486 (the simulations behind the eFEDS mock,
Comparat et al. 2020, arXiv:2008.08404).
"""

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

HUBBLE_KM_S_MPC = 67.74
OMEGA_MATTER = 0.3089
OMEGA_BARYON = 0.0486

CM_PER_MPC = 3.0856775814913673e24
_GRID = np.concatenate([[0.0], np.geomspace(1e-4, 5.0, 1500)])


@cache
def _tables() -> tuple[Floats, Floats]:
    """Tabulate the comoving distance in Mpc and the critical density in Msun / Mpc^3 over redshift."""
    # astropy's cosmology takes half a second to import; only a simulation needs it.
    from astropy import units
    from astropy.cosmology import FlatLambdaCDM

    model = FlatLambdaCDM(H0=HUBBLE_KM_S_MPC, Om0=OMEGA_MATTER, Ob0=OMEGA_BARYON)
    density = model.critical_density(_GRID).to_value(units.Msun / units.Mpc**3)
    return model.comoving_distance(_GRID).to_value(units.Mpc), density


def expansion(redshift: ArrayLike) -> Floats:
    """Return E(z) = H(z) / H0 = sqrt(Om (1 + z)^3 + 1 - Om), flat (Hogg 1999, astro-ph/9905116, eq. 14)."""
    return np.asarray(np.sqrt(OMEGA_MATTER * (1 + np.asarray(redshift)) ** 3 + 1 - OMEGA_MATTER))


def luminosity_distance_mpc(redshift: ArrayLike) -> Floats:
    """Return d_L = (1 + z) d_C in Mpc, for z up to 5 (Hogg 1999, astro-ph/9905116, section 7)."""
    redshift = np.asarray(redshift)
    return np.asarray((1 + redshift) * np.interp(redshift, _GRID, _tables()[0]))


def kpc_per_arcmin(redshift: ArrayLike) -> Floats:
    """Return the transverse size of one arcminute in kpc: d_C / (1 + z) times the angle (Hogg 1999, section 6)."""
    redshift = np.asarray(redshift)
    distance_kpc = 1e3 * np.interp(redshift, _GRID, _tables()[0]) / (1 + redshift)
    return np.asarray(distance_kpc * np.pi / (180 * 60))


def r500_kpc(mass_msun: ArrayLike, redshift: ArrayLike) -> Floats:
    """Return the radius within which the mean density is 500 times critical: M = 500 rho_c(z) 4/3 pi R^3.

    The usual definition (Voit 2005, Rev. Mod. Phys. 77, 207).
    """
    critical = np.interp(np.asarray(redshift), _GRID, _tables()[1])
    return np.asarray(1e3 * np.cbrt(3 * np.asarray(mass_msun) / (4 * np.pi * 500 * critical)))
