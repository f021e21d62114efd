"""Active galaxies, the point sources of the sky: number counts and fluxes. No telescope."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

FAINTEST_ERG_S_CM2 = 6.5e-15
"""Fainter ones are part of the measured blank-sky background."""
BREAK_ERG_S_CM2 = 10**-14.04
FAINT_SLOPE, BRIGHT_SLOPE = -1.58, -2.50
DENSITY_PER_DEG2 = 1.51e16
"""Differential counts per deg^2 and erg/s/cm^2 that the faint law has at 1e-14 erg/s/cm^2 (0.5-2 keV)."""
CENTRAL_SHARE = 0.10
"""Share of clusters with an active galaxy at the centre, drawn from the same counts. A choice."""

_REFERENCE_ERG_S_CM2 = 1e-14


def brighter_than(flux_erg_s_cm2: ArrayLike) -> Floats:
    """Sources per square degree above a flux: the integral of K (S / 1e-14)^-1.58, of slope -2.50 above the break.

    The broken power law has the form of Georgakakis et al. 2008 (MNRAS 388, 1205); its level is a choice.
    """
    flux = np.asarray(flux_erg_s_cm2, dtype=float)
    at_break = DENSITY_PER_DEG2 * (BREAK_ERG_S_CM2 / _REFERENCE_ERG_S_CM2) ** FAINT_SLOPE

    def tail(start: Floats, slope: float) -> Floats:
        """Integrate (S / break)^slope from `start` to infinity."""
        ratio = start / BREAK_ERG_S_CM2
        return np.asarray(BREAK_ERG_S_CM2 * ratio ** (slope + 1) / -(slope + 1))

    edge = np.asarray(BREAK_ERG_S_CM2)
    bright = tail(np.maximum(flux, edge), BRIGHT_SLOPE)
    faint = tail(np.minimum(flux, edge), FAINT_SLOPE) - tail(edge, FAINT_SLOPE)
    return np.asarray(at_break * (bright + faint))


def draw_fluxes(rng: np.random.Generator, count: int) -> Floats:
    """Draw fluxes in erg/s/cm^2 above the faintest by inverting `brighter_than` in its two parts."""
    number = brighter_than(FAINTEST_ERG_S_CM2) * (1 - rng.random(count))
    at_break = brighter_than(BREAK_ERG_S_CM2)
    bright = BREAK_ERG_S_CM2 * np.minimum(number / at_break, 1) ** (1 / (BRIGHT_SLOPE + 1))
    density = DENSITY_PER_DEG2 * (BREAK_ERG_S_CM2 / _REFERENCE_ERG_S_CM2) ** FAINT_SLOPE * BREAK_ERG_S_CM2
    excess = 1 + np.maximum(number - at_break, 0) * -(FAINT_SLOPE + 1) / density
    return np.asarray(np.where(number < at_break, bright, BREAK_ERG_S_CM2 * excess ** (1 / (FAINT_SLOPE + 1))))
