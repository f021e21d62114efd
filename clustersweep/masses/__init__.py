"""The first task: masses of galaxy clusters from X-ray images, from the best architecture to a trained model."""

from clustersweep import public_names

__all__, __getattr__ = public_names(
    __name__,
    {
        "export": ("Exported", "choose", "read_weights"),
        "report": ("write_study_report",),
        "task": ("ClusterMasses", "load_study", "masses_of", "tasks"),
        "train": ("Trained", "predict_command", "train_model"),
    },
)
