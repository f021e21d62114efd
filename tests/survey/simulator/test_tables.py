"""The package's own tables against each other and against published numbers."""

import numpy as np
import pytest

from clustersweep.survey.simulator import tables


def test_the_area_of_the_bands_is_the_curves_average() -> None:
    table = tables.read_table("bands10.csv")
    for low, high, area in table[:, 1:4]:
        energy = np.linspace(low, high, 200)
        assert np.interp(energy, *tables.effective_area()).mean() == pytest.approx(area, rel=0.12)


def test_the_halo_table_has_the_abundance_of_tinker() -> None:
    z, log_mass, density = tables.halo_abundance()
    whole = np.trapezoid(np.trapezoid(density, log_mass, axis=1), z)
    assert whole == pytest.approx(569, rel=0.03)  # per square degree above 1e13
    massive = log_mass >= 14 - 1e-9
    assert 8.8 < np.trapezoid(np.trapezoid(density[:, massive], log_mass[massive], axis=1), z) < 9.9
