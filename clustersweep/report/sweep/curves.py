"""Figure data: the learning curves of the best trials, and the metric against cost. Pure; draws nothing."""

import math
from dataclasses import dataclass
from typing import Literal

from clustersweep.study.keys import Params
from clustersweep.study.results import SweepResults, loss_of, losses


@dataclass(frozen=True)
class Curve:
    """One replicate: of every epoch from 1 the training part's loss, NaN where it is not told, and the metric."""

    seed: int
    loss: tuple[float, ...]
    val_loss: tuple[float, ...]
    best_epoch: int


@dataclass(frozen=True)
class CurvePanel:
    """All replicates of one trial that kept their curve; `place` 1 is the best trial."""

    place: int
    trial: int
    params: Params
    curves: tuple[Curve, ...]


def learning_curves(results: SweepResults, count: int = 4) -> tuple[CurvePanel, ...]:
    """Return the learning curves of the best trials; empty where no replicate kept one."""
    panels = []
    for place, trial in enumerate(results.ranked()[:count], start=1):
        curves = tuple(
            Curve(r.seed, tuple(e[0] for e in r.curve), tuple(e[1] for e in r.curve), r.best_epoch)
            for r in trial.complete_replicates
            if any(math.isfinite(val_loss) for _, val_loss in r.curve)
        )
        if curves:
            panels.append(CurvePanel(place, trial.number, trial.params, curves))
    return tuple(panels)


@dataclass(frozen=True)
class CostPoint:
    """One trial: its objective and the range over its seeds, at its cost."""

    trial: int
    params: Params
    cost: float
    loss: float
    low: float
    high: float
    on_front: bool


@dataclass(frozen=True)
class CostFigure:
    """The metric against cost; `on_front` marks the trials that no cheaper one beats. Points rise in cost."""

    unit: Literal["parameters", "seconds"]
    points: tuple[CostPoint, ...]


def loss_against_cost(results: SweepResults) -> CostFigure:
    """Place the complete trials by trainable weights or, where those are not known, by seconds a replicate."""
    complete = results.ranked()
    known = all(trial.parameters is not None for trial in complete)
    costs = [float(t.parameters or 0) if known else t.seconds / len(losses(t)) for t in complete]
    points = []
    lowest = math.inf
    order = results.metric.order
    for cost, trial in sorted(zip(costs, complete, strict=True), key=lambda pair: (pair[0], order(loss_of(pair[1])))):
        loss, seeds = loss_of(trial), losses(trial)
        front = order(loss) < lowest
        points.append(CostPoint(trial.number, trial.params, cost, loss, min(seeds), max(seeds), front))
        lowest = min(lowest, order(loss))
    return CostFigure("parameters" if known else "seconds", tuple(points))
