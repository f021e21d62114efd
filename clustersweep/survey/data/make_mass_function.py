"""Make `mass_function.csv`, the abundance of haloes on the sky. A developer's script, never imported.

Run with the development dependencies: `python clustersweep/survey/data/make_mass_function.py`.
"""

from importlib.metadata import version
from pathlib import Path

import numpy as np
from colossus.cosmology import cosmology
from colossus.lss import mass_function

LOG_MASS = np.arange(13.0, 15.601, 0.05)
REDSHIFT = np.arange(0.01, 1.501, 0.01)
SQUARE_DEGREES = 4 * np.pi * np.degrees(1) ** 2

HEADER = """log10 of d3N / (dOmega dz dlog10 M500c): haloes per square degree, unit redshift and dex of M500c.
First row: log10 M500c / Msun. First column: redshift.
Source: mass function of Tinker et al. 2008 (ApJ 688, 709) for 500 times the critical density, evaluated with
colossus {version} (Diemer 2018, ApJS 239, 35; MIT licence) times the comoving volume, for a flat LambdaCDM
cosmology with H0 = 67.74 km/s/Mpc, Om0 = 0.3089, Ob0 = 0.0486, sigma8 = 0.8159, ns = 0.9667.
Made by make_mass_function.py."""


def abundance() -> np.ndarray:
    """Return `(redshift, mass)`, per square degree, unit redshift and dex."""
    model = {"flat": True, "H0": 67.74, "Om0": 0.3089, "Ob0": 0.0486, "sigma8": 0.8159, "ns": 0.9667}
    cosmo = cosmology.setCosmology("survey", **model)
    h = cosmo.H0 / 100
    rows = []
    for z in REDSHIFT:
        # colossus takes Msun/h and gives dn/dlnM in (Mpc/h)^-3, comoving.
        per_volume = mass_function.massFunction(
            10**LOG_MASS * h, z, mdef="500c", model="tinker08", q_in="M", q_out="dndlnM"
        ) * np.log(10) * h**3  # fmt: skip
        distance_mpc = cosmo.comovingDistance(0.0, z) / h
        volume = 4 * np.pi * distance_mpc**2 * 299792.458 / cosmo.Hz(z) / SQUARE_DEGREES
        rows.append(per_volume * volume)
    return np.array(rows)


def main() -> None:
    """Write the table beside this script."""
    density = np.log10(np.maximum(abundance(), 1e-30))
    table = np.column_stack([np.concatenate([[0.0], REDSHIFT]), np.vstack([LOG_MASS, density])])
    to = Path(__file__).parent / "mass_function.csv"
    header = HEADER.format(version=version("colossus"))
    np.savetxt(to, table, fmt="%.4f", delimiter=",", header=header)


if __name__ == "__main__":
    main()
