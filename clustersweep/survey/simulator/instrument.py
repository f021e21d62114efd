"""The telescope: exposure, point spread function, background and the field of view.

What happens to photons between the sky and the pixels; no sources.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clustersweep.survey.simulator import tables

Floats = NDArray[np.float64]

FIELD_ARCMIN = 20.0
"""Width of an image, whatever the number of pixels: 50 pixels of 24 arcsec, or 300 of 4 arcsec."""
PSF_CORE_ARCSEC, PSF_CUT_ARCSEC = 8.5, 60.0
EXPOSURE_S, EXPOSURE_SCATTER_S, EXPOSURE_FLOOR_S = 1250.0, 200.0, 600.0
"""Vignetted exposure; it multiplies the on-axis area, which must then not be survey-averaged."""
UNVIGNETTED_RATIO = 2200.0 / 1250.0


def draw_exposure_s(rng: np.random.Generator) -> float:
    """Draw a vignetted exposure in seconds: N(1250, 200), at least 600.

    Inferred (docs/physics.md); the field and its exposure: Brunner et al. 2022 (A&A 661, A1).
    """
    return max(EXPOSURE_FLOOR_S, EXPOSURE_S + EXPOSURE_SCATTER_S * rng.standard_normal())


def psf_enclosed(radius_arcsec: ArrayLike) -> Floats:
    """Share of a point source's light within a radius: 1 - (1 + (r / 8.5")^2)^(-1/2), over that at 60".

    King's profile with the core measured on three stars of the field (`data/psf_eef_measured.csv`).
    """
    radius = np.minimum(np.asarray(radius_arcsec, dtype=float), PSF_CUT_ARCSEC)
    return _king(radius) / _king(np.asarray(PSF_CUT_ARCSEC))


def psf_offsets(rng: np.random.Generator, count: int) -> Floats:
    """Draw displacements in arcmin by the point spread function, `(2, photon)`; inverts `psf_enclosed`."""
    share = rng.random(count) * _king(np.asarray(PSF_CUT_ARCSEC))
    radius_arcmin = PSF_CORE_ARCSEC / 60 * np.sqrt((1 - share) ** -2 - 1)
    phi = 2 * np.pi * rng.random(count)
    return np.stack([radius_arcmin * np.cos(phi), radius_arcmin * np.sin(phi)])


def background_rate_cts_s() -> Floats:
    """Return blank-sky counts per second of unvignetted exposure over the whole field, `(band,)`.

    Measured in the eFEDS field (`data/bands10.csv`; Brunner et al. 2022, A&A 661, A1).
    """
    return tables.bands().background_cts_s_arcmin2 * FIELD_ARCMIN**2


def _king(radius_arcsec: Floats) -> Floats:
    return np.asarray(1 - (1 + (radius_arcsec / PSF_CORE_ARCSEC) ** 2) ** -0.5)
