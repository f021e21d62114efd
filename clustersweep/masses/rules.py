"""What must hold between the keys of a study file, whatever their types. Reads plain values, not files."""

import math
from collections.abc import Iterator
from typing import Any

from clustersweep.settings.document import Fault, Json, Key
from clustersweep.study.keys import AXES
from clustersweep.training.rules import data_source, dense_layers, is_number, repeated, section

MAX_COMBINATIONS = 100_000


def contradictions(study: Json) -> Iterator[Fault]:
    """Find the faults that no single key shows; what has the wrong type is told elsewhere."""
    if not isinstance(study, dict):
        return
    yield from data_source(section(study, "data"), section(study, "split"))
    yield from _search_space(section(study, "search_space"), study)
    yield from dense_layers(section(study, "search_space").get("dense_layers"), section(study, "network"))
    yield from repeated(("seeds",), study.get("seeds"))
    gpus: Any = section(study, "resources").get("gpus_per_worker")
    if is_number(gpus) and gpus > 1:
        rule = "must be at most 1: a worker trains on one GPU, and a second would be idle"
        remedy = "Write 1; there are as many workers as the GPUs have room for."
        yield Fault(("resources", "gpus_per_worker"), rule, remedy)


def _search_space(axes: dict[str, Any], study: dict[str, Json]) -> Iterator[Fault]:
    key: Key = ("search_space",)
    if study.get("search_space") == {}:
        yield Fault(key, "must have at least one axis", "Add one, for instance `filters: [10, 20, 30]`.", silent=True)
    for axis, values in axes.items():
        yield from repeated((*key, axis), values)
        if axis in AXES and axis in section(study, home := AXES[axis].section):
            yield Fault((home, axis), "is also an axis of `search_space`", "Remove it here, or remove the axis.")
    combinations = math.prod(len(values) for values in axes.values() if isinstance(values, list))
    if combinations > MAX_COMBINATIONS:
        rule = f"must give at most {MAX_COMBINATIONS:,} combinations; it gives {combinations:,}"
        yield Fault(key, rule, "Use fewer axes or fewer values.", silent=True)
