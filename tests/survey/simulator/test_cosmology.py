"""Distances and R500 against astropy's cosmology."""

import numpy as np
import pytest
from astropy import units
from astropy.cosmology import FlatLambdaCDM

from clustersweep.survey.simulator import cosmology


@pytest.mark.parametrize("z", [0.01, 0.333, 1.4])
def test_distances_and_r500_agree_with_astropys_cosmology(z: float) -> None:
    model = FlatLambdaCDM(H0=67.74, Om0=0.3089)
    assert cosmology.luminosity_distance_mpc(z) == pytest.approx(model.luminosity_distance(z).value, rel=1e-4)
    assert cosmology.kpc_per_arcmin(z) == pytest.approx(model.kpc_proper_per_arcmin(z).value, rel=1e-4)
    assert cosmology.expansion(z) == pytest.approx(model.efunc(z), rel=1e-3)
    radius = cosmology.r500_kpc(1e14, z) * units.kpc
    mean_density = 1e14 * units.Msun / (4 / 3 * np.pi * radius**3)
    assert (mean_density / model.critical_density(z)).to_value("") == pytest.approx(500, rel=1e-3)
