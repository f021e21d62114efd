"""Errors of predicted masses with their intervals, and the bootstrap that gives these. No TensorFlow, no file.

Every interval holds 95 % of the values that a bootstrap over the clusters gives (percentile method: Efron &
Tibshirani 1993, An Introduction to the Bootstrap, chapter 13). It knows the luck of which clusters were drawn,
not that of the training: for that there are several seeds.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clustersweep.training.evaluation.calibration import negative_log_likelihood, pulls
from clustersweep.training.evaluation.results import Floats, Predictions

_CHUNK = 2_000_000  # numbers resampled at a time: 16 MB
_TO_SIGMA = 1.4826  # a Gaussian's standard deviation in units of its median absolute deviation

Statistic = Callable[[NDArray[np.int64]], dict[str, Floats]]
"""From rows `(..., cluster)` to values `(...)` by name, so that all resamples are measured at once."""


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"


@dataclass(frozen=True)
class Metrics:
    """How good the predictions for some clusters are; errors are predicted - true log10 M500c, dex.

    Attributes:
        number: Clusters.
        mse: Mean squared error, dex^2: the validation loss' definition.
        rmse: Its root, dex.
        bias: Mean error, dex.
        scatter: 1.4826 times the median distance from the median error, dex: a standard deviation without outliers.
        r2: 1 - mse / variance of the true log10 M500c of these very clusters; of little use in bins of mass.
        nll: Mean Gaussian negative log-likelihood after recalibration.
        coverage: Share of the truths within one standard deviation after recalibration.
    """

    number: int
    mse: Estimate
    rmse: Estimate
    bias: Estimate
    scatter: Estimate
    r2: Estimate
    nll: Estimate
    coverage: Estimate


def errors(predictions: Predictions, factor: float) -> Statistic:
    """Return what measures the metrics of some rows of these clusters."""
    truth = predictions.clusters.log_mass
    error, nll = predictions.predicted - truth, negative_log_likelihood(predictions, factor)
    inside = np.abs(pulls(predictions, factor)) <= 1

    def statistic(rows: NDArray[np.int64]) -> dict[str, Floats]:
        drawn = error[rows]
        mse, true = (drawn**2).mean(axis=-1), truth[rows]
        differ = true.max(axis=-1) > true.min(axis=-1)  # the variance of equal values is not always 0 to the last bit
        middle = np.median(drawn, axis=-1, keepdims=True)
        return {
            "mse": mse,
            "rmse": np.sqrt(mse),
            "bias": drawn.mean(axis=-1),
            "scatter": _TO_SIGMA * np.median(np.abs(drawn - middle), axis=-1),
            "r2": 1 - mse / np.where(differ, true.var(axis=-1), math.nan),
            "nll": nll[rows].mean(axis=-1),
            "coverage": inside[rows].mean(axis=-1),
        }

    return statistic


def bootstrap(number: int, statistic: Statistic, *, seed: int, resamples: int) -> dict[str, Estimate]:
    """Measure so many clusters, and again with as many drawn from them with replacement, `resamples` times.

    Resamples in which a value is not defined (R^2 of one cluster drawn again and again) are not in its interval.
    """
    rng = np.random.default_rng(seed)
    values = statistic(np.arange(number))
    step = max(1, _CHUNK // number)
    sizes = [min(step, resamples - start) for start in range(0, resamples, step)]
    drawn = [statistic(rng.integers(0, number, (size, number))) for size in sizes]
    found = {}
    for name, value in values.items():
        every = np.concatenate([chunk[name] for chunk in drawn])
        known = every[~np.isnan(every)]
        defined = known.size > 0 and not math.isnan(float(value))
        low, high = np.quantile(known, [0.025, 0.975]) if defined else (math.nan, math.nan)
        found[name] = Estimate(float(value), float(low), float(high))
    return found


def metrics(number: int, found: Mapping[str, Estimate]) -> Metrics:
    """Gather the metrics of so many clusters from what was found by name."""
    names = [field.name for field in dataclasses.fields(Metrics) if field.name != "number"]
    return Metrics(number, **{name: found[name] for name in names})
