"""Optuna's tables, many rows at a time, where Optuna's interface goes trial by trial and value by value.

What is written here is what its methods would write, and what is read is what they would read: tests compare the two.
On any storage but PostgreSQL those methods are used.
"""

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeGuard

import optuna
import sqlalchemy
from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Table
from sqlalchemy.dialects.postgresql import insert

_TRIALS: Table = models.TrialModel.__table__
_PARAMS: Table = models.TrialParamModel.__table__
_VALUES: Table = models.TrialValueModel.__table__
_CURVES: Table = models.TrialIntermediateValueModel.__table__
_USER_ATTRIBUTES: Table = models.TrialUserAttributeModel.__table__
_SYSTEM_ATTRIBUTES: Table = models.TrialSystemAttributeModel.__table__
_STUDIES: Table = models.StudyModel.__table__
_STUDY_SYSTEM_ATTRIBUTES: Table = models.StudySystemAttributeModel.__table__


def add_trials(backend: BaseStorage, study_id: int, trials: Sequence[FrozenTrial]) -> list[tuple[int, int]]:
    """Add trials to a study, waiting or finished, without intermediate values; all or none.

    Returns:
        Identity and number of each, in their order.

    Raises:
        KeyError: There is no such study any more.
    """
    if not _is_postgresql(backend):
        identities = [backend.create_new_trial(study_id, trial) for trial in trials]
        return [(trial_id, backend.get_trial(trial_id).number) for trial_id in identities]
    if not trials:
        return []
    with backend.engine.begin() as connection:
        # As Optuna does: numbers are counted, and two that count at the same time would give the same.
        locked = sqlalchemy.select(_STUDIES.c.study_id).where(_STUDIES.c.study_id == study_id).with_for_update()
        if connection.execute(locked).scalar_one_or_none() is None:
            raise KeyError(f"no study {study_id} exists")
        counted = sqlalchemy.select(sqlalchemy.func.count()).where(_TRIALS.c.study_id == study_id)
        first = connection.execute(counted).scalar_one()
        rows = [
            {
                "number": number,
                "study_id": study_id,
                "state": trial.state,
                "datetime_start": _utc(trial.datetime_start),
                "datetime_complete": _utc(trial.datetime_complete),
            }
            for number, trial in enumerate(trials, first)
        ]
        new = sqlalchemy.insert(_TRIALS).returning(_TRIALS.c.trial_id, sort_by_parameter_order=True)
        identities = list(connection.execute(new, rows).scalars())
        pairs = list(zip(identities, trials, strict=True))
        _insert(connection, _PARAMS, (row for trial_id, trial in pairs for row in _params(trial_id, trial)))
        _insert(connection, _VALUES, (_value(i, trial.value) for i, trial in pairs if trial.value is not None))
        for table, kind in ((_USER_ATTRIBUTES, "user_attrs"), (_SYSTEM_ATTRIBUTES, "system_attrs")):
            _insert(connection, table, (row for i, trial in pairs for row in _attributes(i, getattr(trial, kind))))
    return list(zip(identities, range(first, first + len(identities)), strict=True))


def update_trial(
    backend: BaseStorage,
    trial_id: int,
    *,
    curve: Mapping[int, float] | None = None,
    user_attributes: Mapping[str, Any] | None = None,
    system_attributes: Mapping[str, Any] | None = None,
    state: TrialState | None = None,
    value: float | None = None,
) -> None:
    """Change a trial that is not finished; all or nothing.

    Args:
        backend: Where it is.
        trial_id: Which.
        curve: Intermediate values by step.
        user_attributes: Attributes that the dashboard shows.
        system_attributes: Attributes that it does not.
        state: The state it gets in the end. One that is running already stays as it is when it is started.
        value: Its value, where it is complete.

    Raises:
        optuna.exceptions.UpdateFinishedTrialError: It is finished, and finished trials cannot be changed. One that is
            finished just so already is no error.
        KeyError: There is no such trial any more.
    """
    curve, user, system = curve or {}, user_attributes or {}, system_attributes or {}
    if not _is_postgresql(backend):
        for step, loss in curve.items():
            backend.set_trial_intermediate_value(trial_id, step, loss)
        for name, content in user.items():
            backend.set_trial_user_attr(trial_id, name, content)
        for name, content in system.items():
            backend.set_trial_system_attr(trial_id, name, content)
        if state is not None:
            backend.set_trial_state_values(trial_id, state, None if value is None else [value])
        return
    with backend.engine.begin() as connection:
        this = _TRIALS.c.trial_id == trial_id
        before = connection.execute(sqlalchemy.select(_TRIALS.c.state).where(this).with_for_update()).scalar()
        if before is None:
            raise KeyError(f"no trial {trial_id} exists")  # as Optuna's own methods do
        if before.is_finished() and before == state and _stored_value(connection, trial_id) == value:
            return  # a connection that was lost as it committed: the caller could not know that it had
        if before.is_finished():
            raise optuna.exceptions.UpdateFinishedTrialError(f"trial {trial_id} is finished")
        _upsert(connection, _CURVES, "step", (_intermediate(trial_id, *item) for item in curve.items()))
        _upsert(connection, _USER_ATTRIBUTES, "key", _attributes(trial_id, user))
        _upsert(connection, _SYSTEM_ATTRIBUTES, "key", _attributes(trial_id, system))
        if value is not None:
            _upsert(connection, _VALUES, "objective", [_value(trial_id, value)])
        if state is not None and state != before:
            when = "datetime_complete" if state.is_finished() else "datetime_start"
            connection.execute(_TRIALS.update().where(this).values({"state": state, when: _utc(datetime.now())}))


def read_trials(backend: BaseStorage, study_id: int) -> list[FrozenTrial]:
    """Read all trials of a study by number; without intermediate values, most of the rows, which nothing here needs."""
    if not _is_postgresql(backend):
        return backend.get_all_trials(study_id, deepcopy=False)
    found: dict[int, FrozenTrial] = {}
    # One moment for all queries: a launch may add trials between two of them.
    with backend.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        columns = ("number", "state", "datetime_start", "datetime_complete")
        for trial_id, number, state, start, end in connection.execute(_of_study(_TRIALS, study_id, *columns)):
            found[trial_id] = FrozenTrial(
                number=number, state=state, value=None, datetime_start=_local(start), datetime_complete=_local(end),
                params={}, distributions={}, user_attrs={}, system_attrs={}, intermediate_values={}, trial_id=trial_id,
            )  # fmt: skip
        for trial_id, name, value, how in connection.execute(
            _of_study(_PARAMS, study_id, "param_name", "param_value", "distribution_json").order_by(_PARAMS.c.param_id)
        ):
            trial = found[trial_id]
            trial.distributions[name] = _distribution(how)
            trial.params[name] = _distribution(how).to_external_repr(value)
        stored = models.TrialValueModel.stored_repr_to_value
        for trial_id, value, kind in connection.execute(_of_study(_VALUES, study_id, "value", "value_type")):
            found[trial_id].value = stored(value, kind)
        for table, attributes in ((_USER_ATTRIBUTES, "user_attrs"), (_SYSTEM_ATTRIBUTES, "system_attrs")):
            for trial_id, name, content in connection.execute(_of_study(table, study_id, "key", "value_json")):
                getattr(found[trial_id], attributes)[name] = json.loads(content)
    return sorted(found.values(), key=lambda trial: trial.number)


def set_study_system_attributes(backend: BaseStorage, study_id: int, attributes: Mapping[str, Any]) -> None:
    """Set several system attributes of a study."""
    if not _is_postgresql(backend):
        for name, content in attributes.items():
            backend.set_study_system_attr(study_id, name, content)
        return
    rows = [{"study_id": study_id, "key": name, "value_json": json.dumps(text)} for name, text in attributes.items()]
    with backend.engine.begin() as connection:
        _upsert(connection, _STUDY_SYSTEM_ATTRIBUTES, "key", rows, of="study_id")


def remove_study(backend: BaseStorage, study_id: int) -> None:
    """Remove a study with all that belongs to it, or nothing. Optuna reads every row first: 11 s for 1,000 trials.

    Raises:
        KeyError: There is no such study any more.
    """
    if not _is_postgresql(backend):
        backend.delete_study(study_id)
        return
    trials = sqlalchemy.select(_TRIALS.c.trial_id).where(_TRIALS.c.study_id == study_id)
    with backend.engine.begin() as connection:
        locked = sqlalchemy.select(_STUDIES.c.study_id).where(_STUDIES.c.study_id == study_id).with_for_update()
        if connection.execute(locked).scalar_one_or_none() is None:
            raise KeyError(f"no study {study_id} exists")
        for table in reversed(models.BaseModel.metadata.sorted_tables):  # what refers to a row goes before the row
            if "study_id" in table.c:
                connection.execute(table.delete().where(table.c.study_id == study_id))
            elif "trial_id" in table.c:
                connection.execute(table.delete().where(table.c.trial_id.in_(trials)))


def _is_postgresql(backend: BaseStorage) -> TypeGuard[RDBStorage]:
    return isinstance(backend, RDBStorage) and backend.engine.name == "postgresql"


def _of_study(table: Table, study_id: int, *columns: str) -> sqlalchemy.Select[Any]:
    """Select columns of the rows of a table that belong to a study's trials, after the trial's identity."""
    chosen = sqlalchemy.select(table.c.trial_id, *(table.c[name] for name in columns))
    if table is not _TRIALS:
        chosen = chosen.join(_TRIALS, _TRIALS.c.trial_id == table.c.trial_id)
    return chosen.where(_TRIALS.c.study_id == study_id)


def _insert(connection: Connection, table: Table, rows: Iterable[dict[str, Any]]) -> None:
    found = list(rows)
    if found:
        connection.execute(sqlalchemy.insert(table), found)


def _upsert(
    connection: Connection, table: Table, key: str, rows: Iterable[dict[str, Any]], of: str = "trial_id"
) -> None:
    """Insert rows, and replace those that are there already."""
    found = list(rows)
    if not found:
        return
    statement = insert(table)
    changed = [c.name for c in table.columns if c.name not in (of, key) and not c.primary_key]
    replaced = {name: statement.excluded[name] for name in changed}
    connection.execute(statement.on_conflict_do_update(index_elements=[of, key], set_=replaced), found)


def _params(trial_id: int, trial: FrozenTrial) -> Iterable[dict[str, Any]]:
    for name, value in trial.params.items():
        how = trial.distributions[name]
        yield {
            "trial_id": trial_id,
            "param_name": name,
            "param_value": how.to_internal_repr(value),
            "distribution_json": _json(how),
        }


def _attributes(trial_id: int, attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"trial_id": trial_id, "key": k, "value_json": json.dumps(content)} for k, content in attributes.items()]


def _value(trial_id: int, value: float) -> dict[str, Any]:
    stored, kind = models.TrialValueModel.value_to_stored_repr(value)
    return {"trial_id": trial_id, "objective": 0, "value": stored, "value_type": kind}


def _intermediate(trial_id: int, step: int, value: float) -> dict[str, Any]:
    stored, kind = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr(value)
    return {"trial_id": trial_id, "step": step, "intermediate_value": stored, "intermediate_value_type": kind}


def _stored_value(connection: Connection, trial_id: int) -> float | None:
    found = connection.execute(sqlalchemy.select(_VALUES.c.value).where(_VALUES.c.trial_id == trial_id))
    return found.scalar_one_or_none()


def _utc(local: datetime | None) -> datetime | None:
    """Return a local time as the tables have it: UTC without saying so."""
    return None if local is None else local.astimezone(UTC).replace(tzinfo=None)


def _local(stored: datetime | None) -> datetime | None:
    return None if stored is None else stored.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)


@functools.lru_cache(maxsize=256)  # a study has as many as it has axes, and their JSON is in every row
def _distribution(text: str) -> BaseDistribution:
    return json_to_distribution(text)


@functools.lru_cache(maxsize=256)
def _json(distribution: BaseDistribution) -> str:
    return distribution_to_json(distribution)
