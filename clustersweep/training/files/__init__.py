"""What training reads and writes: configurations, checkpoints, stages, models and tables of masses."""
