"""The training package: one network, trained on one data set. Knows nothing of Ray, Optuna or the sweep."""

from clustersweep import public_names

__all__, __getattr__ = public_names(
    __name__,
    {
        "data": ("TrainingData", "parts_of"),
        "device": ("choose_device", "configure_device", "device_in_use", "gpu_for_auto"),
        "effective": ("Specs", "why_same"),
        "engine": ("DeviceData", "Trainer", "forget_networks"),
        "ensemble": ("Ensemble",),
        "evaluation.calibration": ("Calibration", "Coverage", "ONE_SIGMA", "recalibration_error"),
        "evaluation.evaluation": ("Bin", "Calibrations", "Evaluation"),
        "evaluation.metrics": ("Estimate", "Metrics"),
        "evaluation.results": ("Floats", "Predictions", "StageName", "StageResult"),
        "files.checkpoint": ("progress_of", "unpack_weights"),
        "files.configuration": (
            "Configuration",
            "Evidence",
            "FailedSeed",
            "MOST_LISTED",
            "Tie",
            "configuration_schema",
            "configuration_yaml",
            "load_configuration",
        ),
        "files.mass_table": ("flag_text",),
        "files.model_folder": ("CONFIGURATION", "read_clusters", "read_model"),
        "files.trained_model": ("TrainedModel",),
        "files.work_folder": ("require_free",),
        "keys": ("SHARED_KEYS",),
        "model": ("load_weights", "save_model"),
        "network": (
            "Layer",
            "NetworkSpec",
            "Shape",
            "flops_per_image",
            "layers",
            "parameters",
            "training_flops_per_image",
        ),
        "predict": ("Summary", "compare"),
        "rules": ("data_source", "dense_layers"),
        "spec": ("OutliersSpec", "ProbabilisticSpec", "TrainingSpec"),
        "stages": ("StageBegan", "StageEnded", "TrainingEvent"),
        "train": ("TrainingRun",),
    },
)
