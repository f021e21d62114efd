"""Which way to Optuna's trials is taken, and that both lead to the same."""

import logging
import sys

import optuna
import pytest
from optuna.storages import InMemoryStorage
from optuna.storages._rdb import models
from small_study import small_plan
from stored_trials import url_of

from clustersweep.storage import tables
from clustersweep.storage.access import KNOWN_SERIES, access_to, unknown_tables
from clustersweep.storage.public import PublicAccess
from clustersweep.storage.store import Storage
from clustersweep.study.results import CompleteReplicate
from clustersweep.tasks import tasks


def test_the_tables_of_the_optuna_in_the_lock_file_are_known():
    assert optuna.__version__.startswith(f"{KNOWN_SERIES}.")
    assert unknown_tables() == ""


@pytest.mark.parametrize("installed", ["5.1.0", "6.0.0", "5.10.0"])
def test_the_tables_of_another_version_of_optuna_are_not_touched(installed, monkeypatch):
    monkeypatch.setattr(optuna, "__version__", installed)
    assert unknown_tables() == f"clustersweep knows the tables of Optuna 5.0, and {installed} is installed"


def test_tables_with_other_columns_are_not_touched(monkeypatch):
    known = {**tables.COLUMNS, "trials": {"trial_id"}, "more": {"id"}}
    monkeypatch.setattr(tables, "COLUMNS", known)
    assert unknown_tables() == (
        f"the installed Optuna {optuna.__version__} has other tables than 5.0: no more, trials has datetime_complete, "
        "datetime_start, number, state, study_id, trial_id"
    )


def test_tables_that_are_gone_are_not_touched(monkeypatch):
    monkeypatch.delitem(sys.modules, "clustersweep.storage.tables")
    monkeypatch.delattr(models, "TrialParamModel")
    assert "are not where they are in 5.0 (module 'optuna.storages._rdb.models' has no" in unknown_tables()


def test_storage_in_memory_is_reached_by_the_public_interface_and_nobody_is_warned(caplog, monkeypatch):
    monkeypatch.setattr(optuna, "__version__", "5.1.1")
    assert isinstance(access_to(InMemoryStorage()), PublicAccess)
    assert caplog.records == []


@pytest.mark.integration
def test_a_process_is_warned_once_that_an_unknown_optuna_makes_it_slower(
    postgres_tcp, database_name, monkeypatch, caplog
):
    url = url_of(postgres_tcp, database_name)
    Storage.connect(url).close()
    assert caplog.records == []
    monkeypatch.setattr(optuna, "__version__", "5.1.2")
    for _ in range(3):
        Storage.connect(url).close()
    (told,) = caplog.records
    assert told.levelno == logging.WARNING
    assert told.getMessage() == (
        "clustersweep knows the tables of Optuna 5.0, and 5.1.2 is installed: results are kept through its public "
        "interface, which is slower (some 0.1 s for every trial) and stores the same. Install optuna 5.0.* for the "
        "faster way"
    )


@pytest.mark.integration
def test_what_was_stored_in_one_way_is_gone_on_with_in_the_other(postgres_tcp, database_name, tmp_path, monkeypatch):
    url, plan = url_of(postgres_tcp, database_name), small_plan(tmp_path)
    curve = ((0.3, 0.2), (0.2, 0.1))
    for way, number in (("tables", 0), ("interface", 1), ("tables", 2)):
        with monkeypatch.context() as patched:
            if way == "interface":
                patched.setattr(optuna, "__version__", "5.99.0")
            storage = Storage.connect(url, tasks)
        opened = storage.begin(plan)
        assert len(opened) == 3 - number
        storage.start(opened[0])
        storage.record_replicate(opened[0], CompleteReplicate(0, 0.1, 2, 2, 1.0, "w", curve))
        last = CompleteReplicate(1, 0.3, 2, 2, 1.0, "w", curve)
        storage.finish(opened[0], 0.2, curve={1: 0.2, 2: 0.1}, last=last)
        storage.close()
    monkeypatch.setattr(optuna, "__version__", "5.99.0")
    by_interface = Storage.connect(url, tasks)
    monkeypatch.undo()
    by_tables = Storage.connect(url, tasks)
    assert by_tables.results("small") == by_interface.results("small")
    done = [trial for trial in by_tables.results("small").trials if trial.value is not None]
    assert [sorted(trial.replicates) for trial in done] == [[0, 1]] * 3
    found = [by_tables.backend.get_trial(trial.number + 1) for trial in done]
    assert {str((t.intermediate_values, sorted(t.system_attrs), sorted(t.user_attrs))) for t in found} == {
        "({1: 0.2, 2: 0.1}, ['curve:0', 'curve:1'], ['flops_per_image', 'parameters', 'seed:0', 'seed:1'])"
    }
    assert by_tables.begin(plan) == []
    for storage in (by_tables, by_interface):
        storage.close()
