"""The report of a trained model: evaluation, calibration and stages."""
