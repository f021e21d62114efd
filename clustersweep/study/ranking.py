"""Which trials the noise of the seeds cannot tell apart, which are trained alike, and which learned nothing. Pure."""

import collections
import functools
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from clustersweep.errors import NothingCompleteError
from clustersweep.study.objective import Aggregate, Metric
from clustersweep.study.results import SweepResults, TrialResult, first_of_alike, loss_of, losses
from clustersweep.words import counted

_FARTHEST, _STEP = 8.0, 0.05  # of the integrals over the normal distribution, in standard deviations
NOISE_OF_SEEDS = "the noise of the seeds"
_MOST_EVEN = 20  # the median of more seeds, where their number is even, varies as that of one more does, within 1 %


@dataclass(frozen=True)
class Ties:
    """What the noise of the seeds cannot tell from a trial.

    Attributes:
        noise: Typical standard deviation of a replicate's value over the seeds; NaN with one seed.
        margin: Two trials closer than this cannot be told apart; NaN with one seed.
        trials: The others within the margin that learned something, best first, also those that are trained alike.
        same: Complete trials that are trained as this one is.
    """

    noise: float
    margin: float
    trials: tuple[TrialResult, ...]
    same: tuple[TrialResult, ...]

    @property
    def distinct(self) -> tuple[TrialResult, ...]:
        """One trial of those that are trained alike among the others, best first."""
        return first_of_alike(self.trials)

    def count(self, noun: str = "other combination") -> str:
        """Return `5 other combinations`, and how many of them are trained alike."""
        number, different = len(self.trials), len(self.distinct)
        words = counted(number, noun)
        if different == number:
            return words
        several = [n for n in collections.Counter(t.first_alike for t in self.trials).values() if n > 1]
        if len(several) == 1:
            return f"{words}, {several[0]} of them the same network"
        return f"{words} of {different} different networks"


def ties_of(results: SweepResults, trial: TrialResult) -> Ties:
    """Return what the noise cannot tell from a complete trial; trials that learned nothing are no rivals."""
    variance = results.label_variance
    alive = [t for t in results.distinct() if not learned_nothing(loss_of(t), variance)]
    noise = typical_spread(alive or results.distinct())
    margin = margin_of(trial, noise, results.over_seeds)
    ranked = [t for t in results.ranked() if not learned_nothing(loss_of(t), variance)]
    near = indistinguishable(ranked, trial, math.nan if learned_nothing(loss_of(trial), variance) else margin)
    own = trial.first_alike
    twins = (t for t in results.ranked() if t.first_alike == own and t.number != trial.number)
    return Ties(noise, margin, tuple(t for t in near if t.first_alike != own), tuple(twins))


def choose(results: SweepResults, *, rank: int = 1, number: int | None = None) -> tuple[TrialResult, int]:
    """Choose a complete trial by its rank or by its number; gives it with its rank.

    Raises:
        NothingCompleteError: There is no such complete trial.
    """
    ranked = results.distinct()
    if not ranked:
        raise NothingCompleteError(
            f"no trial of {results.study!r} is complete, so there is nothing to export. Launch the study first"
        )
    if number is not None:
        ranks = {trial.first_alike: place for place, trial in enumerate(ranked, start=1)}
        for trial in results.ranked():
            if trial.number == number:
                return trial, ranks[trial.first_alike]
        raise NothingCompleteError(
            f"trial {number} of {results.study!r} is not complete (or was superseded). "
            "`clustersweep report` lists those that are"
        )
    if not 1 <= rank <= len(ranked):
        what = "trials" if len(ranked) == len(results.ranked()) else "networks"
        raise NothingCompleteError(
            f"rank {rank} asked for, but {results.study!r} has {len(ranked)} complete {what}. "
            f"Give a rank from 1 to {len(ranked)}"
        )
    return ranked[rank - 1], rank


def learned_nothing(loss: float, label_variance: float | None) -> bool:
    """Say whether predicting a constant would have done as well."""
    return label_variance is not None and loss >= label_variance


def nothing_learned(
    what: str,
    loss: float,
    label_variance: float | None,
    margin: float = math.nan,
    noise: str = NOISE_OF_SEEDS,
    *,
    metric: Metric,
) -> str:
    """Return the sentence that comes before all others where it is not sure that anything was learned; else nothing.

    Args:
        what: Of what the loss is.
        loss: Its mean squared error.
        label_variance: What predicting a constant gives; None where that is not known.
        margin: Differences up to this may be chance; NaN where that is not known, as with one seed.
        noise: What makes them.
        metric: What it is.
    """
    if label_variance is None or not loss + max(0.0, margin) >= label_variance:  # max(0, NaN) is 0
        return ""
    unit = metric.with_unit
    both = f"{what} has {loss:.4f}{unit}, and {metric.constant_in_full} gives {label_variance:.4f}{unit}"
    if learned_nothing(loss, label_variance):
        return f"Nothing was learned: {both}."
    return f"It is not sure that anything was learned: {both}, a difference within {noise} ({margin:.4f}{unit})."


def trial_learned_nothing(what: str, results: SweepResults, trial: TrialResult) -> str:
    """Return that sentence for a complete trial of a sweep.

    The margin is that of ties, as wide as if predicting the mean had seeds too: the best of many was chosen for its
    loss, and is flattered by that.
    """
    margin = ties_of(results, trial).margin
    return nothing_learned(what, loss_of(trial), results.label_variance, margin, metric=results.metric)


def best_learned_nothing(results: SweepResults) -> str:
    """Return that sentence for a sweep; nothing where its best trial learned something, or none is complete."""
    best = results.ranked()[:1]
    return trial_learned_nothing("the best combination", results, best[0]) if best else ""


def alike_text(results: SweepResults) -> tuple[str, ...]:
    """Return a sentence for every reason why trials are trained as another is, with their numbers."""
    reasons: dict[str, list[str]] = {}
    for trial in results.trials:
        if trial.same_as is not None:
            reasons.setdefault(trial.same_why, []).append(f"{trial.number} = {trial.same_as}")
    return tuple(f"the same network, as {why}: trials {', '.join(pairs)}" for why, pairs in reasons.items())


def typical_spread(trials: Iterable[TrialResult]) -> float:
    """Estimate the standard deviation over the seeds, common to all trials; NaN with one seed."""
    return spread_over_seeds(losses(trial) for trial in trials)


def spread_over_seeds(values: Iterable[Sequence[float]]) -> float:
    """Estimate the standard deviation over the seeds, common to all trials, from the values of each; NaN with one seed.

    From the median of the trials' variances, so that a few trials that died in one seed do not count.
    A variance of d degrees of freedom has its median at about (1 - 2 / 9d)^3 of the true one
    (Wilson & Hilferty 1931, PNAS 17, 684).
    """
    several = [one for one in values if len(one) > 1]
    if not several:
        return math.nan
    freedom = statistics.fmean(len(one) - 1 for one in several)
    bias = (1 - 2 / (9 * freedom)) ** 3
    return math.sqrt(statistics.median(statistics.variance(one) for one in several) / bias)


def margin_of(trial: TrialResult, noise: float, over_seeds: Aggregate) -> float:
    """Return how close another trial must be not to be told from this one; NaN with one seed.

    Two objectives over n seeds differ by chance with a standard error of `sqrt(2)` times that of one, `noise` being
    the standard deviation over the seeds; the margin is twice that, about 95 % confidence for a single comparison.
    """
    return margin_between(noise, over_seeds, len(losses(trial)))


def margin_between(noise: float, over_seeds: Aggregate, seeds: int) -> float:
    """Return the same for any two trials of so many seeds."""
    return 2 * math.sqrt(2) * noise * standard_error(over_seeds, seeds)


def indistinguishable(ranked: Iterable[TrialResult], trial: TrialResult, margin: float) -> tuple[TrialResult, ...]:
    """Return the other complete trials that lie within the margin of this one, in their order."""
    others = (other for other in ranked if other.number != trial.number)
    return tuple(other for other in others if abs(loss_of(other) - loss_of(trial)) < margin)


@functools.cache
def standard_error(over_seeds: Aggregate, seeds: int) -> float:
    """Return the standard deviation of a mean, median, minimum or maximum over so many seeds.

    In units of the standard deviation over the seeds, for normal noise; from the distribution of order statistics
    (David & Nagaraja 2003, Order Statistics, sections 2.1 and 2.2).
    """
    if over_seeds == "mean" or seeds == 1:
        return 1 / math.sqrt(seeds)
    if over_seeds == "median" and seeds % 2 == 0 and seeds <= _MOST_EVEN:
        return math.sqrt(_variance_of_even_median(seeds))
    if over_seeds == "median":
        return math.sqrt(_variance(seeds // 2 + 1, seeds // 2 * 2 + 1))
    return math.sqrt(_variance(1, seeds))  # the largest varies as the smallest does


def _variance(rank: int, number: int) -> float:
    """Return the variance of the value of one rank among so many from the unit normal distribution."""
    normal = statistics.NormalDist()
    weight = _ways(number, rank - 1, number - rank)
    points = [i * _STEP for i in range(-round(_FARTHEST / _STEP), round(_FARTHEST / _STEP) + 1)]
    density = [weight * normal.cdf(x) ** (rank - 1) * normal.cdf(-x) ** (number - rank) * normal.pdf(x) for x in points]
    # The trapezium rule converges faster than any power of the step for what vanishes at both ends.
    mean = _STEP * sum(p * x for p, x in zip(density, points, strict=True))
    return _STEP * sum(p * (x - mean) ** 2 for p, x in zip(density, points, strict=True))


def _variance_of_even_median(number: int) -> float:
    """Return the variance of the mean m of the two middle ones, m - h and m + h, integrated over m and h > 0."""
    normal, half, steps = statistics.NormalDist(), number // 2 - 1, round(_FARTHEST / _STEP)
    below = {i: normal.cdf(i * _STEP) ** half * normal.pdf(i * _STEP) for i in range(-2 * steps, 2 * steps + 1)}
    weight = 2 * _ways(number, half, half)
    total = 0.0
    for m in range(-steps, steps + 1):
        # Simpson's rule, as this does not vanish at h = 0; what lies above m + h mirrors what lies below -(m + h).
        inner = below[m] * below[-m] + sum((4 if h % 2 else 2) * below[m - h] * below[-m - h] for h in range(1, steps))
        total += (m * _STEP) ** 2 * inner * _STEP / 3
    return weight * total * _STEP


def _ways(number: int, below: int, above: int) -> float:
    """Return in how many ways so many values fall below and above, and the rest in the middle one by one."""
    return math.exp(math.lgamma(number + 1) - math.lgamma(below + 1) - math.lgamma(above + 1))
