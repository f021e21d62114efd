"""What networks that estimate masses are judged by, and what is published of it."""

from clustersweep.study.objective import Metric

PUBLISHED_NAIVE = 0.1471
"""Validation loss of the untuned network in the eFEDS laboratory report, dex^2."""
PUBLISHED_BEST = 0.0533
"""Validation loss there with all improvements, dex^2."""
NOISE_OF_CLUSTERS = "the noise of so few clusters"
"""What makes differences between models and baselines that are judged on the same few clusters."""

VAL_LOSS = Metric(
    name="val_loss",
    unit="dex²",
    words="validation loss",
    noun="loss",
    column="val_loss_dex2",
    value_column="trial_value_dex2",
    square_of="dex",
    constant="predicting the mean mass",
    constant_in_full="predicting the mean mass for every cluster",
    others=("rmse_dex", "r2", "val_nll"),
    comparison=f"For comparison, the laboratory’s report on eFEDS gives {PUBLISHED_NAIVE} dex² for its untuned network "
    f"and {PUBLISHED_BEST} dex² with all its improvements. The variance of log mass differs from one data set to "
    "another, and with it every loss: compare R² where both are known. And the best of many trials is a "
    "little flattered by having been chosen on these very losses; only the test part, which no sweep looks "
    "at, tells how good it is.",
)
"""The mean squared error of log10 M500c on the validation part."""
