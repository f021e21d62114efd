"""One observed cluster: which photons there are, and the pixel and band in which each lands."""

import numpy as np
import pytest
from randomness import rng

from clustersweep.survey.simulator import instrument, observation, tables

GOLDEN_COUNTS = [4132, 2409, 3372]
GOLDEN_LOG_MASS = [13.308118, 13.501495, 14.28858]


def test_the_background_is_one_count_a_pixel() -> None:
    exposure_s = 1250.0
    drawn = sum(observation.background_photons(rng(), exposure_s).band.size for _ in range(20)) / 20
    assert drawn / 2500 == pytest.approx(1.1, rel=0.04)
    photons = observation.background_photons(rng(), 1e5)
    share = np.bincount(photons.band) / photons.band.size
    expected = tables.bands().background_cts_s_arcmin2
    assert share == pytest.approx(expected / expected.sum(), rel=0.03)
    assert np.abs(photons.position_arcmin).max() <= 10
    assert np.abs(photons.position_arcmin.mean(axis=1)).max() < 0.1


def test_a_central_active_galaxy_lies_at_the_centre() -> None:
    sources, photons = observation.point_photons(rng(), 1e-3, 1e-8)  # too short an exposure for any but a blazing one
    assert sources > 5
    assert photons.band.size > 3
    assert np.hypot(*photons.position_arcmin).max() <= instrument.PSF_CUT_ARCSEC / 60 + 1e-9


def test_photons_outside_the_image_are_lost_and_the_rest_land_in_their_pixel_and_band() -> None:
    position = np.array([[-9.9, 9.9, 0.1, 10.0, 0.0], [-9.9, 9.9, -9.9, 0.0, -10.1]])
    image = observation.histogram(observation.Photons(position, np.array([0, 1, 2, 3, 4])), 50)
    assert image.shape == (50, 50, 10)
    assert image.sum() == 3
    assert image[0, 0, 0] == image[49, 49, 1] == image[0, 25, 2] == 1


def test_pixels_only_cut_the_same_photons_differently() -> None:
    fine, coarse = observation.observe(3, 1, 100), observation.observe(3, 1, 20)
    blocks = fine.image.reshape(20, 5, 20, 5, 10).sum(axis=(1, 3))
    assert np.array_equal(blocks, coarse.image)
    assert fine.row == coarse.row


def test_the_numbers_of_this_version_are_these() -> None:
    # A change here means that SIMULATOR_VERSION must be raised, or old surveys would be taken for new ones.
    rows = [observation.observe(42, cluster, 50) for cluster in range(3)]
    assert [int(o.image.sum()) for o in rows] == GOLDEN_COUNTS
    assert [round(float(np.log10(o.row["M500c"])), 6) for o in rows] == GOLDEN_LOG_MASS
