"""Drawn haloes and shapes have the distributions of the recipe."""

import numpy as np
import pytest
from randomness import rng

from clustersweep.survey.simulator import population, tables


def test_drawn_haloes_follow_the_table() -> None:
    log_mass, z = population.draw_mass_redshift(rng(), 200_000)
    redshift, masses, density = tables.halo_abundance()
    by_mass = np.trapezoid(density, redshift, axis=0)
    for limit in (13.5, 14.0):
        above = masses >= limit - 1e-9
        expected = np.trapezoid(by_mass[above], masses[above]) / np.trapezoid(by_mass, masses)
        assert (log_mass > limit).mean() == pytest.approx(expected, rel=0.05)
    by_redshift = np.trapezoid(density, masses, axis=1)
    mean = np.trapezoid(by_redshift * redshift, redshift) / np.trapezoid(by_redshift, redshift)
    assert z.mean() == pytest.approx(mean, rel=0.01)


def test_haloes_have_the_scaling_relations_scatter_and_correlation_of_the_recipe() -> None:
    haloes = population.draw_haloes(rng(), 100_000)
    bright = haloes.log_luminosity - population.log_luminosity_mean(haloes.log_mass, haloes.redshift)
    hot = np.log10(haloes.kt_kev) - population.log_temperature_mean(haloes.log_mass, haloes.redshift)
    assert bright.mean() == pytest.approx(0, abs=0.003)
    assert bright.std() == pytest.approx(0.212, rel=0.01)
    assert hot.std() == pytest.approx(0.067, rel=0.01)
    assert np.corrcoef(bright, hot)[0, 1] == pytest.approx(0.09, abs=0.01)


def test_shapes_have_the_cores_of_the_recipe_and_bright_clusters_have_small_ones() -> None:
    generator = rng()
    residual = generator.standard_normal(6000)
    shapes = [population.draw_shape(generator, float(r)) for r in residual]
    log_core = np.log([s.core_r500 for s in shapes])
    assert np.median(log_core) == pytest.approx(-1.92, abs=0.05)
    assert log_core.std() == pytest.approx(0.78, rel=0.05)
    assert np.corrcoef(log_core, residual)[0, 1] == pytest.approx(-0.23, abs=0.04)
    assert np.median([s.beta for s in shapes]) == pytest.approx(0.67, abs=0.01)
    assert min(s.beta for s in shapes) >= 0.4
    ratios, counts = np.unique([s.axis_ratio for s in shapes], return_counts=True)
    assert ratios.tolist() == [0.55, 0.65, 0.75, 0.85]
    assert counts / 6000 == pytest.approx([0.22, 0.30, 0.25, 0.23], abs=0.02)
