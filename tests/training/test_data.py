"""What a network is trained on: the parts, and the scaling that is fitted on one of them."""

import numpy as np
import pytest

from clustersweep.training.data import fit_scaling, prepare, transformed


def test_scaling_is_fitted_on_the_training_part_only():
    rng = np.random.default_rng(0)
    images = rng.poisson(5, (20, 4, 4, 2)).astype(np.uint16)
    log_mass, redshift = rng.normal(14, 0.3, 20), rng.uniform(0.1, 0.8, 20)
    one = prepare(images, log_mass, redshift, train=np.arange(10), validation=np.arange(10, 15), transform="log1p")
    images[10:] += 100
    other = prepare(images, log_mass, redshift, train=np.arange(10), validation=np.arange(10, 15), transform="log1p")
    assert one.scaling == other.scaling


@pytest.mark.parametrize("transform", ["none", "sqrt", "log1p"])
def test_scaled_training_images_have_zero_mean_and_unit_deviation_in_every_band(transform):
    images = np.random.default_rng(0).poisson((1, 30), (40, 5, 5, 2)).astype(np.uint16)
    scaling = fit_scaling(images, np.linspace(13, 15, 40), np.ones(40), transform, chunk=7)
    scaled = (transformed(images, transform) - np.array(scaling.band_mean)) / np.array(scaling.band_sd)
    assert scaled.mean(axis=(0, 1, 2)) == pytest.approx([0, 0], abs=1e-5)
    assert scaled.std(axis=(0, 1, 2)) == pytest.approx([1, 1], abs=1e-5)


def test_a_band_without_any_counts_is_scaled_to_zeros_not_to_nan():
    scaling = fit_scaling(np.zeros((4, 3, 3, 1), np.uint8), np.linspace(13, 14, 4), np.ones(4), "sqrt")
    assert scaling.band_sd == (1.0,)


def test_predicting_the_training_mean_gives_the_label_variance(data):
    expected = np.mean((data.validation_log_mass - data.train_log_mass.mean()) ** 2)
    assert data.label_variance == pytest.approx(expected)
