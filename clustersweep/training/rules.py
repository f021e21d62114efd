"""What must hold between keys that studies and training configurations share. Reads plain values, not files."""

import math
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from clustersweep.settings.document import Fault, Key
from clustersweep.settings.rules import is_number, section
from clustersweep.survey.spec import SplitSpec
from clustersweep.training.network import NetworkSpec


def data_source(data: dict[str, Any], split: dict[str, Any]) -> Iterator[Fault]:
    """Find what is wrong with the source of the clusters, and with parts of it that would be empty."""
    given = {key for key, value in data.items() if value is not None}
    if len(given & {"simulate", "images"}) != 1:
        which = "both are given" if "images" in given else "neither is given"
        remedy = "Remove one of them." if "images" in given else "Add `simulate: {clusters: 1600}` or `images:`."
        yield Fault(("data",), f"must have exactly one of `simulate` and `images`; {which}", remedy, silent=True)
    elif "simulate" in given:
        for key in sorted(given & {"catalogue", "mass", "redshift", "identifier", "mass_unit"}):
            yield Fault(("data", key), "belongs to `images`, and the data are simulated", "Remove it.")
        yield from _empty_part(section(data, "simulate").get("clusters"), split)
    elif "catalogue" not in given and PurePath(str(data["images"])).suffix.lower() not in (".npz", ""):
        rule = "is missing: only npz files hold the masses and redshifts beside the images"
        yield Fault(("data", "catalogue"), rule, "Add `catalogue:` with the catalogue's file.")


def _empty_part(clusters: Any, split: dict[str, Any]) -> Iterator[Fault]:
    """Split as scikit-learn does, which rounds the parts that are taken up."""
    test, validation = (split.get(key, getattr(SplitSpec(), key)) for key in ("test", "validation"))
    if not all(is_number(share) and 0 < share < 1 for share in (test, validation)) or not is_number(clusters):
        return
    rest = clusters - math.ceil(test * clusters)
    if rest - math.ceil(validation * rest) < 1:
        rule = f"must leave clusters to train with; test {test} and validation {validation} leave none"
        yield Fault(("data", "simulate", "clusters"), rule, "Use more clusters, or smaller shares in `split`.")


def dense_layers(axis: Any, network: dict[str, Any]) -> Iterator[Fault]:
    """Find numbers of dense layers for which there are no units: those of an axis, else that of `network`."""
    units = network.get("dense_units", NetworkSpec().dense_units)
    if not isinstance(units, list | tuple):
        return
    rule = f"must be at most {len(units)}, the number of `network.dense_units`"
    remedy = f"Write {len(units)} or less, or add units to `network.dense_units`."
    if isinstance(axis, list):
        wanted: dict[Key, Any] = {("search_space", "dense_layers", i): value for i, value in enumerate(axis)}
    else:
        wanted = {("network", "dense_layers"): network.get("dense_layers", NetworkSpec().dense_layers)}
    for key, layers in wanted.items():
        if is_number(layers) and layers > len(units):
            yield Fault(key, rule, remedy)
