"""Which task a study has: the only place that knows all of them. The engine is handed the choice as a function."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clustersweep.study.study import Study
    from clustersweep.study.task import Task


def tasks(content: Mapping[str, Any]) -> "type[Task]":
    """Return the task of a study, by the content of its file or of its stored definition."""
    # What a study does not train is not imported.
    if "task" in content:
        from clustersweep.own.task import OwnTask

        return OwnTask
    from clustersweep.masses.task import ClusterMasses

    return ClusterMasses


def load_study(path: Path) -> "Study":
    """Read a study file. Relative paths in it start from its own folder.

    Raises:
        StudyError: With every problem of the file.
    """
    from clustersweep.study.study import read_study

    return read_study(path, tasks)
