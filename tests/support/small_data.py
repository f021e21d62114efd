"""Data that are small enough to be trained on in a test: images whose brightness tells the mass."""

from typing import Any

import numpy as np

from clustersweep.training.data import TrainingData, Transform, prepare


def small_data(
    clusters: int = 90, train: int = 60, *, bands: int = 3, kind: Any = np.uint8, transform: Transform = "sqrt"
) -> TrainingData:
    """Return counts of 12 x 12 pixels, of type `kind`, of which the first `train` are the training part."""
    rng = np.random.default_rng(3)
    log_mass, redshift = rng.normal(14.0, 0.4, clusters), rng.uniform(0.1, 0.8, clusters)
    images = rng.poisson(10 ** (log_mass - 14)[:, None, None, None], (clusters, 12, 12, bands)).astype(kind)
    rows = np.arange(clusters)
    return prepare(images, log_mass, redshift, train=rows[:train], validation=rows[train:], transform=transform)
