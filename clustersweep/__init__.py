"""Hyperparameter sweeps that can be believed: what the command line does, in Python.

`import clustersweep as cs`, then a function for every verb, `cs.load_study`, `cs.load_model`, and the events that a
launch tells. docs/python.md shows them.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for editors: a name is imported when it is first asked for
    from clustersweep.api.models import load_model, predict, train
    from clustersweep.api.operations import backup, clean, dashboard, remove, restore, stop
    from clustersweep.api.studies import (
        export,
        launch,
        load_study,
        plan,
        replay,
        results,
        schema,
        studies,
        write_report,
    )
    from clustersweep.api.surveys import convert, show, simulate
    from clustersweep.errors import ClusterSweepError
    from clustersweep.sweep.events import (
        EpochDone,
        ReplicateBegan,
        ReplicateDone,
        RungDecided,
        TrialDone,
        TrialStopped,
        WorkerLost,
    )

__version__ = "0.1.0"


def public_names(folder: str, modules: Mapping[str, Sequence[str]]) -> tuple[list[str], Callable[[str], Any]]:
    """Return a folder's `__all__` and `__getattr__`: a module is imported when one of its names is first asked for.

    A function that has its module's name is no name of the folder, which has the module under it.

    Args:
        folder: The folder's `__name__`.
        modules: Public names by the module that has them.
    """
    where = {name: module for module, names in modules.items() for name in names}

    def named(name: str) -> Any:
        if name not in where:
            raise AttributeError(f"module {folder!r} has no attribute {name!r}")
        return getattr(import_module(f"{folder}.{where[name]}"), name)

    return list(where), named


_public, __getattr__ = public_names(
    __name__,
    {
        "api.models": ("load_model", "predict", "train"),
        "api.operations": ("backup", "clean", "dashboard", "remove", "restore", "stop"),
        "api.studies": (
            "export",
            "launch",
            "load_study",
            "plan",
            "replay",
            "results",
            "schema",
            "studies",
            "write_report",
        ),
        "api.surveys": ("convert", "show", "simulate"),
        "errors": ("ClusterSweepError",),
        "sweep.events": (
            "EpochDone",
            "ReplicateBegan",
            "ReplicateDone",
            "RungDecided",
            "TrialDone",
            "TrialStopped",
            "WorkerLost",
        ),
    },
)
__all__ = [
    "ClusterSweepError", "EpochDone", "ReplicateBegan", "ReplicateDone", "RungDecided", "TrialDone", "TrialStopped",
    "WorkerLost", "backup", "clean", "convert", "dashboard", "export", "launch", "load_model", "load_study", "plan",
    "predict", "remove", "replay", "restore", "results", "schema", "show", "simulate", "stop", "studies", "train",
    "write_report",
]  # fmt: skip


def __dir__() -> list[str]:
    return ["__version__", *_public]
