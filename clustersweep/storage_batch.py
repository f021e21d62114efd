"""Several values of one trial in one transaction, which Optuna's interface writes one by one.

The tables are Optuna's own; what is written here is what its methods would write, and a test compares the two.
"""

import json
from collections.abc import Mapping
from typing import Any

import optuna
import sqlalchemy
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._rdb import models
from sqlalchemy.dialects.postgresql import insert

_VALUE, _ATTRIBUTE = models.TrialIntermediateValueModel, models.TrialUserAttributeModel


def write_values(
    backend: BaseStorage, trial_id: int, *, curve: Mapping[int, float], attributes: Mapping[str, Any]
) -> None:
    """Write intermediate values (by step) and user attributes of a trial that is not finished; all or none.

    Raises:
        optuna.exceptions.UpdateFinishedTrialError: It is finished, and finished trials cannot be changed.
        KeyError: There is no such trial any more.
    """
    if not isinstance(backend, RDBStorage) or backend.engine.name != "postgresql":
        for step, value in curve.items():
            backend.set_trial_intermediate_value(trial_id, step, value)
        for name, content in attributes.items():
            backend.set_trial_user_attr(trial_id, name, content)
        return
    with backend.engine.begin() as connection:
        trials = models.TrialModel.__table__
        state = connection.execute(
            sqlalchemy.select(trials.c.state).where(trials.c.trial_id == trial_id).with_for_update()
        ).scalar_one_or_none()
        if state is None:
            raise KeyError(f"no trial {trial_id} exists")  # as Optuna's own methods do
        if state.is_finished():
            raise optuna.exceptions.UpdateFinishedTrialError(f"trial {trial_id} is finished")
        if curve:
            connection.execute(_upsert(_VALUE, "step"), [_stored(trial_id, *item) for item in curve.items()])
        if attributes:
            rows = [
                {"trial_id": trial_id, "key": name, "value_json": json.dumps(content)}
                for name, content in attributes.items()
            ]
            connection.execute(_upsert(_ATTRIBUTE, "key"), rows)


def _upsert(model: Any, key: str) -> Any:
    """Insert rows, and replace those that are there already."""
    table = model.__table__
    statement = insert(table)
    changed = [c.name for c in table.columns if c.name not in ("trial_id", key) and not c.primary_key]
    return statement.on_conflict_do_update(
        index_elements=["trial_id", key], set_={name: statement.excluded[name] for name in changed}
    )


def _stored(trial_id: int, step: int, value: float) -> dict[str, Any]:
    stored, kind = _VALUE.intermediate_value_to_stored_repr(value)
    return {"trial_id": trial_id, "step": step, "intermediate_value": stored, "intermediate_value_type": kind}
