"""What a trial is judged by: the metric of a task, and how the values of a trial's seeds become one. Pure values."""

import functools
import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

Aggregate = Literal["mean", "median", "min", "max"]
Direction = Literal["minimize", "maximize"]
_FARTHEST, _STEP = 8.0, 0.05  # of the integrals over the normal distribution, in standard deviations
_MOST_EVEN = 20  # the median of more seeds, where their number is even, varies as that of one more does, within 1 %


@dataclass(frozen=True, kw_only=True)
class ObjectiveSpec:
    """What a trial is judged by: its seeds' lowest validation losses, reduced to one value."""

    metric: Literal["val_loss"] = "val_loss"
    over_seeds: Aggregate = "mean"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """The number that a replicate is judged by, and how it is shown.

    Attributes:
        name: As the study file, the dashboard and the tables have it.
        unit: Of its values, as it is printed (`dex²`); empty where it has none.
        direction: Which values are better.
        words: What figures call it.
        noun: The same in one word.
        column: In tables for programs: the metric's name with its unit in letters.
        value_column: There, a trial's value.
        square_of: The unit of which it is a mean square, so that its root is shown too (`dex`); else empty.
        constant: What does as well without having learned anything, where the task tells what that gives
            (`predicting the mean mass`).
        constant_in_full: The same where it is explained.
        others: Columns of tables for programs that the metric brings with it.
        comparison: What its values can be compared with, in sentences; empty where nothing is published.
    """

    name: str
    unit: str = ""
    direction: Direction = "minimize"
    words: str
    noun: str
    column: str
    value_column: str
    square_of: str = ""
    constant: str = "predicting a constant"
    constant_in_full: str = "predicting a constant"
    others: tuple[str, ...] = ()
    comparison: str = ""

    @property
    def with_unit(self) -> str:
        """The unit after a space; nothing where there is none."""
        return f" {self.unit}" if self.unit else ""

    @property
    def lower_is_better(self) -> bool:
        """Say which way is up."""
        return self.direction == "minimize"

    @property
    def extreme(self) -> str:
        """`lowest` or `highest`: what the best value is."""
        return "lowest" if self.lower_is_better else "highest"

    def order(self, value: float) -> float:
        """Return a number that is lower for a better value."""
        return value if self.lower_is_better else -value

    def better(self, value: float, than: float) -> bool:
        """Say whether one value is better than another."""
        return self.order(value) < self.order(than)

    def titled(self, text: str) -> str:
        """Return text with the unit in brackets, as axes and heads of tables have it."""
        return f"{text} [{self.unit}]" if self.unit else text


def plain_metric(name: str, unit: str = "", direction: Direction = "minimize") -> Metric:
    """Return a metric of which nothing but this is known."""
    return Metric(
        name=name, unit=unit, direction=direction, words=name, noun=name, column=name, value_column="trial_value"
    )


def aggregate(values: Iterable[float], over_seeds: Aggregate) -> float:
    """Reduce the values of a trial's seeds to its objective."""
    how: dict[Aggregate, Callable[[list[float]], float]]
    how = {"mean": statistics.fmean, "median": statistics.median, "min": min, "max": max}
    return how[over_seeds](list(values))


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
