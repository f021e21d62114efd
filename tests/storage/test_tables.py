"""What is written into and read from Optuna's tables at once is what Optuna would have written and read one by one."""

import math

import optuna
import pytest
from optuna.trial import create_trial
from small_study import small_plan
from stored_trials import complete, replicate, url_of

from clustersweep.errors import StorageError
from clustersweep.storage.access import access_to
from clustersweep.storage.records import TrialUpdate
from clustersweep.storage.store import Storage
from clustersweep.tasks import tasks


def test_what_is_written_at_once_is_what_optuna_would_have_written_one_by_one(storage):
    from optuna.study import StudyDirection
    from optuna.trial import TrialState

    backend, access = storage.backend, access_to(storage.backend)
    study = backend.create_new_study([StudyDirection.MINIMIZE], "compared")
    at_once, one_by_one = (backend.create_new_trial(study) for _ in range(2))
    first = ({1: 0.5, 2: math.inf, 3: math.nan}, {"seed:0": {"value": 0.1, "curve": [[1, 2]]}, "text": 'é "quoted"'})
    second = ({2: 0.25, 4: -math.inf}, {"seed:0": None, "more": [1.5, True]})
    for curve, attributes in (first, second, ({}, {}), ({5: 1.0}, {}), ({}, {"last": 1})):
        update = TrialUpdate(curve=curve, user_attributes=attributes, system_attributes=attributes)
        access.update_trial(at_once, update)
        for step, value in curve.items():
            backend.set_trial_intermediate_value(one_by_one, step, value)
        for name, content in attributes.items():
            backend.set_trial_user_attr(one_by_one, name, content)
            backend.set_trial_system_attr(one_by_one, name, content)
    access.update_trial(at_once, TrialUpdate(state=TrialState.COMPLETE, value=0.5))
    backend.set_trial_state_values(one_by_one, TrialState.COMPLETE, [0.5])
    assert_alike(backend.get_trial(at_once), backend.get_trial(one_by_one))
    assert len(backend.get_trial(at_once).intermediate_values) == 5


def assert_alike(ours, optunas):
    for kind in ("state", "values", "params", "distributions", "user_attrs", "system_attrs"):
        assert getattr(ours, kind) == getattr(optunas, kind), kind
    assert str(sorted(ours.intermediate_values.items())) == str(sorted(optunas.intermediate_values.items()))
    for kind in ("datetime_start", "datetime_complete"):
        mine, theirs = getattr(ours, kind), getattr(optunas, kind)
        assert (mine is None) == (theirs is None), kind
        assert mine is None or abs((mine - theirs).total_seconds()) < 60, kind


def test_trials_added_at_once_are_what_optuna_would_have_added_one_by_one(storage):
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
    from optuna.study import StudyDirection
    from optuna.trial import TrialState

    spaces = {"n": IntDistribution(1, 9), "x": FloatDistribution(0, 1), "c": CategoricalDistribution(("a", "b"))}
    given = {"params": {"n": 3, "x": 0.1, "c": "b"}, "distributions": spaces}
    templates = [
        create_trial(state=TrialState.WAITING, user_attrs={"a": [1]}, system_attrs={"s": "é"}, **given),
        create_trial(state=TrialState.PRUNED, **given),
        create_trial(state=TrialState.COMPLETE, value=math.inf, **given),
    ]
    backend, access = storage.backend, access_to(storage.backend)
    ours, optunas = (backend.create_new_study([StudyDirection.MINIMIZE], name) for name in ("ours", "optunas"))
    numbers = [number for _, number in access.add_trials(ours, templates) + access.add_trials(ours, templates[:1])]
    for template in [*templates, templates[0]]:
        backend.create_new_trial(optunas, template)
    assert numbers == [0, 1, 2, 3]
    assert access.add_trials(ours, []) == []
    for one, other in zip(backend.get_all_trials(ours), backend.get_all_trials(optunas), strict=True):
        assert one.number == other.number
        assert_alike(one, other)


def test_trials_are_read_as_optuna_reads_them_but_for_their_intermediate_values(storage, tmp_path):
    for opened in storage.begin(small_plan(tmp_path, search_space={"kernel_size": [3, 5, 7], "optimizer": ["adam"]})):
        complete(storage, opened)
    backend = storage.backend
    study = backend.get_study_id_from_name("small")
    ours, optunas = access_to(backend).read_trials(study), backend.get_all_trials(study)
    assert [trial.number for trial in ours] == [trial.number for trial in optunas]
    for one, other in zip(ours, optunas, strict=True):
        other.intermediate_values = one.intermediate_values
        assert one == other


@pytest.mark.integration
def test_a_trial_is_finished_with_everything_or_not_at_all(postgres_tcp, database_name, tmp_path):
    storage = Storage.connect(url_of(postgres_tcp, database_name), tasks)
    opened = storage.begin(small_plan(tmp_path))[0]
    storage.start(opened)
    storage.record_replicate(opened, replicate(0))
    before = storage.backend.get_trial(opened.trial_id)
    with pytest.raises(StorageError, match="out of range"):
        storage.finish(opened, 0.1, curve={1: 0.5, 2**40: 0.1}, last=replicate(1))
    assert storage.backend.get_trial(opened.trial_id) == before
    storage.finish(opened, 0.1, curve={1: 0.5, 2: 0.1}, last=replicate(1))
    after = storage.backend.get_trial(opened.trial_id)
    assert (after.intermediate_values, after.value, "seed:1" in after.user_attrs) == ({1: 0.5, 2: 0.1}, 0.1, True)
    storage.close()


@pytest.mark.integration
def test_of_a_removed_study_no_row_is_left_in_any_table(connect, tmp_path):
    import sqlalchemy
    from optuna.storages._rdb.models import BaseModel

    storage = connect()
    for opened in storage.begin(small_plan(tmp_path)):
        complete(storage, opened)
    waiting = storage.begin(small_plan(tmp_path, seeds=[0, 1, 2]))[0]
    storage.start(waiting)
    storage.backend.record_heartbeat(waiting.trial_id)
    storage.describe_data("small", 0.1)
    optuna_left = optuna.create_study(storage=storage.backend, study_name="empty")

    def rows():
        with storage.backend.engine.connect() as connection:
            counts = {
                table.name: connection.execute(sqlalchemy.select(sqlalchemy.func.count()).select_from(table)).scalar()
                for table in BaseModel.metadata.sorted_tables
            }
        return {name: count for name, count in counts.items() if count and name != "version_info"}

    assert set(rows()) == {table.name for table in BaseModel.metadata.sorted_tables} - {"version_info"}
    storage.remove("small")
    assert rows() == {"studies": 1, "study_directions": 1}
    assert storage.count_trials(optuna_left.study_name) == 0
    storage.close()
