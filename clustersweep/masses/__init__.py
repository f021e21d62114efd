"""The first task: masses of galaxy clusters from X-ray images, from the best architecture to a trained model."""

from clustersweep import public_names

__all__, __getattr__ = public_names(
    __name__,
    {
        "export": ("Exported", "read_weights"),
        "task": ("ClusterMasses", "masses_of"),
        "train": ("Trained", "predict_command", "train_model"),
    },
)
