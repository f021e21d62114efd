"""A trainer of one's own: a task whose training is a function that a study names. Knows no galaxy cluster."""

from clustersweep import public_names

__all__, __getattr__ = public_names(
    __name__,
    {
        "export": ("Exported",),
        "run": ("Run",),
        "source": ("Source",),
        "task": ("OwnTask",),
    },
)
