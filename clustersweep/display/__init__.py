"""What a person sees of plans, sweeps, trainings and results: on a terminal and in a notebook. Decides nothing."""
