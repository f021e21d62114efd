"""Random numbers that are the same in every run."""

import numpy as np


def rng() -> np.random.Generator:
    return np.random.default_rng(7)
