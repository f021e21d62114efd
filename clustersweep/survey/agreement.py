"""Whether images and catalogue seem to belong together: counts follow mass, and the spectrum may be a cluster's.

Arithmetic on a data set in memory. It can only raise suspicions, which are logged: that rows and images are in one
order, and which band is which, is nowhere written but in identifiers and band edges.
"""

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clustersweep.survey.dataset import Dataset, chunks

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]

CENTRAL_RADIUS = 0.075
"""Radius of the centre as a share of the image's width: 1.5' of the 20' of a simulated image.

A share, because the angular size of a user's own pixels is not known.
"""
_ENOUGH = 30  # clusters, below which chance alone correlates as strongly as masses do
_AROUND_1_KEV = (0.8, 1.6)  # middles of bands in which X-ray telescopes see most of a cluster
_HARD_KEV = 2.0  # above, both a cluster's photons and the area of every telescope's mirrors become fewer

_CLEARLY = 1.25  # times as many: bands that were scaled to be alike are no suspicion


@dataclass(frozen=True)
class Agreement:
    """How well images go with masses and with the energies of their bands.

    Attributes:
        whole: Rank correlation (Spearman) of an image's counts and its mass, at given redshift where redshifts are
            known; NaN where all masses or all images are equal.
        centre: The same of the counts within `CENTRAL_RADIUS` of the middle.
        error: How far chance alone takes a correlation from none, one standard deviation.
        clusters: How many were compared.
        at_redshift: Whether the redshift was held fixed.
        band_means: Mean over the clusters of the counts in each band, `(band,)`.
        bands_kev: Edges of the bands; empty where they are not known.
    """

    whole: float
    centre: float
    error: float
    clusters: int
    at_redshift: bool
    band_means: tuple[float, ...]
    bands_kev: tuple[tuple[float, float], ...]

    @property
    def correlation_text(self) -> str:
        """Return the correlations as text; empty where there are none."""
        if math.isnan(self.whole) or math.isnan(self.centre):
            return ""
        given = " at given redshift" if self.at_redshift else ""
        return f"{self.whole:.2f}, in the centre {self.centre:.2f}{given} (± {self.error:.2f} by chance)"

    @property
    def bands_text(self) -> str:
        """Return the mean counts of the bands as text, in the order of the file."""
        return "  ".join(f"{mean:,.4g}" for mean in self.band_means)

    def suspicions(self) -> tuple[str, ...]:
        """Return what does not look as images of clusters do, each with what to check."""
        found = []
        if self.correlation_text and self.clusters >= _ENOUGH and max(self.whole, self.centre) < 2 * self.error:
            found.append(
                f"the counts do not follow the masses (rank correlation {self.correlation_text}): are the rows of the "
                "catalogue in the order of the images?"
            )
        if hardest := _too_hard(self.band_means, self.bands_kev):
            found.append(
                f"the band of {hardest} has more counts per keV than any around 1 keV, which is no cluster's spectrum: "
                "is the order of the bands reversed?"
            )
        return tuple(found)


class ImageSums(NamedTuple):
    """What images add up to: each image, `(cluster,)`, its centre, `(cluster,)`, each band of all images, `(band,)`."""

    whole: Floats
    centre: Floats
    bands: Floats


def agreement(dataset: Dataset, added: ImageSums | None = None) -> Agreement:
    """Compare the images of a data set, by what they add up to, with its masses and its bands."""
    whole, centre, bands = added or sums(dataset)
    known = np.isfinite(dataset.redshift)
    at_redshift = bool(known.sum() >= min(_ENOUGH, len(dataset)))
    rows = known if at_redshift else np.ones(len(dataset), np.bool_)
    mass = _ranks(dataset.log_mass[rows])
    fixed = _ranks(dataset.redshift[rows]) if at_redshift else np.zeros(len(mass))
    number = int(rows.sum())
    return Agreement(
        whole=_partial(_ranks(whole[rows]), mass, fixed),
        centre=_partial(_ranks(centre[rows]), mass, fixed),
        error=1 / math.sqrt(max(1, number - 1 - at_redshift)),
        clusters=number,
        at_redshift=at_redshift,
        band_means=tuple(float(total / len(dataset)) for total in bands),
        bands_kev=dataset.bands_kev,
    )


def warn_of_suspicions(found: Agreement, images: Path) -> None:
    """Log what does not look as images of clusters do, after the name of their file."""
    for suspicion in found.suspicions():
        log.warning("%s: %s", images, suspicion)


def sums(dataset: Dataset) -> ImageSums:
    """Add up the images of a data set, in one pass over their pixels."""
    inside = within(dataset.image_shape, CENTRAL_RADIUS)
    whole, centre = np.empty(len(dataset)), np.empty(len(dataset))
    bands = np.zeros(dataset.image_shape[2])
    for rows in chunks(len(dataset), dataset.images[:1].nbytes):
        images = dataset.images[rows]
        by_band = images.sum(axis=(1, 2), dtype=np.float64)
        whole[rows], bands = by_band.sum(axis=1), bands + by_band.sum(axis=0)
        centre[rows] = images[:, inside].sum(axis=(1, 2), dtype=np.float64)
    return ImageSums(whole, centre, bands)


def within(image_shape: tuple[int, int, int], radius: float) -> NDArray[np.bool_]:
    """Tell which pixels lie within `radius`, a share of the image's width, of its centre, `(height, width)`."""
    height, width, _ = image_shape
    distance = np.hypot(*np.ogrid[(1 - height) / 2 : height / 2, (1 - width) / 2 : width / 2])
    # Coarse images have no pixel centre so close: the innermost pixels are the centre then.
    return np.asarray(distance <= max(radius * width, float(distance.min())))


def _ranks(values: Floats) -> Floats:
    """Return the place of each value among them, equal ones at the mean of theirs."""
    _, place, number = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(number) - (number - 1) / 2)[place])


def _partial(one: Floats, other: Floats, fixed: Floats) -> float:
    """Return the correlation of two that remains when a third is held fixed; NaN where one of them does not vary."""

    def without(values: Floats) -> Floats:
        values, given = values - values.mean(), fixed - fixed.mean()
        return values - given * float(values @ given) / float(given @ given) if given.any() else values

    a, b = without(one), without(other)
    norm = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / norm if norm > 1e-9 * len(a) else math.nan


def _too_hard(means: tuple[float, ...], bands_kev: tuple[tuple[float, float], ...]) -> str:
    """Return the hardest band where it has more counts per keV than each around 1 keV; else nothing."""
    if not bands_kev:
        return ""
    per_kev = [mean / (high - low) for mean, (low, high) in zip(means, bands_kev, strict=True)]
    around = [rate for rate, (low, high) in zip(per_kev, bands_kev, strict=True)
              if _AROUND_1_KEV[0] <= (low + high) / 2 <= _AROUND_1_KEV[1]]  # fmt: skip
    (low, high), rate = max(zip(bands_kev, per_kev, strict=True))
    return f"{low:g} to {high:g} keV" if around and low >= _HARD_KEV and rate > _CLEARLY * max(around) else ""
