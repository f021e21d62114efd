"""What must hold between the keys of a study that names a function, and of its axes, which have any names."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from clustersweep.own.source import SourceError, find
from clustersweep.settings.document import UNPRINTABLE, Fault, Key
from clustersweep.settings.rules import is_number, section

MOST_LETTERS = 100


def faults(study: Mapping[str, Any], folder: Path) -> Iterator[Fault]:
    """Find the faults that no single key shows; what has the wrong type is told elsewhere."""
    yield from _code("task", study.get("task"), folder, ("run",))
    yield from _code("feasible", study.get("feasible"), folder, ("params", "settings"))
    axes, settings = section(study, "search_space"), section(study, "settings")
    for axis, values in axes.items():
        yield from _axis(axis, values)
        if axis in settings:
            yield Fault(("settings", axis), "is also an axis of `search_space`", "Remove it here, or remove the axis.")
    metric = section(study, "objective").get("metric")
    if metric in axes:
        rule = "is an axis of `search_space`, and cannot be what it is judged by"
        yield Fault(("objective", "metric"), rule, "Give one of the two another name.")
    rules = study.get("exclude")
    for place, rule_ in enumerate(rules if isinstance(rules, list) else []):
        yield from _exclude(("exclude", place, "when"), section(rule_, "when"), axes)


def _code(key: str, target: Any, folder: Path, arguments: Sequence[str]) -> Iterator[Fault]:
    if isinstance(target, str):
        try:
            find(target, folder, arguments)
        except SourceError as error:
            yield Fault((key,), error.rule, error.remedy)


def _axis(axis: str, values: Any) -> Iterator[Fault]:
    key: Key = ("search_space", axis)
    if axis == "seed":
        yield Fault(key, "is no axis: every combination is trained with each of `seeds`", "Give `seeds: [0, 1, 2]`.")
    elif not axis.strip() or len(axis) > MOST_LETTERS or UNPRINTABLE.search(axis):
        yield Fault(key, f"must be a name of 1 to {MOST_LETTERS} letters", "Give it a shorter name.", silent=True)
    if not isinstance(values, list):
        return
    kinds = set()
    for place, value in enumerate(values):
        if value is None or isinstance(value, list | dict):
            yield Fault((*key, place), "must be a number, a word, or true or false", "Write one of these.")
        else:
            kinds.add("number" if is_number(value) else type(value).__name__)
    if len(kinds) > 1:
        rule = "must have values of one kind: numbers, words, or true and false"
        yield Fault(key, rule, "Write words for all of them, in quotes where they look like something else.")


def _exclude(key: Key, when: Mapping[str, Any], axes: Mapping[str, Any]) -> Iterator[Fault]:
    if not when:
        yield Fault(key, "must name an axis: a rule without any would exclude everything", "Write `axis: value`.")
    for axis, values in when.items():
        if axis not in axes:
            rule = "is no axis of `search_space`"
            yield Fault((*key, axis), rule, f"Name one of {', '.join(map(str, axes))}.", silent=True)
            continue
        known = axes[axis] if isinstance(axes[axis], list) else []
        for value in values if isinstance(values, list) else [values]:
            if not any(isinstance(value, bool) == isinstance(other, bool) and value == other for other in known):
                rule = f"must be a value of the axis {axis}, and {value!r} is none"
                yield Fault((*key, axis), rule, f"Write one of {', '.join(map(str, known))}.")
