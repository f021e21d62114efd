"""Measures a simulated survey against what is known: spectra, PSF, scaling relations, population, references.

What the tests assert and the figures of docs/physics.md show; nothing here is used to simulate.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from clustersweep.survey.simulator import cosmology, instrument, observation, population, spectrum, tables
from clustersweep.survey.split import Split

Floats = NDArray[np.float64]
Columns = Mapping[str, NDArray[Any]]

REAL_MEAN, REAL_SD = 13.96, 0.415
REAL_QUANTILES = {0.05: 0.07, 0.25: 0.17, 0.50: 0.28, 0.75: 0.47, 0.95: 0.80}
REAL_LINE_RMSE = 0.352
"""log10 M500c and redshift of the real set of 7,946 clusters; the last is a straight line in z, in dex."""

REDSHIFT_BINS = (0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9, 1.5)


@dataclass(frozen=True)
class Fit:
    """A straight line through log quantities: level at log10 M = 14 and z = 0.35, slope, scatter in dex."""

    level: float
    slope: float
    scatter_dex: float
    clusters: int


def band_fractions(kt_kev: float, redshift: float, *, lines: bool) -> Floats:
    """Share of the detected counts in each band for gas at a temperature and redshift, `(band,)`."""
    rates, _ = spectrum.plasma_response(kt_kev, redshift, lines=lines)
    return np.asarray(rates / rates.sum())


def counts_per_flux(kt_kev: float, redshift: float) -> float:
    """Counts per second over all bands and per erg/s/cm^2 of unabsorbed 0.5-2 keV flux."""
    return float(spectrum.plasma_response(kt_kev, redshift)[0].sum())


def drawn_psf(radius_arcsec: Floats, photons: int = 200_000) -> Floats:
    """Share of a point source's drawn photons within each radius."""
    offsets = instrument.psf_offsets(np.random.default_rng(1), photons)
    return np.asarray((60 * np.hypot(*offsets)[:, None] < radius_arcsec).mean(axis=0))


def real_cluster_counts(radius_arcmin: float = 2.0, repeats: int = 200) -> float:
    """Net counts that the forward model expects of eFEDS J092121.2+031726, of median shape, within a radius.

    z 0.333, kT 5.5 keV, L 2.51e44 erg/s, log10 M500 14.74, exposure 1,437 s; observed within 2': 1,181.
    """
    redshift, kt_kev, exposure_s = np.array(0.333), np.array(5.5), 1437.0
    flux = population.flux_erg_s_cm2(np.log10(np.array(2.51e44)), kt_kev, redshift)
    rates, _ = spectrum.interpolated_response(kt_kev, redshift)
    theta500 = float(cosmology.r500_kpc(10**14.74, redshift) / cosmology.kpc_per_arcmin(redshift))
    median = population.Shape(
        float(np.exp(population.CORE_LN_MEAN)), 1.077 + 0.212 * population.CORE_LN_MEAN, axis_ratio=0.7, angle_rad=0.0
    )
    rng = np.random.default_rng(2)
    photons = observation.cluster_photons(rng, rates * flux * exposure_s * repeats, median, theta500)
    return float((np.hypot(*photons.position_arcmin) < radius_arcmin).sum() / repeats)


def temperature_fit(columns: Columns) -> Fit:
    """Recover the temperature's relation from the truth columns; the flux selection hardly touches it."""
    log_mass, log_e = np.log10(columns["M500c"]), _log_evolution(columns["z"])
    return _line(log_mass - 14, np.log10(columns["kT"]) - 0.415 * log_e)


def luminosity_fit(columns: Columns, margin_sigma: float = 2.0) -> Fit:
    """Recover the luminosity's relation where the survey is complete.

    A flux limit keeps the bright ones of each mass. So only clusters are used whose *mean* flux at their mass and
    redshift lies so many total scatters above the limit that hardly any of their kind is lost.
    """
    log_mass, redshift = np.log10(columns["M500c"]), columns["z"]
    scatter = np.hypot(population.LUMINOSITY_SCATTER_DEX, population.FLUX_LIMIT_SCATTER_DEX)
    kept = _log_mean_flux(log_mass, redshift) > population.FLUX_LIMIT_DEX + margin_sigma * scatter
    corrected = np.log10(columns["Lx_soft"]) - 2.3 * _log_evolution(redshift)
    return _line(log_mass[kept] - 14, corrected[kept])


def expected_mean_mass(edges: tuple[float, ...] = REDSHIFT_BINS) -> Floats:
    """Mean log10 M of the clusters found in bins of redshift, by integration instead of drawing, `(bin,)`."""
    redshift, log_mass, density = tables.halo_abundance()
    redshift = np.where(redshift > 0, redshift, 1e-3)
    grid_z, grid_m = np.meshgrid(redshift, log_mass, indexing="ij")
    scatter = np.hypot(population.LUMINOSITY_SCATTER_DEX, population.FLUX_LIMIT_SCATTER_DEX)
    chance = ndtr((_log_mean_flux(grid_m, grid_z) - population.FLUX_LIMIT_DEX) / scatter)
    found = density * chance
    number = np.trapezoid(found, log_mass, axis=1)
    mass = np.trapezoid(found * log_mass, log_mass, axis=1)
    means = []
    for low, high in pairwise(edges):
        fine = np.linspace(low, high, 101)
        parts = [np.trapezoid(np.interp(fine, redshift, part), fine) for part in (mass, number)]
        means.append(parts[0] / parts[1])
    return np.array(means)


def mean_mass_by_redshift(columns: Columns, edges: tuple[float, ...] = REDSHIFT_BINS) -> tuple[Floats, Floats]:
    """Mean log10 M in bins of redshift and its standard error, `(bin,)` each."""
    log_mass = np.log10(columns["M500c"])
    place = np.digitize(columns["z"], edges) - 1
    bins = [log_mass[place == number] for number in range(len(edges) - 1)]
    return np.array([b.mean() for b in bins]), np.array([b.std() / np.sqrt(len(b)) for b in bins])


def rmse_dex(features: list[Floats], log_mass: Floats, split: Split, degree: int = 3) -> float:
    """Root mean square error on the test part of a polynomial that is fitted to the training part, in dex."""
    scaled = np.stack([(f - f[split.train].mean()) / f[split.train].std() for f in features], axis=1)
    powers = [c for d in range(degree + 1) for c in combinations_with_replacement(range(len(features)), d)]
    design = np.stack([np.prod(scaled[:, list(c)], axis=1) for c in powers], axis=1)
    weights, *_ = np.linalg.lstsq(design[split.train], log_mass[split.train], rcond=None)
    return float(np.sqrt(np.mean((design[split.test] @ weights - log_mass[split.test]) ** 2)))


def references(images: NDArray[Any], columns: Columns, split: Split) -> dict[str, float]:
    """Errors in dex that a network must beat: cubic polynomials in redshift and in one number of counts.

    Those without point sources are a Monte Carlo from the truth columns, as the published figures are.
    """
    log_mass, log_z = np.log10(columns["M500c"]), np.log10(columns["z"])
    whole, near = _counts(images, columns["R500c_arcmin"])
    seconds = columns["exposure"] * instrument.UNVIGNETTED_RATIO
    blank = instrument.background_rate_cts_s().sum() * seconds
    in_r500 = blank * np.pi * columns["R500c_arcmin"] ** 2 / instrument.FIELD_ARCMIN**2
    noise = np.random.default_rng(3).poisson(in_r500) - in_r500

    def error(*counts: Floats, softening: float = 5.0) -> float:
        # arcsinh is a logarithm that survives what background subtraction does to faint clusters.
        return rmse_dex([log_z, *(np.arcsinh(c / softening) for c in counts)], log_mass, split)

    return {
        "a constant": float(np.sqrt(np.mean((log_mass[split.test] - log_mass[split.train].mean()) ** 2))),
        "a line in redshift": rmse_dex([columns["z"]], log_mass, split, degree=1),
        "redshift": rmse_dex([log_z], log_mass, split),
        "counts of the whole image, redshift": error(whole),
        "the same, without point sources or background variation": error(whole - columns["point_counts"] - blank),
        "background-subtracted counts within R500, redshift": error(near),
        "the same, without point sources": error(columns["net_counts"] + noise),
        "the same, without background either": error(columns["net_counts"].astype(float)),
        "true flux, redshift": rmse_dex([log_z, np.log10(columns["Fx_soft"])], log_mass, split),
    }


def _counts(images: NDArray[Any], theta500_arcmin: Floats) -> tuple[Floats, Floats]:
    """Counts of each whole image, and within R500 less the mean of the pixels beyond 8'."""
    pixels = images.shape[1]
    size = instrument.FIELD_ARCMIN / pixels
    middle = (np.arange(pixels) + 0.5) * size - instrument.FIELD_ARCMIN / 2
    radius = np.hypot(middle[:, None], middle[None, :])
    outside = radius > 8.0
    whole, near = np.empty(len(images)), np.empty(len(images))
    for number, theta in enumerate(theta500_arcmin):
        image = images[number].sum(axis=2, dtype=np.float64)
        inside = radius < theta
        whole[number] = image.sum()
        near[number] = image[inside].sum() - image[outside].mean() * inside.sum()
    return whole, near


def _log_mean_flux(log_mass: Floats, redshift: Floats) -> Floats:
    kt_kev = 10 ** population.log_temperature_mean(log_mass, redshift)
    mean = population.log_luminosity_mean(log_mass, redshift)
    return np.log10(population.flux_erg_s_cm2(mean, kt_kev, redshift))


def _log_evolution(redshift: Floats) -> Floats:
    return np.log10(cosmology.expansion(redshift) / cosmology.expansion(0.35))


def _line(x: Floats, y: Floats) -> Fit:
    slope, level = np.polyfit(x, y, 1)
    return Fit(float(level), float(slope), float(np.std(y - level - slope * x, ddof=2)), len(x))
