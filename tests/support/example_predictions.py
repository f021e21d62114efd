"""Clusters with predictions whose errors are as large as they are meant to be."""

import numpy as np

from clustersweep.training.evaluation.results import Clusters, Predictions


def clusters(number: int, seed: int = 1) -> Clusters:
    """Masses that follow redshift and counts, with 0.2 dex of their own."""
    rng = np.random.default_rng(seed)
    redshift, log_counts = rng.uniform(0.05, 1.0, number), rng.normal(2.5, 0.4, number)
    log_mass = 13.0 + 0.6 * redshift + 0.3 * log_counts + rng.normal(0, 0.2, number)
    # The centre's counts tell nothing more: they are those of the image with noise.
    return Clusters(log_mass, redshift, 10**log_counts, 10 ** (log_counts + rng.normal(-1, 0.2, number)))


def predictions(number: int, pulls: np.ndarray | None = None, *, claimed: float = 1.0, seed: int = 1) -> Predictions:
    """Predictions with these pulls; the standard deviations are claimed so many times too small."""
    rng = np.random.default_rng(seed + 100)
    truth, sd = clusters(number, seed), rng.uniform(0.05, 0.25, number)
    drawn = rng.normal(size=number) if pulls is None else pulls
    return Predictions(truth, truth.log_mass + drawn * sd, sd / claimed)


TRAIN, VALIDATION, TEST = clusters(3000, 7), predictions(800, seed=8), predictions(1000, seed=9)
