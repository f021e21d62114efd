"""What stopping early would have cost and risked, from the curves of a grid that was trained to its end. Pure."""

import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from clustersweep.errors import NothingCompleteError
from clustersweep.study.objective import aggregate
from clustersweep.study.results import CompleteReplicate, SweepResults, TrialResult
from clustersweep.study.stopping import Rung, StopEarly, auto_rungs, run_rungs, survivors

SHARES = (1 / 2, 1 / 3, 1 / 5)
"""Kept by the rules that are tried where none is named."""
_FEWEST_FOR_FRESH = 3  # seeds: two decide, and one judges


@dataclass(frozen=True)
class Replayed:
    """What a rule would have done.

    Attributes:
        rule: Which.
        rungs: What it decides at each.
        epochs: Share of the grid's epochs that it trains.
        seconds: Share of the grid's time that it takes, as that was measured.
        winner: The best of what it trains to the end.
        rank: The winner's among all trials.
        regret: How much worse the winner is than the best trial, in the units of the metric; 0 where it is the best.
        fresh_regret: The same with seeds that decided nothing: each seed in turn judges what the others choose, by the
            rule and by the whole grid. It may be negative. NaN with fewer than three seeds.
    """

    rule: StopEarly
    rungs: tuple[Rung, ...]
    epochs: float
    seconds: float
    winner: TrialResult
    rank: int
    regret: float
    fresh_regret: float

    @property
    def stopped(self) -> Mapping[int, int]:
        """The epoch after which each stopped trial is, by its number."""
        return {trial: rung.epoch for rung in self.rungs for trial in rung.stopped}


def rules_for(results: SweepResults) -> tuple[StopEarly, ...]:
    """Return rules that are worth a look: shares from cautious to bold, with ties spared and without."""
    rungs = auto_rungs(longest(results))
    return tuple(StopEarly(rungs=rungs, keep=keep, spare_ties=ties) for ties in (True, False) for keep in SHARES)


def longest(results: SweepResults) -> int:
    """Return the epochs of the longest training of a complete trial; 0 where there is none."""
    return max((r.epochs for t in results.ranked() for r in t.complete_replicates), default=0)


def replayable(results: SweepResults) -> tuple[TrialResult, ...]:
    """Return the complete trials that can be replayed, best first: those with every seed's curve.

    Raises:
        NothingCompleteError: There are fewer than two.
    """
    seeds = set(results.seeds)
    found = tuple(t for t in results.ranked() if seeds <= set(t.replicates) and all(r.curve for r in _of(t, seeds)))
    if len(found) < 2:
        raise NothingCompleteError(
            f"{results.study!r} has {len(found)} complete trials with the curves of all seeds, and replay compares "
            "two at least. Launch the study to its end first"
        )
    return found


def replay(results: SweepResults, rule: StopEarly) -> Replayed:
    """Apply a rule to the stored curves of a study.

    Args:
        results: What is stored; its complete trials take part.
        rule: The rule; of its rungs, those before the end of the longest training.

    Raises:
        NothingCompleteError: There are fewer than two complete trials.
    """
    results = results.of_equal_seeds()
    trials, seeds = replayable(results), results.seeds
    rule = replace(rule, rungs=rule.below(longest(results)))
    rungs, winner = _decided(results, trials, rule, seeds)
    at = {trial: rung.epoch for rung in rungs for trial in rung.stopped}
    trained, epochs, took, seconds = 0, 0, 0.0, 0.0
    for trial in trials:
        for replicate in _of(trial, seeds):
            until = min(at.get(trial.number, replicate.epochs), replicate.epochs)
            trained, epochs = trained + until, epochs + replicate.epochs
            took, seconds = took + replicate.seconds * until / replicate.epochs, seconds + replicate.seconds
    order = results.metric.order
    regret = order(_value(results, winner, seeds)) - order(_value(results, trials[0], seeds))
    return Replayed(
        rule=rule, rungs=rungs, epochs=trained / epochs, seconds=took / seconds if seconds else math.nan,
        winner=winner, rank=[t.number for t in trials].index(winner.number) + 1, regret=regret,
        fresh_regret=_fresh_regret(results, trials, rule),
    )  # fmt: skip


def _fresh_regret(results: SweepResults, trials: Sequence[TrialResult], rule: StopEarly) -> float:
    seeds = results.seeds
    if len(seeds) < _FEWEST_FOR_FRESH:
        return math.nan
    order, lost = results.metric.order, []
    for judge in seeds:
        others = tuple(seed for seed in seeds if seed != judge)
        _, chosen = _decided(results, trials, rule, others)
        best = _best(results, trials, others)
        [judged], [judged_best] = _of(chosen, (judge,)), _of(best, (judge,))
        lost.append(order(judged.value) - order(judged_best.value))
    return statistics.fmean(lost)


def _decided(
    results: SweepResults, trials: Sequence[TrialResult], rule: StopEarly, seeds: Collection[int]
) -> tuple[tuple[Rung, ...], TrialResult]:
    """Return what a rule decides from some seeds, and which trial is the best then."""
    curves = {t.number: [[value for _, value in r.curve] for r in _of(t, seeds)] for t in trials}
    alike = {t.number: t.first_alike for t in trials}
    at = rule.below(longest(results))
    rungs = run_rungs(curves, at, rule, results.metric, over_seeds=results.over_seeds, alike=alike)
    left = survivors(rungs[-1]) if rungs else frozenset(curves)
    return rungs, _best(results, [t for t in trials if t.number in left], seeds)


def _best(results: SweepResults, trials: Sequence[TrialResult], seeds: Collection[int]) -> TrialResult:
    return min(trials, key=lambda t: (results.metric.order(_value(results, t, seeds)), t.number))


def _value(results: SweepResults, trial: TrialResult, seeds: Collection[int]) -> float:
    return aggregate((r.value for r in _of(trial, seeds)), results.over_seeds)


def _of(trial: TrialResult, seeds: Collection[int]) -> tuple[CompleteReplicate, ...]:
    return tuple(r for r in trial.complete_replicates if r.seed in seeds)
