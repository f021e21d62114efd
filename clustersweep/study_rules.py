"""What must hold between the keys of a study file, whatever their types. Reads plain values, not files."""

import math
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from clustersweep.network import NetworkSpec
from clustersweep.study_keys import AXES
from clustersweep.survey.spec import SplitSpec
from clustersweep.yaml_lines import Fault, Json, Key

MAX_COMBINATIONS = 100_000


def contradictions(study: Json) -> Iterator[Fault]:
    """Find the faults that no single key shows; what has the wrong type is told elsewhere."""
    if not isinstance(study, dict):
        return
    yield from _data(_section(study, "data"), _section(study, "split"))
    yield from _search_space(_section(study, "search_space"), study)
    yield from _dense_layers(_section(study, "search_space"), _section(study, "network"))
    yield from _repeated(("seeds",), study.get("seeds"))
    gpus: Any = _section(study, "resources").get("gpus_per_worker")
    if _is_number(gpus) and gpus > 1 and gpus != int(gpus):
        rule = "must be a whole number when it is more than 1: a share of a GPU is of one GPU"
        yield Fault(("resources", "gpus_per_worker"), rule, f"Write {math.ceil(gpus)}.")


def _data(data: dict[str, Any], split: dict[str, Any]) -> Iterator[Fault]:
    given = {key for key, value in data.items() if value is not None}
    if len(given & {"simulate", "images"}) != 1:
        which = "both are given" if "images" in given else "neither is given"
        remedy = "Remove one of them." if "images" in given else "Add `simulate: {clusters: 1600}` or `images:`."
        yield Fault(("data",), f"must have exactly one of `simulate` and `images`; {which}", remedy, silent=True)
    elif "simulate" in given:
        for key in sorted(given & {"catalogue", "mass", "redshift", "identifier"}):
            yield Fault(("data", key), "belongs to `images`, and the data are simulated", "Remove it.")
        yield from _empty_part(_section(data, "simulate").get("clusters"), split)
    elif "catalogue" not in given and PurePath(str(data["images"])).suffix.lower() != ".npz":
        rule = "is missing: only npz files hold the masses and redshifts beside the images"
        yield Fault(("data", "catalogue"), rule, "Add `catalogue:` with the catalogue's file.")


def _empty_part(clusters: Any, split: dict[str, Any]) -> Iterator[Fault]:
    """Split as scikit-learn does, which rounds the parts that are taken up."""
    test, validation = (split.get(key, getattr(SplitSpec(), key)) for key in ("test", "validation"))
    if not all(_is_number(share) and 0 < share < 1 for share in (test, validation)) or not _is_number(clusters):
        return
    rest = clusters - math.ceil(test * clusters)
    if rest - math.ceil(validation * rest) < 1:
        rule = f"must leave clusters to train with; test {test} and validation {validation} leave none"
        yield Fault(("data", "simulate", "clusters"), rule, "Use more clusters, or smaller shares in `split`.")


def _search_space(axes: dict[str, Any], study: dict[str, Json]) -> Iterator[Fault]:
    key: Key = ("search_space",)
    if study.get("search_space") == {}:
        yield Fault(key, "must have at least one axis", "Add one, for instance `filters: [10, 20, 30]`.", silent=True)
    for axis, values in axes.items():
        yield from _repeated((*key, axis), values)
        if axis in AXES and axis in _section(study, section := AXES[axis].section):
            yield Fault((section, axis), "is also an axis of `search_space`", "Remove it here, or remove the axis.")
    combinations = math.prod(len(values) for values in axes.values() if isinstance(values, list))
    if combinations > MAX_COMBINATIONS:
        rule = f"must give at most {MAX_COMBINATIONS:,} combinations; it gives {combinations:,}"
        yield Fault(key, rule, "Use fewer axes or fewer values.", silent=True)


def _repeated(key: Key, values: Any) -> Iterator[Fault]:
    seen: set[Any] = set()
    for index, value in enumerate(values if isinstance(values, list) else []):
        if isinstance(value, str | int | float):
            if value in seen:
                yield Fault((*key, index), "is given twice", "Remove one of the two.")
            seen.add(value)


def _dense_layers(axes: dict[str, Any], network: dict[str, Any]) -> Iterator[Fault]:
    units = network.get("dense_units", NetworkSpec().dense_units)
    if not isinstance(units, list | tuple):
        return
    rule = f"must be at most {len(units)}, the number of `network.dense_units`"
    remedy = f"Write {len(units)} or less, or add units to `network.dense_units`."
    axis = axes.get("dense_layers")
    if isinstance(axis, list):
        wanted: dict[Key, Any] = {("search_space", "dense_layers", i): value for i, value in enumerate(axis)}
    else:
        wanted = {("network", "dense_layers"): network.get("dense_layers", NetworkSpec().dense_layers)}
    for key, layers in wanted.items():
        if _is_number(layers) and layers > len(units):
            yield Fault(key, rule, remedy)


def _section(value: Any, key: str) -> dict[str, Any]:
    inside = value.get(key) if isinstance(value, dict) else None
    return inside if isinstance(inside, dict) else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
