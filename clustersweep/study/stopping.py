"""Successive halving over epochs with complete rungs: which trials a rung keeps. Pure.

Jamieson & Talwalkar 2016 (AISTATS, PMLR 51, 240) for the halving; that nothing is stopped which the noise of the seeds
cannot tell from the best is ours.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from clustersweep.study.objective import Aggregate, Metric, aggregate
from clustersweep.study.ranking import margin_between, spread_over_seeds

_ROUNDING = 1e-9  # a third of 9 is 3, whatever a third is as a float


@dataclass(frozen=True, kw_only=True)
class StopEarly:
    """A rule for stopping.

    Attributes:
        rungs: Epochs after which trials are compared, rising.
        keep: Share of the trials that a rung keeps at least.
        spares_ties: Keep also what the noise of the seeds cannot tell from the best trial of the rung.
    """

    rungs: tuple[int, ...]
    keep: float = 1 / 3
    spares_ties: bool = True


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
    """

    epoch: int
    noise: float
    margin: float
    places: tuple[Place, ...]

    @property
    def stopped(self) -> tuple[int, ...]:
        """Numbers of the trials that do not train on, best first."""
        return tuple(place.trial for place in self.places if not place.kept)


def auto_rungs(epochs: int) -> tuple[int, ...]:
    """Return the rungs of a training of so many epochs: 1, 3, 10, 30, 100 and so on, below it."""
    found: list[int] = []
    decade = 1
    while decade < epochs:
        found += [rung for rung in (decade, 3 * decade) if rung < epochs]
        decade *= 10
    return tuple(found)


def value_until(curve: Sequence[float], epoch: int, metric: Metric) -> float:
    """Return the best value of a replicate up to an epoch, counted from 1; the worst there is where it has none.

    Args:
        curve: The metric after every epoch.
        epoch: The last that counts, even where the curve is longer.
        metric: Tells which values are better.
    """
    finite = [metric.order(value) for value in curve[:epoch] if math.isfinite(value)]
    return metric.order(min(finite, default=math.inf))


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
    objective = {
        trial: aggregate(seeds, over_seeds) if all(map(math.isfinite, seeds)) else metric.order(math.inf)
        for trial, seeds in values.items()
    }
    different = {twin_of[trial]: trial for trial in sorted(values, reverse=True)}  # the first of those alike
    ranked = sorted(different.values(), key=lambda trial: (metric.order(objective[trial]), trial))
    noise = spread_over_seeds(values[trial] for trial in ranked if math.isfinite(objective[trial]))
    seeds = round(statistics.fmean(len(values[trial]) for trial in ranked))
    margin = margin_between(noise, over_seeds, seeds)
    number = max(1, math.ceil(rule.keep * len(ranked) - _ROUNDING))
    best = objective[ranked[0]]
    rank = {twin_of[trial]: place for place, trial in enumerate(ranked, start=1)}
    near = {
        twin_of[trial] for trial in ranked if rule.spares_ties and abs(objective[trial] - best) < margin
    }  # NaN is never less
    return Rung(epoch, noise, margin, tuple(
        Place(
            trial, rank[twin], objective[trial],
            kept=rank[twin] <= number or twin in near, tied=rank[twin] > number and twin in near,
        )
        for trial, twin in sorted(twin_of.items(), key=lambda pair: (rank[pair[1]], pair[0]))
    ))  # fmt: skip


def survivors(rung: Rung) -> frozenset[int]:
    """Return the numbers of the trials that train on."""
    return frozenset(place.trial for place in rung.places if place.kept)


def run_rungs(
    curves: Mapping[int, Iterable[Sequence[float]]],
    rule: StopEarly,
    metric: Metric,
    *,
    over_seeds: Aggregate = "mean",
    alike: Mapping[int, int] | None = None,
) -> tuple[Rung, ...]:
    """Decide one rung after another, each among the trials that the one before kept.

    Args:
        curves: Of every trial by its number: the metric after every epoch, of each seed.
        rule: The rungs, and what to keep.
        metric: As in `decide`, like the rest.
        over_seeds: As in `decide`.
        alike: As in `decide`.
    """
    left = {trial: tuple(seeds) for trial, seeds in curves.items()}
    found: list[Rung] = []
    for epoch in rule.rungs:
        values = {trial: [value_until(curve, epoch, metric) for curve in seeds] for trial, seeds in left.items()}
        rung = decide(epoch, values, rule, metric, over_seeds=over_seeds, alike=alike)
        found.append(rung)
        kept = survivors(rung)
        left = {trial: seeds for trial, seeds in left.items() if trial in kept}
    return tuple(found)
