"""Figure data and a summary of a data set: numbers to be printed or drawn by others. Draws nothing."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustersweep.survey.agreement import Agreement, agreement, sums
from clustersweep.survey.dataset import Dataset
from clustersweep.survey.groups import is_count
from clustersweep.words import counted

Floats = NDArray[np.float64]

QUANTILES = (0.05, 0.25, 0.50, 0.75, 0.95)
_LARGEST_PX = 64  # examples are shown no finer
_SHOWN_SHARE = 0.999  # one bright quasar would else darken a cluster and all of its bands


@dataclass(frozen=True)
class Histogram:
    """How many clusters fall between the edges; `edges` has one more entry than `clusters`."""

    quantity: str
    edges: Floats
    clusters: NDArray[np.int64]
    median: float


@dataclass(frozen=True)
class MassRedshift:
    """One point for each cluster, `(cluster,)` each."""

    log_mass: Floats
    redshift: Floats
    counts: Floats


@dataclass(frozen=True)
class Example:
    """One cluster band by band.

    Attributes:
        bands: Pixels, `(band, height, width)`, added up where there are too many to show.
        counts: Sum of all pixels.
        share: Share of the clusters that are lighter.
        brightest: Value of a pixel from which on the colour is the brightest; about one pixel in a thousand is above.
    """

    row: int
    identifier: str
    log_mass: float
    redshift: float
    counts: float
    share: float
    bands: Floats
    bands_kev: tuple[tuple[float, float], ...]
    brightest: float


@dataclass(frozen=True)
class Summary:
    """A data set in a dozen numbers; quantiles at 5, 25, 50, 75 and 95 %."""

    clusters: int
    image_shape: tuple[int, int, int]
    pixel_type: str
    bytes: int
    is_counts: bool
    bands_kev: tuple[tuple[float, float], ...]
    log_mass_mean: float
    log_mass_sd: float
    log_mass_range: tuple[float, float]
    log_mass_quantiles: tuple[float, ...]
    redshift_range: tuple[float, float]
    redshift_quantiles: tuple[float, ...]
    agreement: Agreement
    counts_quantiles: tuple[float, ...]
    repeated_identifiers: int
    digest: str
    without_redshift: int = 0
    rows_are_counted: bool = False

    def items(self) -> tuple[tuple[str, str], ...]:
        """Return names and values as text, in the order in which a person wants to know them."""
        height, width, bands = self.image_shape
        kind = "counts" if self.is_counts else "not whole counts (smoothed or scaled)"
        edges = f"{self.bands_kev[0][0]:g} to {self.bands_kev[-1][1]:g} keV" if self.bands_kev else "energies unknown"
        (low, high), (near, far) = self.log_mass_range, self.redshift_range
        unit = "counts in all" if self.is_counts else "in all"
        repeated = f"{self.repeated_identifiers:,} clusters share an identifier with another"
        missing = (
            f"; {counted(self.without_redshift, 'cluster has', 'clusters have')} none" if self.without_redshift else ""
        )
        redshift = f"{near:.3f} to {far:.3f}{missing}" if self.without_redshift < self.clusters else "none"
        counts = _row(self.counts_quantiles, ",.0f" if self.is_counts else ".3g")
        identifiers = repeated if self.repeated_identifiers else "all different"
        if self.rows_are_counted:
            identifiers = "none: the rows are counted"
        correlation = self.agreement.correlation_text
        lines = (
            ("clusters", f"{self.clusters:,}"),
            ("images", f"{height} x {width} pixels x {bands} band{'s' * (bands != 1)}, {edges}"),
            ("pixels", f"{kind}, {self.pixel_type}, {self.bytes / 2**20:,.0f} MiB"),
            (
                "log10 M500c / Msun",
                f"mean {self.log_mass_mean:.2f}, sd {self.log_mass_sd:.3f}, {low:.2f} to {high:.2f}",
            ),
            ("log M, 5 25 50 75 95 %", _row(self.log_mass_quantiles, ".2f")),
            ("redshift", redshift),
            ("z, 5 25 50 75 95 %", _row(self.redshift_quantiles, ".2f") if redshift != "none" else ""),
            ("image, 5 25 50 75 95 %", f"{counts} {unit}"),
            ("mean of each band", self.agreement.bands_text),
            ("counts and mass", f"rank correlation {correlation}" if correlation else ""),
            ("identifiers", identifiers),
            ("digest", self.digest),
        )
        return tuple((name, value) for name, value in lines if value)


def summary(dataset: Dataset) -> Summary:
    """Summarise a data set."""
    _, repeats = np.unique(dataset.identifiers, return_counts=True)
    mass, redshift = dataset.log_mass, dataset.redshift
    known = redshift[np.isfinite(redshift)]
    added = sums(dataset)
    return Summary(
        clusters=len(dataset),
        image_shape=dataset.image_shape,
        pixel_type=dataset.images.dtype.name,
        bytes=dataset.images.nbytes,
        is_counts=dataset.is_counts,
        bands_kev=dataset.bands_kev,
        log_mass_mean=float(mass.mean()),
        log_mass_sd=float(mass.std()),
        log_mass_range=(float(mass.min()), float(mass.max())),
        log_mass_quantiles=_quantiles(mass),
        redshift_range=(float(known.min()), float(known.max())) if known.size else (np.nan, np.nan),
        redshift_quantiles=_quantiles(known) if known.size else (np.nan,) * len(QUANTILES),
        without_redshift=int(len(redshift) - known.size),
        counts_quantiles=_quantiles(added.whole),
        repeated_identifiers=int(repeats[repeats > 1].sum()),
        digest=dataset.digest,
        agreement=agreement(dataset, added),
        rows_are_counted=is_count(dataset.identifiers),
    )


def mass_histogram(dataset: Dataset) -> Histogram:
    """Count clusters in bins of 0.1 dex of mass."""
    return _histogram("log<sub>10</sub> M<sub>500c</sub> / M<sub>☉</sub>", dataset.log_mass, 0.1)


def redshift_histogram(dataset: Dataset) -> Histogram:
    """Count clusters in bins of 0.05 in redshift."""
    return _histogram("redshift", dataset.redshift, 0.05)


def mass_redshift(dataset: Dataset) -> MassRedshift:
    """Return mass, redshift and the sum of the image of each cluster."""
    return MassRedshift(dataset.log_mass, dataset.redshift, sums(dataset).whole)


def examples(dataset: Dataset, count: int = 6) -> tuple[Example, ...]:
    """Choose clusters from the lightest to the heaviest, evenly by rank, and give their bands."""
    order = np.argsort(dataset.log_mass, kind="stable")
    shares = np.linspace(0.05, 0.99, min(count, len(dataset)))
    rows = np.unique(np.round(shares * (len(dataset) - 1)).astype(int))
    return tuple(_example(dataset, int(order[rank]), float(rank / len(dataset))) for rank in rows)


def _example(dataset: Dataset, row: int, share: float) -> Example:
    image = dataset.images[row].astype(np.float64)
    height, width, bands = image.shape
    factor = next(f for f in range(1, height + 1) if height % f == width % f == 0 and height // f <= _LARGEST_PX)
    small = image.reshape(height // factor, factor, width // factor, factor, bands).sum(axis=(1, 3))
    # A pixel's own value, not one between two; in a nearly empty image that may be 0.
    brightest = float(np.quantile(small, _SHOWN_SHARE, method="higher")) or float(small.max())
    return Example(
        row=row,
        identifier=str(dataset.identifiers[row]),
        log_mass=float(dataset.log_mass[row]),
        redshift=float(dataset.redshift[row]),
        counts=float(image.sum()),
        share=share,
        bands=np.moveaxis(small, 2, 0),
        bands_kev=dataset.bands_kev,
        brightest=brightest,
    )


def _histogram(quantity: str, values: Floats, width: float) -> Histogram:
    values = values[np.isfinite(values)]
    if not values.size:
        return Histogram(quantity, np.array([0.0, width]), np.zeros(1, np.int64), 0.0)
    # By whole numbers of bins: 0.3 and the edge 6 x 0.05 differ in their last digit.
    place = np.floor(values / width + 1e-9).astype(np.int64)
    first = place.min()
    clusters = np.bincount(place - first).astype(np.int64)
    edges = (first + np.arange(len(clusters) + 1)) * width
    return Histogram(quantity, edges, clusters, float(np.median(values)))


def _quantiles(values: NDArray[Any]) -> tuple[float, ...]:
    return tuple(float(value) for value in np.quantile(values, QUANTILES))


def _row(values: tuple[float, ...], form: str) -> str:
    return "  ".join(format(value, form) for value in values)
