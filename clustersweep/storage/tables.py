"""Optuna's tables, many rows at a time, where Optuna's interface goes trial by trial and value by value.

What is written here is what its methods would write, and what is read is what they would read: tests compare the two.
The tables are Optuna's own business: `access` looks whether they are the known ones before it uses them.
"""

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import optuna
import sqlalchemy
from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial
from sqlalchemy import Connection, Table
from sqlalchemy.dialects.postgresql import insert

from clustersweep.storage.records import TrialUpdate

_TRIALS: Table = models.TrialModel.__table__
_PARAMS: Table = models.TrialParamModel.__table__
_VALUES: Table = models.TrialValueModel.__table__
_CURVES: Table = models.TrialIntermediateValueModel.__table__
_USER_ATTRIBUTES: Table = models.TrialUserAttributeModel.__table__
_SYSTEM_ATTRIBUTES: Table = models.TrialSystemAttributeModel.__table__
_STUDIES: Table = models.StudyModel.__table__
_STUDY_SYSTEM_ATTRIBUTES: Table = models.StudySystemAttributeModel.__table__


# Every table of Optuna with its columns, as these methods know them.
COLUMNS: dict[str, set[str]] = {
    "studies": {"study_id", "study_name"},
    "study_directions": {"study_direction_id", "direction", "study_id", "objective"},
    "study_system_attributes": {"study_system_attribute_id", "study_id", "key", "value_json"},
    "study_user_attributes": {"study_user_attribute_id", "study_id", "key", "value_json"},
    "trial_heartbeats": {"trial_heartbeat_id", "trial_id", "heartbeat"},
    "trial_intermediate_values": {
        "trial_intermediate_value_id", "trial_id", "step", "intermediate_value", "intermediate_value_type",
    },
    "trial_params": {"param_id", "trial_id", "param_name", "param_value", "distribution_json"},
    "trial_system_attributes": {"trial_system_attribute_id", "trial_id", "key", "value_json"},
    "trial_user_attributes": {"trial_user_attribute_id", "trial_id", "key", "value_json"},
    "trial_values": {"trial_value_id", "trial_id", "objective", "value", "value_type"},
    "trials": {"trial_id", "number", "study_id", "state", "datetime_start", "datetime_complete"},
    "version_info": {"version_info_id", "schema_version", "library_version"},
}  # fmt: skip


def other_columns() -> str:
    """Return where the installed Optuna's tables differ from those that are known here; nothing where they do not."""
    found = {
        name: {column.name for column in table.columns} for name, table in models.BaseModel.metadata.tables.items()
    }
    differing = (name for name in sorted(COLUMNS.keys() | found.keys()) if COLUMNS.get(name) != found.get(name))
    return ", ".join(
        f"{name} has {', '.join(sorted(found[name]))}" if name in found else f"no {name}" for name in differing
    )


class TableAccess:
    """See `access.Access`. Needs PostgreSQL."""

    def __init__(self, backend: RDBStorage) -> None:
        self._backend = backend

    def add_trials(self, study_id: int, trials: Sequence[FrozenTrial]) -> list[tuple[int, int]]:
        """See `Access`. All or none."""
        if not trials:
            return []
        with self._backend.engine.begin() as connection:
            # As Optuna does: numbers are counted, and two that count at the same time would give the same.
            _lock_study(connection, study_id)
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

    def update_trial(self, trial_id: int, update: TrialUpdate) -> None:
        """See `Access`. All or nothing."""
        with self._backend.engine.begin() as connection:
            this = _TRIALS.c.trial_id == trial_id
            before = connection.execute(sqlalchemy.select(_TRIALS.c.state).where(this).with_for_update()).scalar()
            if before is None:
                raise KeyError(f"no trial {trial_id} exists")  # as Optuna's own methods do
            if before.is_finished() and before == update.state and _stored_value(connection, trial_id) == update.value:
                return  # a connection that was lost as it committed: the caller could not know that it had
            if before.is_finished():
                raise optuna.exceptions.UpdateFinishedTrialError(f"trial {trial_id} is finished")
            _upsert(connection, _CURVES, "step", (_intermediate(trial_id, *item) for item in update.curve.items()))
            _upsert(connection, _USER_ATTRIBUTES, "key", _attributes(trial_id, update.user_attributes))
            _upsert(connection, _SYSTEM_ATTRIBUTES, "key", _attributes(trial_id, update.system_attributes))
            if update.value is not None:
                _upsert(connection, _VALUES, "objective", [_value(trial_id, update.value)])
            if update.state is not None and update.state != before:
                when = "datetime_complete" if update.state.is_finished() else "datetime_start"
                new = {"state": update.state, when: _utc(datetime.now())}
                connection.execute(_TRIALS.update().where(this).values(new))

    def read_trials(self, study_id: int) -> list[FrozenTrial]:
        """See `Access`. Without intermediate values, most of the rows, which nothing here needs."""
        found: dict[int, FrozenTrial] = {}
        # One moment for all queries: a launch may add trials between two of them.
        with self._backend.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
            columns = ("number", "state", "datetime_start", "datetime_complete")
            for trial_id, number, state, start, end in connection.execute(_of_study(_TRIALS, study_id, *columns)):
                found[trial_id] = FrozenTrial(
                    trial_id=trial_id, number=number, state=state, value=None, datetime_start=_local(start),
                    datetime_complete=_local(end), params={}, distributions={}, user_attrs={}, system_attrs={},
                    intermediate_values={},
                )  # fmt: skip
            params = _of_study(_PARAMS, study_id, "param_name", "param_value", "distribution_json")
            for trial_id, name, value, how in connection.execute(params.order_by(_PARAMS.c.param_id)):
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

    def set_study_system_attributes(self, study_id: int, attributes: Mapping[str, Any]) -> None:
        """See `Access`."""
        rows = [
            {"study_id": study_id, "key": k, "value_json": json.dumps(content)} for k, content in attributes.items()
        ]
        with self._backend.engine.begin() as connection:
            _upsert(connection, _STUDY_SYSTEM_ATTRIBUTES, "key", rows, of="study_id")

    def remove_study(self, study_id: int) -> None:
        """See `Access`."""
        trials = sqlalchemy.select(_TRIALS.c.trial_id).where(_TRIALS.c.study_id == study_id)
        with self._backend.engine.begin() as connection:
            _lock_study(connection, study_id)
            for table in reversed(models.BaseModel.metadata.sorted_tables):  # what refers to a row goes before the row
                if "study_id" in table.c:
                    connection.execute(table.delete().where(table.c.study_id == study_id))
                elif "trial_id" in table.c:
                    connection.execute(table.delete().where(table.c.trial_id.in_(trials)))


def _lock_study(connection: Connection, study_id: int) -> None:
    """Let nobody else change a study before the transaction ends.

    Raises:
        KeyError: There is no such study any more; as Optuna's own methods do.
    """
    row = sqlalchemy.select(_STUDIES.c.study_id).where(_STUDIES.c.study_id == study_id).with_for_update()
    if connection.execute(row).scalar_one_or_none() is None:
        raise KeyError(f"no study {study_id} exists")


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
