"""Machines of a Ray cluster, made up."""

from collections.abc import Mapping, Sequence

from clustersweep.workers.connection import Node

ENOUGH = {"CPU": 2.0, "object_store_memory": 1e9}


def nodes_of(resources: Sequence[Mapping[str, float]]) -> list[Node]:
    """Return a node for each: `node-0` at 10.0.0.0, and so on."""
    return [Node(f"node-{number}", f"10.0.0.{number}", has) for number, has in enumerate(resources)]
