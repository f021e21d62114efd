"""How a study is kept: the door to Optuna and SQLAlchemy."""

from clustersweep import public_names

__all__, __getattr__ = public_names(
    __name__, {"store": ("LOCK_TABLES", "OpenTrial", "Overview", "Storage", "serve_dashboard")}
)
