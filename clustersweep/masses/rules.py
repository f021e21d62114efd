"""What must hold between the keys of a study of galaxy clusters, whatever their types. Reads no files."""

from collections.abc import Iterator, Mapping
from typing import Any

from clustersweep.settings.document import Fault
from clustersweep.settings.rules import section
from clustersweep.training.rules import data_source, dense_layers


def cross_checks(study: Mapping[str, Any]) -> Iterator[Fault]:
    """Find the faults that no single key shows; what has the wrong type is told elsewhere."""
    yield from data_source(section(study, "data"), section(study, "split"))
    yield from dense_layers(section(study, "search_space").get("dense_layers"), section(study, "network"))
