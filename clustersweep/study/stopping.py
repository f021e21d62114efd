"""Successive halving over epochs with complete rungs: which trials a rung keeps. Pure.

Jamieson & Talwalkar 2016 (AISTATS, PMLR 51, 240) for the halving; that nothing is stopped which the noise of the seeds
cannot tell from the best is ours. A rung decides once all that take part have got there, so the same whatever the
number of workers, their speed, and what was killed.
"""

import bisect
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Lt, MinLen

from clustersweep.study.objective import Aggregate, Metric, aggregate
from clustersweep.study.ranking import margin_between, spread_over_seeds
from clustersweep.study.results import (
    CompleteReplicate,
    PausedReplicate,
    StoppedAt,
    SweepResults,
    TrialResult,
    TrialState,
)

_EARLIEST = 0.02  # of a training: no rung of its own is before
_ROUNDING = 1e-9  # a third of 9 is 3, whatever a third is as a float


@dataclass(frozen=True, kw_only=True)
class StopEarly:
    """A rule for stopping.

    Attributes:
        rungs: Epochs after which trials are compared, rising; `auto`: those of 1, 3, 10, 30, ... that
            are 2 % of the training or more.
        keep: Share of the trials that a rung keeps at least.
        spare_ties: Keep also what the noise of the seeds cannot tell from the best trial of the rung.
        noise: Standard deviation of a replicate's value over the seeds, where that is known; None: told by the seeds.
    """

    rungs: Literal["auto"] | Annotated[tuple[Annotated[int, Ge(1)], ...], MinLen(1)] = "auto"
    keep: Annotated[float, Gt(0), Lt(1)] = 1 / 3
    spare_ties: bool = True
    noise: Annotated[float, Gt(0)] | None = None

    def below(self, epochs: int) -> tuple[int, ...]:
        """Return the rungs before the end of a training of so many epochs."""
        return auto_rungs(epochs) if self.rungs == "auto" else tuple(rung for rung in self.rungs if rung < epochs)


@dataclass(frozen=True)
class Place:
    """Where a trial stands at a rung.

    Attributes:
        trial: Its number.
        rank: The best is 1; trials that are trained alike share a rank.
        value: Its objective up to the rung's epoch; infinite in the bad direction where a seed has diverged.
        kept: Whether it trains on.
        tied: Whether it is kept only because the noise cannot tell it from the best.
    """

    trial: int
    rank: int
    value: float
    kept: bool
    tied: bool = False


@dataclass(frozen=True)
class Rung:
    """What is decided at a rung.

    Attributes:
        epoch: After which one.
        noise: Typical standard deviation over the seeds there; NaN with one seed.
        margin: Two trials closer than this cannot be told apart; NaN with one seed.
        places: Every trial that trained to it, best first.
        spares_ties: Those closer than the margin to the best are kept.
    """

    epoch: int
    noise: float
    margin: float
    places: tuple[Place, ...]
    spares_ties: bool = True

    def stopped_at(self, trial: int) -> StoppedAt:
        """Return what is kept with a trial that it stops."""
        place = next(place for place in self.places if place.trial == trial)
        margin = self.margin if self.spares_ties and math.isfinite(self.margin) else None
        best = self.places[0].value
        return StoppedAt(
            epoch=self.epoch, rank=place.rank, among=self.places[-1].rank,
            value=place.value if math.isfinite(place.value) else None,
            best=best if math.isfinite(best) else None, margin=margin,
        )  # fmt: skip

    @property
    def stopped(self) -> tuple[int, ...]:
        """Numbers of the trials that do not train on, best first."""
        return tuple(place.trial for place in self.places if not place.kept)


def auto_rungs(epochs: int) -> tuple[int, ...]:
    """Return the rungs of a training of so many epochs: of 1, 3, 10, 30, 100 and so on those from 2 % of it on.

    Earlier ones save little, and there slow learners are stopped that would win.
    """
    found: list[int] = []
    decade = 1
    while decade < epochs:
        found += [rung for rung in (decade, 3 * decade) if _EARLIEST * epochs <= rung < epochs]
        decade *= 10
    return tuple(found)


def expected_epochs(rungs: Iterable[int], keep: float, epochs: int, done: int = 0) -> float:
    """Return how many epochs a replicate trains on average, beyond those that are done, if rungs keep their share only.

    Args:
        rungs: The epochs after which trials are compared, rising.
        keep: The share that each keeps.
        epochs: Of a whole training.
        done: Those that are done; a rung right after them is still to be decided.
    """
    ahead, share, at = 0.0, 1.0, min(done, epochs)
    for rung in rungs:
        if done <= rung < epochs:
            ahead, share, at = ahead + share * (rung - at), share * keep, rung
    return ahead + share * (epochs - at)


def value_until(curve: Sequence[float], epoch: int, metric: Metric) -> float:
    """Return the best value of a replicate up to an epoch, counted from 1; the worst there is where it has none.

    Args:
        curve: The metric after every epoch.
        epoch: The last that counts, even where the curve is longer.
        metric: Tells which values are better.
    """
    finite = [metric.order(value) for value in curve[:epoch] if math.isfinite(value)]
    return metric.order(min(finite, default=math.inf))


def objective_of(seeds: Sequence[float], metric: Metric, over_seeds: Aggregate) -> float:
    """Return a trial's objective from its seeds' values; the worst there is where one has diverged."""
    return aggregate(seeds, over_seeds) if all(map(math.isfinite, seeds)) else metric.order(math.inf)


def decide(
    epoch: int,
    values: Mapping[int, Sequence[float]],
    rule: StopEarly,
    metric: Metric,
    *,
    over_seeds: Aggregate = "mean",
    alike: Mapping[int, int] | None = None,
) -> Rung:
    """Decide which trials train on from a rung. Does not depend on the order of anything but the trials' numbers.

    Args:
        epoch: The rung.
        values: Of every trial that trained to it, by its number: its seeds' values up to the rung, `(seed,)`.
        rule: What to keep.
        metric: Tells which values are better.
        over_seeds: How the seeds become one value.
        alike: The number that trials share which are trained alike; they stand and fall together, and count once.
    """
    twin_of = {trial: (alike or {}).get(trial, trial) for trial in values}
    objective = {trial: objective_of(seeds, metric, over_seeds) for trial, seeds in values.items()}
    different = {twin_of[trial]: trial for trial in sorted(values, reverse=True)}  # the first of those alike
    ranked = sorted(different.values(), key=lambda trial: (metric.order(objective[trial]), trial))
    noise = rule.noise or spread_over_seeds(values[trial] for trial in ranked if math.isfinite(objective[trial]))
    seeds = round(statistics.fmean(len(values[trial]) for trial in ranked))
    margin = margin_between(noise, over_seeds, seeds)
    number = kept_at_least(rule, len(ranked))
    best = objective[ranked[0]]
    rank = {twin_of[trial]: place for place, trial in enumerate(ranked, start=1)}
    near = {
        twin_of[trial] for trial in ranked if rule.spare_ties and abs(objective[trial] - best) < margin
    }  # NaN is never less
    return Rung(epoch, noise, margin, tuple(
        Place(
            trial, rank[twin], objective[trial],
            kept=rank[twin] <= number or twin in near, tied=rank[twin] > number and twin in near,
        )
        for trial, twin in sorted(twin_of.items(), key=lambda pair: (rank[pair[1]], pair[0]))
    ), rule.spare_ties)  # fmt: skip


def kept_at_least(rule: StopEarly, trials: int) -> int:
    """Return how many of so many different trials a rung keeps, ties not counted."""
    return max(1, math.ceil(rule.keep * trials - _ROUNDING))


def survivors(rung: Rung) -> frozenset[int]:
    """Return the numbers of the trials that train on."""
    return frozenset(place.trial for place in rung.places if place.kept)


def run_rungs(
    curves: Mapping[int, Iterable[Sequence[float]]],
    rungs: Iterable[int],
    rule: StopEarly,
    metric: Metric,
    *,
    over_seeds: Aggregate = "mean",
    alike: Mapping[int, int] | None = None,
) -> tuple[Rung, ...]:
    """Decide one rung after another, each among the trials that the one before kept.

    Args:
        curves: Of every trial by its number: the metric after every epoch, of each seed; as many seeds of all.
        rungs: Epochs after which they are compared, rising.
        rule: What to keep.
        metric: As in `decide`, like the rest.
        over_seeds: As in `decide`.
        alike: As in `decide`.
    """
    told = {trial: tuple(seeds) for trial, seeds in curves.items()}
    seeds = range(max(map(len, told.values()), default=0))
    same = {trial: (alike or {}).get(trial, trial) for trial in told}
    ladder = Ladder(rule, tuple(rungs), same, seeds, metric=metric, over_seeds=over_seeds)
    for trial, several in told.items():
        for seed, curve in enumerate(several):
            ladder.take(trial, seed, curve, ended=True)
    return tuple(ladder.decided)


def budgets(results: SweepResults) -> tuple[int | None, ...]:
    """Return the epochs after which the trials of a sweep can be compared: each rung that stopped some, and their end.

    The end is None, and the only one where nothing was stopped.
    """
    return (*sorted({trial.stopped.epoch for trial in results.trials if trial.stopped is not None}), None)


def compared_at(results: SweepResults, epoch: int | None) -> SweepResults:
    """Return what a sweep had come to after an epoch: of each trial all of whose seeds got there, whatever came then.

    With the study's seeds only, where some trials have further ones.

    Args:
        results: What is stored.
        epoch: Which one; None: what it came to in the end.
    """
    results = results.of_equal_seeds()
    if epoch is None:
        return results
    trials = tuple(_until(results, trial, epoch) for trial in results.trials)
    return replace(results, trials=trials)


def _until(results: SweepResults, trial: TrialResult, epoch: int) -> TrialResult:
    there: dict[int, CompleteReplicate | PausedReplicate] = {one.seed: one for one in trial.complete_replicates}
    there |= {seed: one for seed, one in trial.paused.items() if len(one.curve) >= epoch}
    if trial.infeasible is not None or not set(results.seeds) <= set(there):
        return trial
    found = {seed: _replicate_until(one, epoch, results.metric) for seed, one in sorted(there.items())}
    value = aggregate((found[seed].value for seed in results.seeds), results.over_seeds)
    stopped = trial.stopped if trial.stopped is not None and trial.stopped.epoch == epoch else None
    return replace(trial, state=TrialState.COMPLETE, value=value, replicates=found, paused={}, stopped=stopped)


def _replicate_until(one: CompleteReplicate | PausedReplicate, epoch: int, metric: Metric) -> CompleteReplicate:
    if isinstance(one, CompleteReplicate) and (one.epochs <= epoch or not one.curve):
        return one
    curve = one.curve[:epoch]
    value = value_until([value for _, value in curve], epoch, metric)
    best = next((at for at, (_, told) in enumerate(curve, start=1) if told == value), epoch)
    return CompleteReplicate(one.seed, value, best, len(curve), one.seconds * epoch / one.epochs, one.worker, curve)


@dataclass(frozen=True)
class Moves:
    """What follows from an arrival at a rung, for trials by their number.

    Attributes:
        go_on: Those that may be trained further than before.
        stopped: Those that are not trained on, each with its rung.
        decided: The rungs that are complete since then.
    """

    go_on: tuple[int, ...] = ()
    stopped: tuple[tuple[int, Rung], ...] = ()
    decided: tuple[Rung, ...] = ()


@dataclass(frozen=True)
class _Told:
    """How far a replicate is; see `Ladder.take`."""

    curve: tuple[float, ...]
    ended: bool
    failed: bool


class Ladder:
    """Where every trial stands on the rungs, while what is told of their replicates arrives in any order.

    A trial that the rung keeps whatever the others come to goes on before it
    is complete, so that no worker waits for the slowest: the decision is the same.

    Args:
        rule: What rungs keep.
        rungs: The epochs after which trials are compared, rising; none: all are trained to their end.
        alike: Every trial by its number, with that which it shares with those that are trained alike.
        seeds: Of every trial.
        metric: Tells which values are better.
        over_seeds: How the seeds become one value.
    """

    def __init__(
        self,
        rule: StopEarly,
        rungs: Sequence[int],
        alike: Mapping[int, int],
        seeds: Iterable[int],
        *,
        metric: Metric,
        over_seeds: Aggregate = "mean",
    ) -> None:
        self._rule, self._rungs, self._alike, self._seeds = rule, tuple(rungs), dict(alike), sorted(seeds)
        self._metric, self._over_seeds = metric, over_seeds
        self._told: dict[int, dict[int, _Told]] = {trial: {} for trial in self._alike}
        self._left = set(self._alike)
        self._stopped: dict[int, Rung] = {}
        self.decided: list[Rung] = []
        """The rungs that are complete."""
        self._begin_rung()

    @property
    def undecided(self) -> int | None:
        """The epoch of the rung that is to be complete next; None where all are."""
        return self._rungs[len(self.decided)] if len(self.decided) < len(self._rungs) else None

    def until(self, trial: int) -> int | None:
        """Return the epoch to which a trial may be trained; None: to its end."""
        if trial in self._stopped:
            return self._stopped[trial].epoch
        level = len(self.decided) + (self._alike[trial] in self._sure)
        return self._rungs[level] if level < len(self._rungs) else None

    def stopped_at(self, trial: int) -> Rung | None:
        """Return the rung that stopped a trial; None where none has."""
        return self._stopped.get(trial)

    def waits(self, trial: int, seed: int) -> bool:
        """Say whether a replicate has got as far as it may."""
        until = self.until(trial)
        return until is not None and self._reached(trial, seed, until)

    def take(self, trial: int, seed: int, curve: Sequence[float], *, ended: bool, failed: bool = False) -> Moves:
        """Take how far a replicate is.

        Args:
            trial: Its trial.
            seed: Its seed.
            curve: The metric after every epoch until now.
            ended: It will be trained no further: then it has got to all rungs.
            failed: It ended as it diverged, or has failed for good: that puts its trial last at the rungs after it.
        """
        self._told[trial][seed] = _Told(tuple(curve), ended, failed)
        go_on, known, before = self._arrive(trial), len(self._stopped), len(self.decided)
        while self.undecided is not None and len(self._order) == len(self._kinds):
            go_on |= self._decide()
            for other in sorted(self._left):  # those of which longer curves are stored
                go_on |= self._arrive(other)
        stopped = [(t, self._stopped[t]) for t in list(self._stopped)[known:]]
        go_on -= self._stopped.keys()
        return Moves(tuple(sorted(go_on)), tuple(stopped), tuple(self.decided[before:]))

    def _begin_rung(self) -> None:
        self._there: set[int] = set()  # trials that have got to the rung
        self._kinds: dict[int, list[int]] = {}  # those that take part, together where they are trained alike
        for trial in sorted(self._left):
            self._kinds.setdefault(self._alike[trial], []).append(trial)
        self._order: list[tuple[float, int]] = []  # objectives of the kinds of which all have, the best first
        self._sure: set[int] = set()  # the kinds that the rung keeps in any case

    def _reached(self, trial: int, seed: int, epoch: int) -> bool:
        told = self._told[trial].get(seed)
        return told is not None and (told.ended or len(told.curve) >= epoch)

    def _arrive(self, trial: int) -> set[int]:
        """Note that a trial may have got to the rung; return those that go on because of it."""
        epoch = self.undecided
        if epoch is None or trial not in self._left or trial in self._there:
            return set()
        if not all(self._reached(trial, seed, epoch) for seed in self._seeds):
            return set()
        self._there.add(trial)
        kind = self._alike[trial]
        if any(other not in self._there for other in self._kinds[kind]):
            return set()
        value = objective_of(self._values(trial, epoch), self._metric, self._over_seeds)
        bisect.insort(self._order, (self._metric.order(value), self._kinds[kind][0]))
        # Whatever the absent ones come to, they cannot push these out of the share that is kept.
        absent = len(self._kinds) - len(self._order)
        number = max(0, kept_at_least(self._rule, len(self._kinds)) - absent)
        new = {self._alike[one] for _, one in self._order[:number]} - self._sure
        self._sure |= new
        return {other for one in new for other in self._kinds[one]}

    def _decide(self) -> set[int]:
        """Decide the rung; return those that go on because of it."""
        epoch = self._rungs[len(self.decided)]
        values = {trial: self._values(trial, epoch) for trial in self._left}
        alike = {trial: self._alike[trial] for trial in self._left}
        rung = decide(epoch, values, self._rule, self._metric, over_seeds=self._over_seeds, alike=alike)
        self.decided.append(rung)
        self._stopped |= dict.fromkeys(rung.stopped, rung)
        self._left = set(survivors(rung))
        new = {trial for trial in self._left if self._alike[trial] not in self._sure}
        self._begin_rung()
        return new

    def _values(self, trial: int, epoch: int) -> list[float]:
        told = (self._told[trial][seed] for seed in self._seeds)
        last = self._metric.order(math.inf)
        return [
            last if one.failed and len(one.curve) < epoch else value_until(one.curve, epoch, self._metric)
            for one in told
        ]
