"""Figure data: how each stage of the training went, and what retraining on outliers changed. Pure; draws nothing."""

import math
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from clustersweep.training.evaluation.results import StageName, StageResult


@dataclass(frozen=True)
class StageCurve:
    """One seed in one stage; `start` is the validation value of the weights that it began with, None where unknown."""

    seed: int
    kept: bool
    training: tuple[float, ...]
    validation: tuple[float, ...]
    best_epoch: int
    start: float | None


@dataclass(frozen=True)
class StagePanel:
    """The curves of one stage: mean squared error, dex^2, or negative log-likelihood."""

    stage: StageName
    measure: Literal["mse", "nll"]
    curves: tuple[StageCurve, ...]


def stage_panels(stages: Sequence[StageResult]) -> tuple[StagePanel, ...]:
    """Return the curves of every stage, in the order of training; likelihoods come last."""
    names = list(dict.fromkeys(result.stage for result in stages))
    panels = []
    for measure in ("mse", "nll"):
        for name in names:
            curves = tuple(
                StageCurve(
                    seed=result.seed,
                    kept=result.kept,
                    training=tuple(pair[0] for pair in pairs),
                    validation=tuple(pair[1] for pair in pairs),
                    best_epoch=result.best_epoch,
                    start=before(result, stages, measure),
                )
                for result in stages
                if result.stage == name and (pairs := result.curve if measure == "mse" else result.nll_curve)
            )
            if curves:
                panels.append(StagePanel(name, measure, curves))
    return tuple(panels)


def before(result: StageResult, stages: Iterable[StageResult], measure: Literal["mse", "nll"] = "mse") -> float | None:
    """Return the validation loss (dex^2) or likelihood that a stage set out from; None for the first one."""
    earlier = None
    for other in stages:
        if other is result:
            return earlier
        if other.seed == result.seed and other.kept:
            earlier = other.val_loss if measure == "mse" else other.val_nll
    return earlier


def final(stages: Iterable[StageResult], failed: Container[int] = ()) -> tuple[StageResult, ...]:
    """Return the last kept stage of each seed: the one whose weights the model has; it has none of a `failed` seed."""
    return tuple({result.seed: result for result in stages if result.kept and result.seed not in failed}.values())


@dataclass(frozen=True)
class OutlierPanel:
    """One seed before and after retraining on its outlier regions; mean squared errors of the validation part, dex^2.

    `inside` and `outside` are (before, after) of the clusters in the regions and of the others.
    """

    seed: int
    kept: bool
    edges: tuple[float, ...]
    worst: tuple[int, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]
    clusters: tuple[int, int]
    inside: tuple[float, float]
    outside: tuple[float, float]
    whole: tuple[float, float]


def outlier_panels(stages: Sequence[StageResult]) -> tuple[OutlierPanel, ...]:
    """Return what the retraining on outlier regions changed, a panel for each seed."""
    panels = []
    for result in stages:
        regions = result.regions
        if regions is None:
            continue
        others = [number for number in range(len(regions.before)) if number not in regions.worst]
        start = before(result, stages)
        panels.append(
            OutlierPanel(
                seed=result.seed,
                kept=result.kept,
                edges=regions.edges,
                worst=regions.worst,
                before=regions.before,
                after=regions.after,
                clusters=(regions.outliers, regions.others),
                inside=(_mean(regions.before, regions.worst), _mean(regions.after, regions.worst)),
                outside=(_mean(regions.before, others), _mean(regions.after, others)),
                whole=(math.nan if start is None else start, result.val_loss),
            )
        )
    return tuple(panels)


def _mean(values: Sequence[float], bins: Iterable[int]) -> float:
    """Average over bins, which have equally many clusters, so that it is the mean over clusters too."""
    found = [values[number] for number in bins if math.isfinite(values[number])]
    return math.fsum(found) / len(found) if found else math.nan
