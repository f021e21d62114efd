"""What was asked for and what came of it: study files, plans, events and results, as plain values.

`task` is the seam to what is trained. Not here: functions that their module is named after (`definition.definition`,
`reconcile.reconcile`), and `cost`, which needs numpy.
"""

from clustersweep.study.events import Checkpoint, Device, EpochEnd, Event, Failed, Finished, Stopped
from clustersweep.study.keys import Axis, Params, Scalar
from clustersweep.study.plan import Left, Plan, make_plan, require_feasible
from clustersweep.study.reconcile import OpenWork, Reconciled
from clustersweep.study.results import (
    CompleteReplicate,
    FailedReplicate,
    LaunchTime,
    Replicate,
    ReplicateResult,
    ReplicateState,
    SweepResults,
    Trial,
    TrialResult,
    TrialState,
)
from clustersweep.study.study import ObjectiveSpec, Study, read_study
from clustersweep.study.task import Candidate, Infeasible, Task, Tasks, Trainer, Trainers
from clustersweep.study.watcher import Watcher

__all__ = [
    "Axis",
    "Candidate",
    "Checkpoint",
    "CompleteReplicate",
    "Device",
    "EpochEnd",
    "Event",
    "Failed",
    "FailedReplicate",
    "Finished",
    "Infeasible",
    "LaunchTime",
    "Left",
    "ObjectiveSpec",
    "OpenWork",
    "Params",
    "Plan",
    "Reconciled",
    "Replicate",
    "ReplicateResult",
    "ReplicateState",
    "Scalar",
    "Stopped",
    "Study",
    "SweepResults",
    "Task",
    "Tasks",
    "Trainer",
    "Trainers",
    "Trial",
    "TrialResult",
    "TrialState",
    "Watcher",
    "make_plan",
    "read_study",
    "require_feasible",
]
