"""How a study is kept: the door to Optuna and SQLAlchemy."""

from clustersweep.storage.store import OpenTrial, Storage, serve_dashboard

__all__ = ["OpenTrial", "Storage", "serve_dashboard"]
