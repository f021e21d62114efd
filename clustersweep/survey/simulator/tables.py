"""The package's own tables (`data/`, sources in its README), read once. No physics here."""

import itertools
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def read_table(name: str) -> Floats:
    """Read `data/name`, `(row, column)`; lines that start with # say where it comes from."""
    text = (files("clustersweep.survey.data") / name).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    first = lines[0].split(",")[0]
    numbers = lines if first.replace(".", "").isdigit() else lines[1:]
    return np.loadtxt(numbers, delimiter=",", ndmin=2)


@dataclass(frozen=True)
class Bands:
    """The ten energy bands, each array `(band,)`.

    Attributes:
        edges_kev: `(band + 1,)`, observed.
        transmission: Share of photons that Galactic hydrogen of 3e20 cm^-2 lets through.
        background_cts_s_arcmin2: Blank-sky rate per second of unvignetted exposure.
    """

    edges_kev: Floats
    transmission: Floats
    background_cts_s_arcmin2: Floats

    def __len__(self) -> int:
        return len(self.transmission)

    @property
    def pairs_kev(self) -> tuple[tuple[float, float], ...]:
        """Lower and upper edge of each band."""
        edges = [round(float(edge), 4) for edge in self.edges_kev]
        return tuple(itertools.pairwise(edges))


@cache
def bands() -> Bands:
    """Return the survey's bands."""
    table = read_table("bands10.csv")
    return Bands(np.append(table[:, 1], table[-1, 2]), table[:, 5], table[:, 6])


@cache
def effective_area() -> tuple[Floats, Floats]:
    """Return the on-axis effective area of all seven telescopes: energy in keV, area in cm^2."""
    table = read_table("erosita_area_7tm.csv")
    return table[:, 0], table[:, 1]


@cache
def line_boost() -> tuple[Floats, Floats]:
    """Return kT in keV and the ratio of a plasma's 0.5-2 keV emission with lines to its bremsstrahlung."""
    table = read_table("line_boost_vs_kT.csv")
    return table[:, 0], table[:, 1]


@cache
def measured_psf() -> tuple[Floats, Floats]:
    """Return radius in arcsec and the enclosed fraction of the light within 60", measured on stars."""
    table = read_table("psf_eef_measured.csv")
    return table[:, 0], table[:, 1]


@cache
def halo_abundance() -> tuple[Floats, Floats, Floats]:
    """Return redshift, log10 M500c / Msun, and haloes per deg^2, unit redshift and dex, `(redshift, mass)`."""
    table = read_table("mass_function.csv")
    return table[1:, 0], table[0, 1:], 10.0 ** table[1:, 1:]
