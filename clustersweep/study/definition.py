"""What a stored study is known again by: its definition, the digest of that, and the keys of its replicates. Pure."""

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_type_hints

from clustersweep.files import json_digest
from clustersweep.study.keys import Params
from clustersweep.study.task import Task

if TYPE_CHECKING:  # pydantic, by which study files are read: workers, whose tasks write definitions, read none
    from clustersweep.study.study import Study

Definition = dict[str, Any]
FIRST_KEYS = frozenset({"metric", "over_seeds"})
"""Of the objective; see `written`."""


def definition(study: "Study", data_digest: str) -> Definition:
    """Return everything that decides what a study's results mean, defaults filled in, as JSON values.

    Leaves out where the data are, the seeds and the resources. The values of an axis are sorted; a key that
    is an axis is left out of its section, where its value is never used.
    """
    kinds = study.kinds
    axes = {name: sorted({_canonical(v, kinds[name].kind) for v in values}) for name, values in study.axes.items()}
    objective = written(study.objective, FIRST_KEYS)
    return {**study.task.definition(data_digest, axes), "search_space": axes, "objective": objective}


def replicate_key(study: "Study", data_digest: str, params: Params, seed: int) -> str:
    """Return the digest of what decides the numbers of one replicate, and of nothing else.

    It stays when axes, their values or the seeds of the study change around it.
    """
    return json_digest({**study.task.identity(data_digest, params), "seed": seed})


def changes(task: type[Task], old: Definition, new: Definition) -> tuple[str, ...]:
    """List what differs between two definitions: `training.epochs: 6 -> 8`."""
    before, after = _leaves(filled(task, old)), _leaves(filled(task, new))
    keys = [key for key in dict.fromkeys([*before, *after]) if before.get(key) != after.get(key)]
    return tuple(f"{key}: {before.get(key, 'absent')} -> {after.get(key, 'absent')}" for key in keys)


def extends(task: type[Task], old: Definition, new: Definition) -> bool:
    """Say whether a definition keeps all of an older one, having at most more values on the same axes.

    And a version that was raised, where the task has one.
    """
    old, new = filled(task, old), filled(task, new)
    before, after = old["search_space"], new["search_space"]
    raised = new.get("version", 0) >= old.get("version", 0)  # then all is trained anew
    apart = {"search_space": None, "version": None}
    same = {**old, **apart} == {**new, **apart} and before.keys() == after.keys()
    return raised and same and all(set(values) <= set(after[axis]) for axis, values in before.items())


def filled(task: type[Task], definition: Mapping[str, Any]) -> Definition:
    """Return keys that did not exist when a definition was stored the default, which is what they did then."""
    axes = definition["search_space"]
    sections = {
        section: {k: v for k, v in plain(spec).items() if k not in axes} | definition.get(section, {})
        for section, spec in task.defaults().items()
    }
    return {**definition, **sections}


def written(spec: Any, first: frozenset[str]) -> dict[str, Any]:
    """Return a flat spec as definitions hold it: without keys that came later, which `first` lacks, at their default.

    So a key that is added, whose default changes nothing, leaves earlier digests what they were.
    """
    default = plain(type(spec)())
    return {key: value for key, value in plain(spec).items() if key in first or value != default[key]}


def plain(spec: Any) -> dict[str, Any]:
    """Return a flat spec as JSON values, numbers as their field's type has them."""
    kinds: Mapping[str, str] = _kinds(type(spec))  # type: ignore[arg-type]  # mypy takes classes for unhashable
    return {name: _canonical(value, kinds[name]) for name, value in vars(spec).items()}


@functools.cache  # asked for every replicate of a plan, and evaluating type hints takes most of a millisecond
def _kinds(spec: type) -> Mapping[str, str]:
    return {name: "number" if hint is float else "other" for name, hint in get_type_hints(spec).items()}


def _canonical(value: Any, kind: str) -> Any:
    if kind == "number":
        return float(value) + 0.0  # 1 and 1.0 are one number; so are 0.0 and -0.0
    return list(value) if isinstance(value, tuple) else value


def _leaves(definition: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Flatten nested sections to dotted keys, with their values as text."""
    found: dict[str, str] = {}
    for key, value in definition.items():
        if isinstance(value, Mapping):
            found |= _leaves(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return found
