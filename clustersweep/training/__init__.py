"""The training package: one network, trained on one data set. Knows nothing of Ray, Optuna or the sweep."""
