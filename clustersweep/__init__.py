"""Hyperparameter sweeps for small networks that weigh galaxy clusters, with the evidence kept."""

__version__ = "0.1.0"
