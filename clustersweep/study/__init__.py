"""What was asked for and what came of it: study files, plans, events and results, as plain values.

`task` is the seam to what is trained. Not here: functions that their module is named after (`definition.definition`,
`reconcile.reconcile`, `replay.replay`).
"""

from clustersweep import public_names

__all__, __getattr__ = public_names(
    __name__,
    {
        "cost": ("PARTS", "Speed", "SpeedMeter", "Sums", "fitted", "in_parts"),
        "definition": ("changes", "extends", "filled", "plain", "replicate_key", "written"),
        "events": (
            "Checkpoint",
            "DIVERGED",
            "DamagedCheckpointError",
            "Device",
            "EpochEnd",
            "Event",
            "Failed",
            "Finished",
            "OUT_OF_MEMORY",
            "Stopped",
            "failure_of",
        ),
        "objective": ("Aggregate", "Direction", "Metric", "ObjectiveSpec", "aggregate", "plain_metric"),
        "keys": ("Axis", "Params", "Scalar", "axes_of"),
        "plan": ("Left", "Plan", "make_plan", "require_feasible"),
        "ranking": (
            "alike_text",
            "Ties",
            "best_learned_nothing",
            "choose",
            "learned_nothing",
            "nothing_learned",
            "ties_of",
            "trial_learned_nothing",
        ),
        "reconcile": ("Newest", "OpenWork", "Reconciled", "climb", "curve_of", "left_to_train"),
        "replay": ("Replayed", "longest", "replayable", "rules_for"),
        "results": (
            "CompleteReplicate",
            "FailedReplicate",
            "LaunchTime",
            "PausedReplicate",
            "Replicate",
            "ReplicateResult",
            "ReplicateState",
            "StoppedAt",
            "SweepResults",
            "Trial",
            "TrialResult",
            "TrialState",
            "combination",
            "complete_of",
            "loss_of",
            "losses",
        ),
        "stopping": ("Moves", "Rung", "StopEarly", "auto_rungs", "budgets", "compared_at", "survivors", "value_until"),
        "study": ("NAME", "Study", "read_study", "study_schema"),
        "task": ("Axes", "Candidate", "Code", "Data", "Infeasible", "Task", "Tasks", "Trainer", "Trainers", "same"),
        "watcher": ("Watcher",),
    },
)
