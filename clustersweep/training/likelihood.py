"""The Gaussian likelihood of a predicted mean and variance, in TensorFlow's graph.

Source: the lab report behind this project, equation 11; Nix & Weigend (1994) for a network's own variance.
"""

import math

from clustersweep.training.device import tf

VARIANCE_FLOOR = 1e-4
"""Smallest variance of the standardised label: 0.004 dex at a spread of 0.4 dex. No image tells a mass better,
and without it one lucky cluster could send the likelihood to infinity."""


def variance(unit: "tf.Tensor") -> "tf.Tensor":
    """Turn the network's second unit into a variance: softplus, which never overflows, above the floor."""
    return tf.math.softplus(unit) + VARIANCE_FLOOR


def likelihood_terms(square: "tf.Tensor", spread: "tf.Tensor") -> "tf.Tensor":
    """Return log(sigma) + (y - mu)^2 / (2 sigma^2) of each cluster, without the constant log(2 pi) / 2."""
    return 0.5 * (tf.math.log(spread) + square / spread)


def unit_of(variance: float) -> float:
    """Return the unit that `variance` turns into this: the inverse of softplus."""
    above = max(variance - VARIANCE_FLOOR, VARIANCE_FLOOR)
    return above + math.log(-math.expm1(-above))  # log(expm1(above)), which would overflow above 709
