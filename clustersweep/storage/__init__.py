"""How a study is kept: the door to Optuna and SQLAlchemy."""
