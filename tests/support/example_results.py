"""A finished sweep that looks like a real one: deterministic losses, impossible cells from the arithmetic."""

import dataclasses
import itertools
import math
import statistics
from collections.abc import Mapping
from typing import Any

import numpy as np

from clustersweep.report.sweep.slices import SliceFigure, slices
from clustersweep.study.keys import Scalar
from clustersweep.study.objective import aggregate, plain_metric
from clustersweep.study.results import (
    CompleteReplicate,
    FailedReplicate,
    PausedReplicate,
    SweepResults,
    TrialResult,
    TrialState,
)
from clustersweep.study.stopping import Rung, StopEarly, run_rungs
from clustersweep.study.task import Infeasible
from clustersweep.training.metric import VAL_LOSS
from clustersweep.training.network import NetworkSpec, layers, parameters

LABEL_VARIANCE = 0.142
GRID: Mapping[str, tuple[Scalar, ...]] = {
    "filters": (10, 20, 30),
    "kernel_size": (3, 5, 7),
    "conv_blocks": (1, 2, 3),
    "dense_layers": (1, 2, 3),
}


def grid_results(
    axes: Mapping[str, tuple[Scalar, ...]] = GRID, seeds: tuple[int, ...] = (0, 1, 2), dead: bool = True
) -> SweepResults:
    """Return a complete sweep on 50 x 50 images with three convolutions a block (54 of the grid's 81 feasible)."""
    trials = []
    for number, values in enumerate(itertools.product(*axes.values())):
        params = dict(zip(axes, values, strict=True))
        known = {field.name for field in dataclasses.fields(NetworkSpec)}
        network: dict[str, Any] = {name: value for name, value in params.items() if name in known}
        spec = dataclasses.replace(NetworkSpec(convs_per_block=3), **network)
        found = layers(spec, (50, 50, 10))
        if isinstance(found, Infeasible):
            trials.append(TrialResult(number, params, TrialState.INFEASIBLE, infeasible=found))
            continue
        done = {seed: _replicate(spec, number, seed, dead) for seed in seeds}
        value = aggregate([r.value for r in done.values()], "mean")
        trials.append(TrialResult(number, params, TrialState.COMPLETE, value, done, parameters=parameters(found)))
    return SweepResults(
        "efeds-grid", "9f2b6c01d4e8a7", dict(axes), seeds, tuple(trials), LABEL_VARIANCE, metric=VAL_LOSS
    )


def sweep_of(losses: dict[tuple[int, int], tuple[float, ...]]) -> SweepResults:
    """Give a sweep over filters and dense_layers with given losses, a seed each."""
    axes = {"filters": tuple(sorted({f for f, _ in losses})), "dense_layers": tuple(sorted({d for _, d in losses}))}
    trials = []
    for number, ((filters, dense), values) in enumerate(losses.items()):
        done = {seed: CompleteReplicate(seed, v, 3, 5, 2.0, "w") for seed, v in enumerate(values)}
        params = {"filters": filters, "dense_layers": dense}
        trials.append(TrialResult(number, params, TrialState.COMPLETE, statistics.fmean(values), done))
    return SweepResults("tiny", "d1", axes, tuple(range(len(values))), tuple(trials), 0.2, metric=VAL_LOSS)


def figure_of(results: SweepResults, axis: str) -> SliceFigure:
    """Return the slice figure of one axis."""
    return next(figure for figure in slices(results) if figure.axis == axis)


def replicate(seed: int, value: float) -> CompleteReplicate:
    """Return a replicate of one epoch that came to a value."""
    return CompleteReplicate(seed, value, 1, 1, 1.0, "worker")


def replace_trial(results: SweepResults, number: int, **changes: Any) -> SweepResults:
    """Return the same sweep with one trial changed."""
    trials = [dataclasses.replace(t, **changes) if t.number == number else t for t in results.trials]
    return dataclasses.replace(results, trials=tuple(trials))


def fail_trial(results: SweepResults, number: int, error: str = "RuntimeError: boom") -> SweepResults:
    """Return the same sweep with one trial failed in its last seed."""
    trial = next(t for t in results.trials if t.number == number)
    last = max(trial.replicates)
    broken = FailedReplicate(last, error, "NonFiniteLoss", 3, 1.5, "worker-1")
    return replace_trial(
        results, number, state=TrialState.FAILED, value=None, replicates={**trial.replicates, last: broken}
    )


def _replicate(spec: NetworkSpec, number: int, seed: int, dead: bool) -> CompleteReplicate:
    rng = np.random.default_rng((seed, number))
    best = 0.052 + 0.016 * (3 - spec.conv_blocks) + 0.003 * (spec.kernel_size - 3) * (spec.conv_blocks - 0.6)
    best += 0.002 * (spec.dense_layers - 1) + 0.0006 * (20 - spec.filters) / 10
    best *= math.exp(rng.normal(0, 0.045))
    if dead and rng.random() < 0.03:
        best = LABEL_VARIANCE * 1.0004
    epochs = int(rng.integers(60, 120))
    shape = np.exp(-np.arange(1, epochs + 1) / rng.uniform(8, 16))
    val = best + (0.35 * shape + rng.exponential(0.05 * best, epochs)) * (best < LABEL_VARIANCE)
    at = int(val.argmin())
    val[at] = best
    train = best * (1 - 0.35 * (1 - shape)) + 0.3 * shape
    seconds = epochs * (0.4 + 0.15 * spec.filters / 10 * spec.kernel_size**2 / 9)
    curve = tuple((float(a), float(b)) for a, b in zip(train, val, strict=True))
    return CompleteReplicate(seed, float(best), at + 1, epochs, seconds, "worker-0", curve)


ACCURACY = plain_metric("accuracy", "%", "maximize")


def mirrored(results: SweepResults) -> SweepResults:
    """Give the same sweep judged by 1 - loss, of which more is better."""
    trials = []
    for trial in results.trials:
        done = {
            seed: dataclasses.replace(r, value=1 - r.value, curve=tuple((1 - a, 1 - b) for a, b in r.curve))
            for seed, r in trial.replicates.items()
            if isinstance(r, CompleteReplicate)
        }
        value = None if trial.value is None else 1 - trial.value
        trials.append(dataclasses.replace(trial, value=value, replicates=done))
    return dataclasses.replace(results, trials=tuple(trials), metric=ACCURACY, label_variance=None)


def stop_trials(results: SweepResults, rungs: tuple[int, ...] = (2, 5), keep: float = 0.34) -> SweepResults:
    """Return the same sweep as rungs would have left it, ties not spared."""
    curves = {
        t.number: [[value for _, value in r.curve] for r in t.complete_replicates] for t in results.ranked()
    }  # fmt: skip
    decided = run_rungs(curves, rungs, StopEarly(keep=keep, spare_ties=False), results.metric)
    at = {trial: rung for rung in decided for trial in rung.stopped}
    return dataclasses.replace(results, trials=tuple(_stopped(t, at.get(t.number)) for t in results.trials))


def _stopped(trial: TrialResult, rung: Rung | None) -> TrialResult:
    if rung is None:
        return trial
    paused = {
        r.seed: PausedReplicate(
            r.seed, min(value for _, value in r.curve[: rung.epoch]), rung.epoch, 1.0, "w", r.curve[: rung.epoch]
        )
        for r in trial.complete_replicates
    }
    return dataclasses.replace(
        trial, state=TrialState.STOPPED, value=None, replicates={}, paused=paused, stopped=rung.stopped_at(trial.number)
    )
