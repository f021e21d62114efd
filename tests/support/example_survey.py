"""A small survey in memory."""

import numpy as np

from clustersweep.survey.dataset import Dataset

BANDS = ((0.25, 0.455), (0.455, 0.66), (0.66, 0.865))


def make_dataset(clusters: int = 40, pixels: int = 10) -> Dataset:
    rng = np.random.default_rng(8)
    images = rng.poisson(2.0, (clusters, pixels, pixels, 3)).astype(np.uint8)
    mass, redshift = rng.uniform(13.0, 15.0, clusters), rng.uniform(0.02, 0.98, clusters)
    return Dataset(images, mass, redshift, np.arange(clusters) + 100, BANDS, "0123456789abcdef")
