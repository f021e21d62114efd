"""More seeds for the best trials, in rounds, until they can be told apart: who gets them, and what it settles. Pure.

At every look the leader is compared with all that are still in the race by the studentised range (Tukey 1949,
Biometrics 5, 99), which holds whoever leads, and the looks share the error evenly (Bonferroni): the probability that
any trial which is as good as the best is called worse is at most `ERROR`, over all pairs and all rounds.
"""

import functools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated

from annotated_types import Ge, Gt, Le

from clustersweep.study.objective import Aggregate, Metric, aggregate, standard_error
from clustersweep.words import listed

ERROR = 0.05
_GROWTH = 1.5  # of the number of seeds from one look to the next: few looks cost little of the error


@dataclass(frozen=True, kw_only=True)
class ExtraSeeds:
    """How far a race goes.

    Attributes:
        at_most: Seeds of a trial, those of the study included.
        budget: Share of what the sweep has cost that the race may cost, both in estimated operations.
    """

    at_most: Annotated[int, Ge(2), Le(1000)] = 9
    budget: Annotated[float, Gt(0)] = 0.5


class Settled(StrEnum):
    """Why a race ended."""

    SEPARATED = "separated"
    AT_MOST = "at_most"
    BUDGET = "budget"
    ALONE = "alone"


@dataclass(frozen=True)
class Entrant:
    """Where a trial stands at a look.

    Attributes:
        trial: Its number.
        value: Its objective over the seeds of the look.
        out: It is told from the leader there, as worse.
    """

    trial: int
    value: float
    out: bool


@dataclass(frozen=True)
class Look:
    """What is seen once all in a race have so many seeds.

    Attributes:
        seeds: How many.
        noise: Standard deviation over the seeds, pooled over those in the race.
        margin: What is farther than this from the leader is worse.
        entrants: Those in the race, best first: the first one leads.
    """

    seeds: int
    noise: float
    margin: float
    entrants: tuple[Entrant, ...]


@dataclass(frozen=True)
class Race:
    """How far a race is.

    Attributes:
        looks: What was seen, one after another.
        left: Those that the leader cannot be told from, the leader first.
        seeds: How many seeds they are to have next; 0 where nothing more is to be trained.
        settled: Why it ended; None while it goes on.
    """

    looks: tuple[Look, ...]
    left: tuple[int, ...]
    seeds: int = 0
    settled: Settled | None = None

    @property
    def text(self) -> str:
        """How far it is, in words; nothing where there was none to run."""
        if not self.looks or self.settled is Settled.ALONE:
            return ""
        look = self.looks[-1]
        after, trials = f"further seeds: after {look.seeds} seeds", f"{len(self.left)} trials"
        if self.settled is Settled.SEPARATED:
            return f"{after} trial {self.left[0]} is better than all others, by more than {look.margin:.4f}"
        apart = f"{trials} cannot be told apart ({listed(map(str, self.left))}: within {look.margin:.4f} of the first)"
        if self.settled is Settled.AT_MOST:
            return f"{after} {apart}, and none may have more (extra_seeds.at_most)"
        if self.settled is Settled.BUDGET:
            return f"{after} {apart}; more would cost more than they may (extra_seeds.budget)"
        return f"{after} {apart}: each gets {self.seeds - look.seeds} more"

    def renumbered(self, numbers: Mapping[int, int]) -> "Race":
        """Return the same with other numbers for the trials."""
        looks = tuple(
            replace(look, entrants=tuple(replace(one, trial=numbers[one.trial]) for one in look.entrants))
            for look in self.looks
        )
        return replace(self, looks=looks, left=tuple(numbers[trial] for trial in self.left))


def seeds_at_looks(first: int, at_most: int) -> tuple[int, ...]:
    """Return how many seeds the trials in a race have at each look, from those of the study on."""
    found = [first]
    while found[-1] < at_most:
        found.append(min(at_most, math.ceil(found[-1] * _GROWTH)))
    return tuple(found)


def run_race(
    values: Mapping[int, Sequence[float]],
    costs: Mapping[int, float],
    rule: ExtraSeeds,
    metric: Metric,
    *,
    first: int,
    spent: float,
    over_seeds: Aggregate = "mean",
) -> Race:
    """Follow a race as far as seeds are trained. The same however they came.

    Args:
        values: Of every trial that takes part, of those trained alike one, by its number: its seeds' values, `(seed,)`.
        costs: What a seed of each costs.
        rule: How far it goes.
        metric: Tells which values are better.
        first: How many seeds the study has.
        spent: What the sweep has cost.
        over_seeds: How the seeds become one value.
    """
    at_looks = seeds_at_looks(first, rule.at_most)
    left, cost = tuple(sorted(values)), 0.0
    looks: list[Look] = []
    for place, seeds in enumerate(at_looks):
        if any(len(values[trial]) < seeds for trial in left):
            return Race(tuple(looks), left, seeds)
        look = _look({trial: values[trial][:seeds] for trial in left}, len(at_looks), metric, over_seeds)
        looks.append(look)
        left = tuple(one.trial for one in look.entrants if not one.out)
        if len(left) == 1:
            return Race(tuple(looks), left, settled=Settled.SEPARATED if len(values) > 1 else Settled.ALONE)
        if place + 1 == len(at_looks):
            break
        cost += sum(costs[trial] * (at_looks[place + 1] - seeds) for trial in left)
        if cost > rule.budget * spent:
            return Race(tuple(looks), left, settled=Settled.BUDGET)
    return Race(tuple(looks), left, settled=Settled.AT_MOST)


def _look(values: Mapping[int, Sequence[float]], looks: int, metric: Metric, over_seeds: Aggregate) -> Look:
    seeds = len(next(iter(values.values())))
    objective = {trial: aggregate(several, over_seeds) for trial, several in values.items()}
    ranked = sorted(values, key=lambda trial: (metric.order(objective[trial]), trial))
    noise, freedom = pooled_noise(values.values())
    margin = math.nan
    if freedom and len(values) > 1:
        margin = _range_quantile(ERROR / looks, len(values), freedom) * noise * standard_error(over_seeds, seeds)
    best = objective[ranked[0]]
    return Look(seeds, noise, margin, tuple(
        Entrant(trial, objective[trial], abs(objective[trial] - best) > margin)  # NaN is never more
        for trial in ranked
    ))  # fmt: skip


def pooled_noise(values: Iterable[Sequence[float]]) -> tuple[float, int]:
    """Return the standard deviation over the seeds that trials have in common, and its degrees of freedom.

    NaN and 0 with one seed.
    """
    several = [one for one in values if len(one) > 1]
    freedom = sum(len(one) - 1 for one in several)
    if not freedom:
        return math.nan, 0
    return math.sqrt(sum(statistics.variance(one) * (len(one) - 1) for one in several) / freedom), freedom


@functools.cache  # half a second, and the same for the same numbers
def _range_quantile(error: float, trials: int, freedom: int) -> float:
    from scipy.stats import studentized_range

    return float(studentized_range.isf(error, trials, freedom))
