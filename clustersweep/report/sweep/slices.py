"""Figure data: the metric against one hyperparameter, the others held fixed. Pure; draws nothing."""

import itertools
import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from clustersweep.report.sweep.verdict import shared_params
from clustersweep.study.keys import Params, Scalar
from clustersweep.study.objective import Metric
from clustersweep.study.results import FailedReplicate, SweepResults, TrialResult, TrialState, combination, losses

Scale = Literal["category", "linear", "log"]
GapKind = Literal["impossible", "failed", "stopped", "unfinished"]
GAP_KINDS: tuple[GapKind, ...] = ("impossible", "failed", "stopped", "unfinished")


@dataclass(frozen=True)
class Point:
    """One replicate: the one that holds the panel's rank among its trial's seeds; `stopped`: its trial was, there."""

    x: Scalar
    loss: float
    seed: int
    trial: int
    stopped: bool = False


@dataclass(frozen=True)
class Line:
    """The trials that agree in everything but the axis; `points` has None where no trial is complete."""

    fixed: Params
    points: tuple[Point | None, ...]

    @property
    def is_whole(self) -> bool:
        """Say whether every value of the axis has its point."""
        return all(point is not None for point in self.points)


@dataclass(frozen=True)
class Panel:
    """All lines for one rank of the initialisation (1: the best seed of each combination).

    `mean` is the mean over the whole lines only, one value for each value of the axis; empty where no
    line is whole.
    """

    rank: int
    lines: tuple[Line, ...]
    mean: tuple[float, ...]


@dataclass(frozen=True)
class Gap:
    """Why `count` of the lines have no point at `x`."""

    x: Scalar
    kind: GapKind
    count: int
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class SliceFigure:
    """Everything that one figure shows.

    Attributes:
        axis: The hyperparameter.
        values: Its values, in the study's order (ascending where they are numbers).
        scale: How the axis is drawn; logarithmic when its numbers span a factor of thirty or more.
        others: The axes held fixed, with their values; those with the strongest effect first.
        panels: One for each rank of the initialisation.
        gaps: By value and kind.
        whole_lines: How many lines the mean is over.
        low: Lowest value of the whole sweep; with `high` the same in all figures of a report.
        high: Highest value of the whole sweep.
        label_variance: What predicting a constant gives.
        metric: What the values are.
    """

    axis: str
    values: tuple[Scalar, ...]
    scale: Scale
    others: Mapping[str, tuple[Scalar, ...]]
    panels: tuple[Panel, ...]
    gaps: tuple[Gap, ...]
    whole_lines: int
    low: float
    high: float
    label_variance: float | None
    metric: Metric

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean over the whole lines and all ranks, one for each value; empty where no line is whole."""
        return tuple(statistics.fmean(at) for at in zip(*(p.mean for p in self.panels), strict=True))

    @property
    def effect(self) -> float:
        """How far the mean moves along the axis; NaN where no line is whole."""
        return max(self.mean) - min(self.mean) if self.mean else math.nan


def slices(results: SweepResults) -> tuple[SliceFigure, ...]:
    """Return a figure for each axis that has more than one value, in the study's order."""
    axes = {name: values for name, values in results.axes.items() if len(values) > 1}
    figures = [_slice(results, name) for name in axes]
    strength = {f.axis: -1.0 if math.isnan(f.effect) else f.effect for f in figures}
    return tuple(
        replace(f, others=dict(sorted(f.others.items(), key=lambda item: -strength[item[0]]))) for f in figures
    )


def _slice(results: SweepResults, axis: str) -> SliceFigure:
    values = _ordered(results.axes[axis])
    others = {name: _ordered(v) for name, v in results.axes.items() if name != axis}
    trials = {combination(trial.params): trial for trial in results.trials}
    rows: list[tuple[Params, list[TrialResult | None]]] = []
    for choice in itertools.product(*others.values()):
        fixed = dict(zip(others, choice, strict=True))
        rows.append((fixed, [trials.get(combination({**fixed, axis: value})) for value in values]))
    done = [losses(trial) for trial in results.ranked()]
    metric = results.metric
    panels = tuple(_panel(rank, values, rows, metric) for rank in range(1, max(map(len, done), default=0) + 1))
    every = list(itertools.chain.from_iterable(done))
    return SliceFigure(
        axis=axis,
        values=values,
        scale=_scale(values),
        others={name: v for name, v in others.items() if len(v) > 1},
        panels=panels,
        gaps=tuple(g for i, x in enumerate(values) for g in _gaps(axis, x, [found[i] for _, found in rows])),
        whole_lines=sum(line.is_whole for line in panels[-1].lines) if panels else 0,
        low=min(every, default=math.nan),
        high=max(every, default=math.nan),
        label_variance=results.label_variance,
        metric=metric,
    )


def _panel(
    rank: int, values: Sequence[Scalar], rows: Sequence[tuple[Params, Sequence[TrialResult | None]]], metric: Metric
) -> Panel:
    lines = [
        Line(fixed, tuple(_point(rank, x, trial, metric) for x, trial in zip(values, found, strict=True)))
        for fixed, found in rows
    ]
    whole = [[p.loss for p in line.points if p is not None] for line in lines if line.is_whole]
    return Panel(rank, tuple(lines), tuple(statistics.fmean(at) for at in zip(*whole, strict=True)))


def _point(rank: int, x: Scalar, trial: TrialResult | None, metric: Metric) -> Point | None:
    # Only complete trials: the best of two finished seeds would be compared with the best of three.
    if trial is None or trial.value is None:
        return None
    ended = sorted((metric.order(r.value), r.seed, r.value) for r in trial.complete_replicates)
    if rank > len(ended):
        return None
    _, seed, loss = ended[rank - 1]
    return Point(x, loss, seed, trial.number, trial.stopped is not None)


def _gaps(axis: str, x: Scalar, found: Sequence[TrialResult | None]) -> list[Gap]:
    reasons: dict[GapKind, dict[str, list[TrialResult]]] = {kind: defaultdict(list) for kind in GAP_KINDS}
    absent = 0
    for trial in found:
        if trial is None:
            absent += 1
        elif trial.infeasible is not None:
            reasons["impossible"][trial.infeasible.reason].append(trial)
        elif trial.state == TrialState.FAILED:
            why = {r.signature or "failed" for r in trial.replicates.values() if isinstance(r, FailedReplicate)}
            reasons["failed"][", ".join(sorted(why)) or "failed"].append(trial)
        elif trial.stopped is not None and trial.value is None:
            reasons["stopped"][f"after epoch {trial.stopped.epoch}"].append(trial)
        elif trial.value is None:
            reasons["unfinished"][trial.state].append(trial)
    gaps = []
    for kind, by_reason in reasons.items():
        lines = [f"{len(trials)}: {reason}{_in_common(trials, axis)}" for reason, trials in by_reason.items()]
        count = sum(map(len, by_reason.values()))
        if kind == "unfinished" and absent:
            lines.append(f"{absent}: not launched")
            count += absent
        if count:
            gaps.append(Gap(x, kind, count, tuple(lines)))
    return gaps


def _in_common(trials: Sequence[TrialResult], axis: str) -> str:
    """Say in which params the trials of a gap agree, apart from the axis itself."""
    if len(trials) < 2:
        return ""
    shared = [f"{name} = {value}" for name, value in shared_params(trials).items() if name != axis]
    return f" ({', '.join(shared)})" if shared else ""


def _ordered(values: Sequence[Scalar]) -> tuple[Scalar, ...]:
    numbers = [value for value in values if not isinstance(value, str | bool)]
    return tuple(sorted(numbers)) if len(numbers) == len(values) else tuple(values)


def _scale(values: Sequence[Scalar]) -> Scale:
    numbers = [value for value in values if not isinstance(value, str | bool)]
    if len(numbers) < len(values):
        return "category"
    # 1e-4, 1e-3, 1e-2 on a linear axis would put two of three ticks on the same spot.
    return "log" if min(numbers) > 0 and max(numbers) / min(numbers) >= 30 else "linear"
