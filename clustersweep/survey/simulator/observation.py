"""One observed cluster: its properties, its photons, and the image they make.

Puts population, gas, spectrum, points and instrument together; writes no files.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clustersweep.survey.simulator import cosmology, gas, instrument, points, population, spectrum, tables

Floats = NDArray[np.float64]

COLUMNS: dict[str, tuple[str, str]] = {
    "identifier": ("", "number of the cluster in this survey"),
    "M500c": ("solMass", "true mass within R500, 500 times the critical density"),
    "z": ("", "true redshift"),
    "kT": ("keV", "gas temperature"),
    "Lx_soft": ("erg s-1", "luminosity 0.5-2 keV, rest frame, within projected R500"),
    "Fx_soft": ("erg cm-2 s-1", "unabsorbed flux 0.5-2 keV, observed frame, within projected R500"),
    "R500c_kpc": ("kpc", "R500"),
    "R500c_arcmin": ("arcmin", "angle of R500"),
    "core_r500": ("", "core radius of the beta model over R500"),
    "beta": ("", "beta of the beta model"),
    "axis_ratio": ("", "minor over major axis of the surface brightness"),
    "angle": ("rad", "position angle of the major axis, from x towards y"),
    "central_density": ("cm-3", "central electron density that gives the luminosity"),
    "sigma_r": ("km s-1", "velocity dispersion of the King potential that beta and kT imply"),
    "exposure": ("s", "vignetted exposure"),
    "expected_counts": (
        "ct",
        "expected counts of the cluster within projected R500, all bands, before the PSF",
    ),
    "net_counts": ("ct", "counts of the cluster detected within R500c_arcmin of its centre, all bands"),
    "background_counts": ("ct", "background counts in the whole image"),
    "point_counts": ("ct", "counts of point sources in the image, the central one included"),
    "point_sources": ("", "point sources brighter than 6.5e-15 erg/s/cm2 in and around the image"),
    "central_agn": ("erg cm-2 s-1", "flux 0.5-2 keV of an active galaxy at the centre, 0 for none"),
}
"""Columns of the catalogue: unit and description."""

_MARGIN_ARCMIN = instrument.PSF_CUT_ARCSEC / 60


@dataclass(frozen=True)
class Observation:
    """One image, `(height, width, band)` counts, and its row of the catalogue."""

    image: NDArray[np.int64]
    row: dict[str, float]


@dataclass(frozen=True)
class Photons:
    """Positions in arcmin from the image's centre, `(2, photon)` as (x, y), and the band of each."""

    position_arcmin: Floats
    band: NDArray[np.int64]


def generator(seed: int, cluster: int) -> np.random.Generator:
    """Return the random numbers of one cluster: the same in any chunk, process and order."""
    return np.random.Generator(np.random.PCG64DXSM(np.random.SeedSequence(seed, spawn_key=(cluster,))))


def observe(seed: int, cluster: int, pixels: int) -> Observation:
    """Simulate cluster number `cluster` of the survey with this seed."""
    rng = generator(seed, cluster)
    halo = population.draw_cluster(rng)
    shape = population.draw_shape(rng, float(halo.luminosity_residual[0]))
    exposure_s = instrument.draw_exposure_s(rng)
    rates, _ = spectrum.interpolated_response(halo.kt_kev, halo.redshift)
    expected = rates[0] * halo.flux_erg_s_cm2[0] * exposure_s
    r500_kpc = float(cosmology.r500_kpc(10 ** halo.log_mass[0], halo.redshift[0]))
    theta500 = r500_kpc / float(cosmology.kpc_per_arcmin(halo.redshift[0]))

    gas_photons = cluster_photons(rng, expected, shape, theta500)
    central_flux = float(points.draw_fluxes(rng, 1)[0]) if rng.random() < points.CENTRAL_SHARE else 0.0
    sources, agn_photons = point_photons(rng, exposure_s, central_flux)
    background = background_photons(rng, exposure_s)
    everything = (gas_photons, agn_photons, background)
    band = np.concatenate([photons.band for photons in everything])
    position = np.concatenate([photons.position_arcmin for photons in everything], axis=1)

    within = (np.hypot(*gas_photons.position_arcmin) < theta500) & _inside(gas_photons)
    kt_kev = float(halo.kt_kev[0])
    row = {
        "identifier": cluster,
        "M500c": 10 ** float(halo.log_mass[0]),
        "z": float(halo.redshift[0]),
        "kT": kt_kev,
        "Lx_soft": 10 ** float(halo.log_luminosity[0]),
        "Fx_soft": float(halo.flux_erg_s_cm2[0]),
        "R500c_kpc": r500_kpc,
        "R500c_arcmin": theta500,
        "core_r500": shape.core_r500,
        "beta": shape.beta,
        "axis_ratio": shape.axis_ratio,
        "angle": shape.angle_rad,
        "central_density": float(population.central_density_cm3(halo, shape)[0]),
        "sigma_r": float(gas.velocity_dispersion_km_s(shape.beta, kt_kev)),
        "exposure": exposure_s,
        "expected_counts": float(expected.sum()),
        "net_counts": int(within.sum()),
        "background_counts": background.band.size,
        "point_counts": int(_inside(agn_photons).sum()),
        "point_sources": sources,
        "central_agn": central_flux,
    }
    return Observation(histogram(Photons(position, band), pixels), row)


def cluster_photons(
    rng: np.random.Generator, expected: Floats, shape: population.Shape, theta500_arcmin: float
) -> Photons:
    """Draw a cluster's detected photons: `expected` counts `(band,)` within R500, and on to 3 R500."""
    x500 = 1 / shape.core_r500
    x_max = gas.TRUNCATION_R500 * x500
    whole = expected * float(gas.enclosed(x_max, shape.beta) / gas.enclosed(x500, shape.beta))
    band = _bands(rng.poisson(whole))
    position = gas.elliptical_positions(
        rng, band.size, core_arcmin=shape.core_r500 * theta500_arcmin, x_max=x_max, beta=shape.beta,
        axis_ratio=shape.axis_ratio, angle_rad=shape.angle_rad,
    )  # fmt: skip
    return Photons(position + instrument.psf_offsets(rng, band.size), band)


def point_photons(rng: np.random.Generator, exposure_s: float, central_flux: float) -> tuple[int, Photons]:
    """Draw the photons of active galaxies in and around the image, and count those galaxies."""
    width = instrument.FIELD_ARCMIN + 2 * _MARGIN_ARCMIN
    sources = int(rng.poisson(points.brighter_than(points.FAINTEST_ERG_S_CM2) * (width / 60) ** 2))
    flux = np.append(points.draw_fluxes(rng, sources), central_flux)
    place = np.append((rng.random((2, sources)) - 0.5) * width, np.zeros((2, 1)), axis=1)
    counts = rng.poisson(flux[:, None] * exposure_s * spectrum.point_source_response())
    source = np.repeat(np.arange(sources + 1), counts.sum(axis=1))
    band = np.repeat(np.tile(np.arange(counts.shape[1]), sources + 1), counts.ravel())
    return sources, Photons(place[:, source] + instrument.psf_offsets(rng, band.size), band)


def background_photons(rng: np.random.Generator, exposure_s: float) -> Photons:
    """Draw the blank sky's counts, evenly over the image, for the unvignetted exposure."""
    seconds = exposure_s * instrument.UNVIGNETTED_RATIO
    band = _bands(rng.poisson(instrument.background_rate_cts_s() * seconds))
    return Photons((rng.random((2, band.size)) - 0.5) * instrument.FIELD_ARCMIN, band)


def histogram(photons: Photons, pixels: int) -> NDArray[np.int64]:
    """Count photons into `(height, width, band)`; those outside the image are lost."""
    bands = len(tables.bands())
    pixel = np.floor((photons.position_arcmin / instrument.FIELD_ARCMIN + 0.5) * pixels).astype(np.int64)
    inside = ((pixel >= 0) & (pixel < pixels)).all(axis=0)
    column, row = pixel[:, inside]
    flat = (row * pixels + column) * bands + photons.band[inside]
    return np.bincount(flat, minlength=pixels * pixels * bands).reshape(pixels, pixels, bands)


def _inside(photons: Photons) -> NDArray[np.bool_]:
    """Whether each photon falls into the image."""
    return np.asarray((np.abs(photons.position_arcmin) < instrument.FIELD_ARCMIN / 2).all(axis=0))


def _bands(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """List the band of each photon, given how many there are in each."""
    return np.repeat(np.arange(len(counts)), counts)
