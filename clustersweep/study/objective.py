"""What a trial is judged by: the metric of a task, and how the values of a trial's seeds become one. Pure values."""

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

Aggregate = Literal["mean", "median", "min", "max"]
Direction = Literal["minimize", "maximize"]


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
