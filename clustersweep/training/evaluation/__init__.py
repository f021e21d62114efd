"""What a trained network is worth: its figures of merit, its calibration and their errors."""
