"""How good predicted masses are: whole, by mass and by redshift, beside baselines. No TensorFlow, no file."""

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustersweep.training.evaluation.calibration import Calibration, calibration
from clustersweep.training.evaluation.metrics import Estimate, Metrics, bootstrap, errors, metrics
from clustersweep.training.evaluation.results import Clusters, Floats, Predictions, as_json

_MASS_BIN_DEX, _REDSHIFT_BIN, _LEAST_IN_BIN = 0.25, 0.1, 50
_FARTHEST_BIN = 1e15


@dataclass(frozen=True)
class Bin:
    """The clusters from `low` to `high`.

    Attributes:
        low: Lower edge of the bin, which belongs to it.
        high: Upper edge.
        middle: Median of its clusters in the quantity that is binned.
        metrics: Of its clusters.
        baseline_rmse: Of the best baseline for them, dex.
    """

    low: float
    high: float
    middle: float
    metrics: Metrics
    baseline_rmse: Estimate


@dataclass(frozen=True)
class Baseline:
    """A regression that a network must beat: fitted to the training part, judged on the test part; dex."""

    name: str
    rmse: Estimate


@dataclass(frozen=True)
class Calibrations:
    """Before and after recalibration."""

    before: Calibration
    after: Calibration


@dataclass(frozen=True)
class Evaluation:
    """What a trained model is worth.

    Attributes:
        factor: The recalibration, fitted to the validation part.
        seed: Of the bootstrap.
        resamples: Of the bootstrap.
        test: On the test part, which nothing was chosen on.
        validation: On the validation part, which chose much.
        optimism: Mean squared error of the test part less that of the validation part, dex^2.
        baselines: On the test part.
        best_baseline: Name of the one with the lowest RMSE.
        gain: RMSE of the best baseline less the model's, dex, on the same resamples.
        by_mass: Of the test part, in bins of true log10 M500c.
        by_predicted_mass: In bins of predicted log10 M500c.
        by_redshift: In bins of redshift.
        test_calibration: On the test part.
        validation_calibration: On the validation part, to which the factor was fitted.
    """

    factor: float
    seed: int
    resamples: int
    test: Metrics
    validation: Metrics
    optimism: Estimate
    baselines: tuple[Baseline, ...]
    best_baseline: str
    gain: Estimate
    by_mass: tuple[Bin, ...]
    by_predicted_mass: tuple[Bin, ...]
    by_redshift: tuple[Bin, ...]
    test_calibration: Calibrations
    validation_calibration: Calibrations

    @property
    def constant_mse(self) -> float:
        """Mean squared error, dex^2, of predicting the training part's mean mass for the test part."""
        return next(one.rmse.value for one in self.baselines if one.name == "constant") ** 2

    @property
    def constant_margin(self) -> float:
        """How far, dex^2, the model's error may come to that of the mean by the chance of which clusters are tested.

        From the 95 % interval of R^2, whose two errors are of the same clusters; NaN where that is not known.
        """
        return (self.test.r2.value - self.test.r2.low) * self.constant_mse

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values for JSON; what is not a finite number becomes None."""
        plain: dict[str, Any] = as_json(self)
        return plain


@np.errstate(over="ignore", divide="ignore", invalid="ignore")  # a diverged network's squares are infinite, and said
def evaluate(
    train: Clusters, validation: Predictions, test: Predictions, *, factor: float, seed: int = 0, resamples: int = 1000
) -> Evaluation:
    """Measure a model on the test part, once, and on the validation part beside it.

    Args:
        train: The training part, which the baselines are fitted to.
        validation: The validation part.
        test: The test part.
        factor: Multiplies all standard deviations (`calibration.recalibration`).
        seed: Of the bootstrap.
        resamples: Of the bootstrap.
    """
    predicted = dict(_baselines(train, test.clusters))
    squares = {name: (mass - test.clusters.log_mass) ** 2 for name, mass in predicted.items()}
    best = min(squares, key=lambda name: float(squares[name].mean()))

    def measured(part: Predictions, others: Mapping[str, Floats]) -> dict[str, Estimate]:
        """Measure the model and, from their squared errors, the baselines on the same resamples."""
        own = errors(part, factor)

        def statistic(rows: NDArray[np.int64]) -> dict[str, Floats]:
            found = own(rows)
            theirs = {name: np.sqrt(square[rows].mean(axis=-1)) for name, square in others.items()}
            return {**found, **theirs, **({"gain": theirs[best] - found["rmse"]} if theirs else {})}

        return bootstrap(len(part.predicted), statistic, seed=seed, resamples=resamples)

    def bins(values: Floats, width: float) -> tuple[Bin, ...]:
        found = []
        for low, high, rows in _bins(values, width):
            estimates = measured(_part(test, rows), {best: squares[best][rows]})
            middle = float(np.median(values[rows]))
            found.append(Bin(low, high, middle, metrics(len(rows), estimates), estimates[best]))
        return tuple(found)

    whole = measured(test, squares)
    return Evaluation(
        factor=factor,
        seed=seed,
        resamples=resamples,
        test=metrics(len(test.predicted), whole),
        validation=metrics(len(validation.predicted), measured(validation, {})),
        optimism=_optimism(validation, test),
        baselines=tuple(Baseline(name, whole[name]) for name in squares),
        best_baseline=best,
        gain=whole["gain"],
        by_mass=bins(test.clusters.log_mass, _MASS_BIN_DEX),
        by_predicted_mass=bins(test.predicted, _MASS_BIN_DEX),
        by_redshift=bins(test.clusters.redshift, _REDSHIFT_BIN),
        test_calibration=Calibrations(calibration(test, 1.0), calibration(test, factor)),
        validation_calibration=Calibrations(calibration(validation, 1.0), calibration(validation, factor)),
    )


def _optimism(validation: Predictions, test: Predictions) -> Estimate:
    """Compare the two parts' mean squared errors; their errors are independent, and means of many."""
    squares = [(part.predicted - part.clusters.log_mass) ** 2 for part in (validation, test)]
    difference = float(squares[1].mean() - squares[0].mean())
    error = math.sqrt(sum(float(square.var()) / len(square) for square in squares))
    return Estimate(difference, difference - 1.96 * error, difference + 1.96 * error)


def _baselines(train: Clusters, test: Clusters) -> Iterable[tuple[str, Floats]]:
    """Fit each baseline to the training part by least squares and predict log10 M500c of the test part."""
    counts = _logarithms(train.counts, test.counts), _logarithms(train.central_counts, test.central_counts)
    redshift = _filled(train.redshift, train.redshift), _filled(test.redshift, train.redshift)
    known = np.stack([redshift[0], *(of_train for of_train, _ in counts)])
    asked = np.stack([redshift[1], *(of_test for _, of_test in counts)])
    mean, sd = known.mean(axis=1, keepdims=True), known.std(axis=1, keepdims=True)
    known, asked = ((part - mean) / np.where(sd > 0, sd, 1.0) for part in (known, asked))
    fits: tuple[tuple[str, list[int], int], ...] = (
        ("constant", [], 0),
        ("linear in z", [0], 1),
        ("counts and z", [0, 1], 2),
        ("central counts, counts and z", [0, 1, 2], 2),
    )
    if np.isnan(train.redshift).all():  # a regression on redshift would be none, and its name untrue
        fits = ("constant", [], 0), ("counts", [1], 2), ("central counts, counts", [1, 2], 2)
    for name, columns, degree in fits:
        design = _polynomial(known[columns], degree)
        weights, *_ = np.linalg.lstsq(design, train.log_mass, rcond=None)
        yield name, _polynomial(asked[columns], degree) @ weights


def _filled(redshift: Floats, train: Floats) -> Floats:
    """Return redshifts with the training part's mean where there is none; 0 where that has none either."""
    known = train[np.isfinite(train)]
    missing = np.isnan(redshift)
    return np.where(missing, known.mean() if known.size else 0.0, redshift) if missing.any() else redshift


def _logarithms(train: Floats, test: Floats) -> tuple[Floats, Floats]:
    """Take log10 of counts; those without a logarithm count as the faintest of the training part that have one."""
    faintest = float(train[train > 0].min(initial=np.inf))
    floor = faintest if math.isfinite(faintest) else 1.0
    return np.log10(np.maximum(train, floor)), np.log10(np.maximum(test, floor))


def _polynomial(features: Floats, degree: int) -> Floats:
    """Return all products of up to `degree` features `(feature, cluster)` as columns `(cluster, product)`."""
    count, number = features.shape
    products = [
        features[list(chosen)].prod(axis=0) if chosen else np.ones(number)
        for power in range(degree + 1)
        for chosen in itertools.combinations_with_replacement(range(count), power)
    ]
    return np.stack(products, axis=1)


def _bins(values: Floats, width: float) -> list[tuple[float, float, NDArray[np.int64]]]:
    """Cut at round numbers, and join neighbours until each bin has enough clusters: its edges and its rows.

    What is not known (NaN) is in no bin.
    """
    rows = np.flatnonzero(~np.isnan(values))
    if not rows.size:
        return []
    if rows.size < len(values):
        return [(low, high, rows[inside]) for low, high, inside in _bins(values[rows], width)]
    # A diverged network predicts any number: what no integer holds is cut, and only bins with clusters are visited.
    place = np.clip(np.floor(values / width + 1e-9), -_FARTHEST_BIN, _FARTHEST_BIN).astype(np.int64)
    edges = [int(place.min())]
    for edge in (np.unique(place) + 1).tolist():
        if ((place >= edges[-1]) & (place < edge)).sum() >= _LEAST_IN_BIN:
            edges.append(edge)
    end = int(place.max()) + 1
    edges = [*edges[:-1], end] if len(edges) > 1 else [edges[0], end]  # what is left over joins the last bin
    return [
        (low * width, high * width, np.flatnonzero((place >= low) & (place < high)))
        for low, high in itertools.pairwise(edges)
    ]


def _part(predictions: Predictions, rows: NDArray[np.int64]) -> Predictions:
    known = predictions.clusters
    clusters = Clusters(known.log_mass[rows], known.redshift[rows], known.counts[rows], known.central_counts[rows])
    return Predictions(clusters, predictions.predicted[rows], predictions.sd[rows])
