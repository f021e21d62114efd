"""How much each hyperparameter matters, beside how much the seed alone matters. Pure numpy arithmetic."""

import itertools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clustersweep.report.sweep.slices import SliceFigure
from clustersweep.study.keys import Scalar
from clustersweep.study.results import SweepResults, TrialResult, combination, loss_of, losses

Complete = Mapping[tuple[tuple[str, Scalar], ...], TrialResult]
"""The complete trials by combination."""


@dataclass(frozen=True)
class Effect:
    """One hyperparameter's main effect.

    Attributes:
        size: How far its mean line moves, lowest to highest value; NaN where no line is whole.
        noise: Standard error, from the seeds alone, of the difference of two points of that mean line;
            NaN with one seed.
        best: The value with the best mean; None where no line is whole.
        lines: How many whole lines the mean is over.
        share: Its share of the sum of squares in the balanced part; NaN where it has one value there.
    """

    axis: str
    size: float
    noise: float
    best: Scalar | None
    lines: int
    share: float


@dataclass(frozen=True)
class Effects:
    """All main effects, and what is left for interactions and seeds.

    Attributes:
        effects: One for each axis with more than one value, in the study's order.
        balanced: The part of the grid in which every combination is complete: values of each axis.
        combinations: How many combinations that part has.
        interactions: Share of the sum of squares that only combinations of values explain.
        seeds: Share that only the seed explains; NaN with one seed.
    """

    effects: tuple[Effect, ...]
    balanced: Mapping[str, tuple[Scalar, ...]]
    combinations: int
    interactions: float
    seeds: float


def effects(results: SweepResults, figures: Sequence[SliceFigure]) -> Effects:
    """Split the sum of squares of the losses exactly: main effects, interactions, seeds.

    In a balanced factorial the parts are orthogonal, so they add up to the whole (Montgomery, Design and
    Analysis of Experiments, chapter 5). `figures` are the slices of the same results.
    """
    done = {combination(trial.params): trial for trial in results.ranked()}
    balanced = _balanced(results.axes, done)
    cube = _cube(balanced, done)
    within = _within(done.values())
    mean = cube.mean(axis=-1)
    total = float(((cube - cube.mean()) ** 2).sum())
    seeds = cube.shape[-1]

    def share(square: float) -> float:
        return square / total if total > 0 else 0.0

    shares = {}
    for number, axis in enumerate(balanced):
        rest = tuple(i for i in range(mean.ndim) if i != number)
        square = float(((mean.mean(axis=rest) - mean.mean()) ** 2).mean()) * cube.size
        shares[axis] = share(square) if mean.shape[number] > 1 else math.nan
    between = share(float(((mean - mean.mean()) ** 2).sum()) * seeds)
    main = sum(s for s in shares.values() if not math.isnan(s))
    return Effects(
        effects=tuple(_effect(figure, within, shares[figure.axis]) for figure in figures),
        balanced=balanced,
        combinations=mean.size,
        interactions=max(0.0, between - main),
        seeds=share(float(((cube - mean[..., None]) ** 2).sum())) if seeds > 1 else math.nan,
    )


def _effect(figure: SliceFigure, within: float, share: float) -> Effect:
    averaged = figure.whole_lines * len(figure.panels)
    return Effect(
        axis=figure.axis,
        size=figure.effect,
        noise=within * math.sqrt(2 / averaged) if averaged else math.nan,
        best=figure.values[int(np.argmin([figure.metric.order(at) for at in figure.mean]))] if figure.mean else None,
        lines=figure.whole_lines,
        share=share,
    )


def _within(trials: Iterable[TrialResult]) -> float:
    """Pool the standard deviation over the seeds of all trials, dead networks included; NaN with one seed."""
    several = [values for trial in trials if len(values := losses(trial)) > 1]
    squares = sum(statistics.variance(values) * (len(values) - 1) for values in several)
    freedom = sum(len(values) - 1 for values in several)
    return math.sqrt(squares / freedom) if freedom else math.nan


def _cube(balanced: Mapping[str, tuple[Scalar, ...]], done: Complete) -> NDArray[np.float64]:
    """Return the losses as an array `(value of axis 1, ..., value of the last axis, seed)`."""
    found = [
        done[combination(dict(zip(balanced, choice, strict=True)))] for choice in itertools.product(*balanced.values())
    ]
    by_seed = [{r.seed: r.value for r in t.complete_replicates} for t in found]
    seeds = sorted(set.intersection(*(set(values) for values in by_seed)))
    rows = [[values[seed] for seed in seeds] for values in by_seed] if seeds else [[loss_of(t)] for t in found]
    return np.array(rows, float).reshape(*map(len, balanced.values()), -1)


def _balanced(axes: Mapping[str, tuple[Scalar, ...]], done: Complete) -> dict[str, tuple[Scalar, ...]]:
    """Shrink the grid, always by the value that lacks the largest share of its trials, until none is missing."""
    kept = dict(axes)
    while True:
        missing = [
            dict(zip(kept, choice, strict=True))
            for choice in itertools.product(*kept.values())
            if combination(dict(zip(kept, choice, strict=True))) not in done
        ]
        if not missing:
            return kept
        size = math.prod(map(len, kept.values()))
        candidates = [
            (sum(params[axis] == value for params in missing) * len(values) / size, axis, value)
            for axis, values in kept.items()
            if len(values) > 1
            for value in values
        ]
        _, axis, value = max(candidates, key=lambda candidate: candidate[0])
        kept[axis] = tuple(v for v in kept[axis] if v != value)
