"""Units of masses: what a file's TUNIT or a study's `mass_unit` says, and log10 of solar masses made of it.

Knows no catalogue.
"""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEAST_LOG, LARGEST_LOG = 11.0, 16.5
"""No group or cluster of galaxies has a log10 M500c in solar masses outside."""
RANGE = f"{10**LEAST_LOG:.0e} to {10**LARGEST_LOG:.0e} solar masses".replace("+", "")
EXAMPLES = "solMass, 1e14 solMass, dex(solMass) for log10, kg"

_LOGARITHM = re.compile(r"^(?:dex|log10|log)\s*[(\[]\s*(.*?)\s*[)\]]$", re.IGNORECASE)
_POWER = re.compile(
    r"^(?:10\s*(?:\*\*|\^)\s*\(?\s*[+]?(\d+)\s*\)?|1(?:\.0*)?e[+]?(\d+))\s*[*.]?\s*(.+)$", re.IGNORECASE
)
_SUN = re.compile(r"^(?:sol_?mass|m_?sun|m_?sol|m_?\{?\\?odot\}?|solar\s*mass(?:es)?)$", re.IGNORECASE)
_HUBBLE = re.compile(r"(?<![a-z])h(?:_?\d+)?(?![a-z])", re.IGNORECASE)  # as in Msun/h, h-1 Msun, h70^-1 Msun


@dataclass(frozen=True)
class MassUnit:
    """What a number of a column means.

    Attributes:
        factor: Solar masses of one unit.
        logarithmic: Whether the numbers are log10 of masses in this unit.
    """

    factor: float = 1.0
    logarithmic: bool = False

    def log_mass(self, column: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return log10 of solar masses, `(cluster,)`; NaN where a linear mass is not positive."""
        if self.logarithmic:
            return column if self.factor == 1.0 else column + np.log10(self.factor)
        mass = column if self.factor == 1.0 else column * self.factor
        if (mass > 0).all():
            return np.log10(mass)  # in one piece: the last bits of stored studies
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.log10(mass, where=mass > 0, out=np.full(len(mass), np.nan))

    def __str__(self) -> str:
        """Return the unit as a study would write it."""
        linear = "solMass" if self.factor == 1.0 else f"{self.factor:.6g} solMass"
        return f"dex({linear})" if self.logarithmic else linear


SOLAR = MassUnit()


def is_mass(log_mass: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which of log10 of solar masses, `(cluster,)`, a cluster may have."""
    with np.errstate(invalid="ignore"):
        return np.asarray((log_mass >= LEAST_LOG) & (log_mass <= LARGEST_LOG))


def hubble_text(text: str) -> str:
    """Return what to do about a unit with the Hubble constant in it; empty where there is none."""
    return f"; with h = 0.7, masses in Msun/h are in {1 / 0.7:.6g} solMass" if _HUBBLE.search(text) else ""


def mass_unit(text: str) -> MassUnit | None:
    """Return the unit that a text means; None where it is no unit of mass."""
    text = text.strip()
    if logarithm := _LOGARITHM.match(text):
        inside = mass_unit(logarithm[1])
        return None if inside is None or inside.logarithmic else MassUnit(inside.factor, logarithmic=True)
    if power := _POWER.match(text):
        inside = mass_unit(power[3])
        if inside is None or inside.logarithmic:
            return None
        return MassUnit(inside.factor * float(f"1e{power[1] or power[2]}"))
    if _SUN.match(text):
        return MassUnit()
    from astropy import units  # takes a moment, and most units are written as above

    try:
        return MassUnit(float(units.Unit(text).to(units.solMass)))
    except (ValueError, TypeError, units.UnitConversionError):
        return None
