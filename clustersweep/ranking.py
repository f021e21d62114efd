"""Which trials the noise of the seeds cannot tell apart. Pure arithmetic on results."""

import functools
import math
import statistics
from collections.abc import Iterable

from clustersweep.trial import Aggregate, TrialResult, loss_of, losses

_FARTHEST, _STEP = 8.0, 0.05  # of the integrals over the normal distribution, in standard deviations
_MOST_EVEN = 20  # the median of more seeds, where their number is even, varies as that of one more does, within 1 %


def typical_spread(trials: Iterable[TrialResult]) -> float:
    """Estimate the standard deviation over the seeds, common to all trials, dex^2; NaN with one seed.

    From the median of the trials' variances, so that a few networks that died in one seed do not count.
    A variance of d degrees of freedom has its median at about (1 - 2 / 9d)^3 of the true one
    (Wilson & Hilferty 1931, PNAS 17, 684).
    """
    several = [values for trial in trials if len(values := losses(trial)) > 1]
    if not several:
        return math.nan
    freedom = statistics.fmean(len(values) - 1 for values in several)
    bias = (1 - 2 / (9 * freedom)) ** 3
    return math.sqrt(statistics.median(statistics.variance(values) for values in several) / bias)


def margin_of(trial: TrialResult, noise: float, over_seeds: Aggregate) -> float:
    """Return how close another trial must be not to be told from this one, dex^2; NaN with one seed.

    Two objectives over n seeds differ by chance with a standard error of `sqrt(2)` times that of one, `noise` being
    the standard deviation over the seeds; the margin is twice that, about 95 % confidence for a single comparison.
    """
    return 2 * math.sqrt(2) * noise * standard_error(over_seeds, len(losses(trial)))


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
