"""Figure data: predicted against true masses, and their errors. Pure numpy; draws nothing."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from clustersweep.training.evaluation.evaluation import Bin, Evaluation
from clustersweep.training.evaluation.metrics import Estimate
from clustersweep.training.evaluation.results import Floats, Predictions

_MOST_POINTS, _MOST_BARS = 4000, 40
_CELL_DEX = 0.1
_LIMIT_RMSE = 4.5  # residuals beyond so many RMSE would flatten the picture of all others
FAR_DEX = 3.0
"""Errors and uncertainties beyond it, a factor of a thousand, are drawn at the edge: a diverged network has any."""


@dataclass(frozen=True)
class BandPoint:
    """The predictions in a bin of true mass, log10 M500c: 16, 50 and 84 %, at the median true mass `x`."""

    x: float
    number: int
    low: float
    median: float
    high: float


@dataclass(frozen=True)
class Parity:
    """Predicted against true log10 M500c of the test part, `(shown,)` where not said otherwise.

    Attributes:
        true: True masses of the clusters that are shown.
        predicted: Predicted ones.
        sd: Recalibrated standard deviations, dex.
        redshift: Redshifts.
        total: Clusters in all.
        with_bars: Rows of those whose error bar is drawn, spread evenly over the true mass.
        edges: Edges of the cells of the density, the same for true and predicted, `(cell + 1,)`: the picture ends
            at most `FAR_DEX` from the true masses.
        density: Clusters in each cell, all of them, `(predicted, true)`; those beyond are in the outermost ones.
        beyond: Predictions beyond the edges, of all.
        band: Median and scatter of the predictions by true mass.
        rmse: Of all.
        r2: Of all.
    """

    true: Floats
    predicted: Floats
    sd: Floats
    redshift: Floats
    total: int
    with_bars: NDArray[np.int64]
    edges: Floats
    density: NDArray[np.int64]
    beyond: int
    band: tuple[BandPoint, ...]
    rmse: Estimate
    r2: Estimate


def parity(test: Predictions, evaluation: Evaluation) -> Parity:
    """Choose what is shown of the test part by true mass alone, so that the choice flatters nothing."""
    true = test.clusters.log_mass
    order = np.argsort(true, kind="stable")
    total = len(true)
    rows = order if total <= _MOST_POINTS else order[np.linspace(0, total - 1, _MOST_POINTS).round().astype(int)]
    shown = true[rows]
    aims = np.linspace(shown[0], shown[-1], _MOST_BARS)
    drawn = _near(test.predicted, true)
    both = np.concatenate([true, drawn])
    edges = np.arange(math.floor(both.min() / _CELL_DEX), math.floor(both.max() / _CELL_DEX) + 2) * _CELL_DEX
    density, _, _ = np.histogram2d(drawn, true, bins=[edges, edges])
    return Parity(
        true=shown,
        predicted=test.predicted[rows],
        sd=evaluation.factor * test.sd[rows],
        redshift=test.clusters.redshift[rows],
        total=total,
        with_bars=np.unique([int(np.abs(shown - aim).argmin()) for aim in aims]),
        edges=edges,
        density=density.astype(np.int64),
        beyond=int((drawn != test.predicted).sum()),
        band=tuple(_band(test, evaluation.by_mass)),
        rmse=evaluation.test.rmse,
        r2=evaluation.test.r2,
    )


def _near(predicted: Floats, true: Floats) -> Floats:
    """Put predictions far from all true masses at the edge of the picture."""
    return np.clip(predicted, true.min() - FAR_DEX, true.max() + FAR_DEX)


def _band(test: Predictions, bins: Sequence[Bin]) -> Iterator[BandPoint]:
    place = np.digitize(test.clusters.log_mass, [b.low for b in bins[1:]])
    for number, found in enumerate(bins):
        inside = test.predicted[place == number]
        low, median, high = np.quantile(inside, [0.1587, 0.5, 0.8413]).tolist()
        yield BandPoint(found.middle, len(inside), low, median, high)


@dataclass(frozen=True)
class ResidualBin:
    """Errors of the clusters from `low` to `high`, dex; `scatter` is their standard deviation about the bias."""

    low: float
    high: float
    x: float
    number: int
    bias: float
    scatter: float
    baseline_rmse: float


@dataclass(frozen=True)
class ResidualPanel:
    """Predicted minus true log10 M500c against one quantity, `(shown,)`.

    Attributes:
        quantity: Against what.
        x: Its values; predicted masses farther than `FAR_DEX` from the true ones are put there.
        residual: dex; those beyond `limit` are put there.
        limit: Where the picture ends, dex; at most `FAR_DEX`.
        beyond: How many of all clusters lie beyond.
        bins: Bias and scatter, and the best baseline's RMSE beside them.
    """

    quantity: Literal["true", "predicted", "redshift"]
    x: Floats
    residual: Floats
    limit: float
    beyond: int
    bins: tuple[ResidualBin, ...]


def residuals(test: Predictions, evaluation: Evaluation) -> tuple[ResidualPanel, ...]:
    """Return the errors against true mass, against predicted mass and, where there is any, against redshift."""
    known = test.clusters
    panels = []
    error = test.predicted - known.log_mass
    limit = min(_LIMIT_RMSE * evaluation.test.rmse.value, FAR_DEX)
    beyond = int((np.abs(error) > limit).sum())
    for quantity, x, bins in (
        ("true", known.log_mass, evaluation.by_mass),
        ("predicted", _near(test.predicted, known.log_mass), evaluation.by_predicted_mass),
        ("redshift", known.redshift, evaluation.by_redshift),
    ):
        if np.isnan(x).all():
            continue  # no cluster has a redshift
        order = np.argsort(x, kind="stable")
        if len(x) > _MOST_POINTS:
            order = order[np.linspace(0, len(x) - 1, _MOST_POINTS).round().astype(int)]
        shown = np.clip(error[order], -limit, limit)
        found = tuple(_residual_bin(b, float(x.min()), float(x.max())) for b in bins)
        panels.append(ResidualPanel(quantity, x[order], shown, limit, beyond, found))  # type: ignore[arg-type]
    return tuple(panels)


def _residual_bin(found: Bin, start: float, end: float) -> ResidualBin:
    """Return what is drawn of a bin, between the ends of the picture: the outermost bins may reach far beyond."""
    bias, mse = found.metrics.bias.value, found.metrics.mse.value
    return ResidualBin(
        low=max(found.low, start - _CELL_DEX),
        high=min(found.high, end + _CELL_DEX),
        x=min(max(found.middle, start), end),
        number=found.metrics.number,
        bias=bias,
        scatter=math.sqrt(max(0.0, mse - bias * bias)),
        baseline_rmse=found.baseline_rmse.value,
    )
