"""Trials one by one through Optuna's interface: in which order, and what of it may happen twice."""

import optuna
import pytest
from optuna.storages import InMemoryStorage
from small_study import small_plan
from stored_trials import url_of

from clustersweep.storage.public import PublicAccess
from clustersweep.storage.records import TrialUpdate
from clustersweep.storage.store import Storage
from clustersweep.tasks import tasks


@pytest.mark.integration
def test_a_result_that_was_written_as_the_connection_was_lost_is_no_error_in_the_slower_way(
    postgres_tcp, database_name, tmp_path, monkeypatch
):
    monkeypatch.setattr(optuna, "__version__", "5.99.0")
    storage = Storage.connect(url_of(postgres_tcp, database_name), tasks)
    opened = storage.begin(small_plan(tmp_path))[0]
    storage.start(opened)
    for _ in range(2):
        storage.finish(opened, 0.25, curve={1: 0.5})
    assert storage.backend.get_trial(opened.trial_id).value == 0.25
    storage.close()


def test_a_replicate_counts_as_done_only_once_its_curve_is_written(monkeypatch):
    """One by one something is first; what is killed between the two has lost the replicate, and not its curve."""
    backend = InMemoryStorage()
    study = backend.create_new_study([optuna.study.StudyDirection.MINIMIZE], "small")
    trial = backend.create_new_trial(study)
    with pytest.raises(KeyboardInterrupt):
        PublicAccess(Killed(backend)).update_trial(
            trial, TrialUpdate(user_attributes={"seed:0": 1}, system_attributes={"curve:0": 2})
        )
    assert (backend.get_trial(trial).user_attrs, backend.get_trial(trial).system_attrs) == ({}, {"curve:0": 2})


class Killed:
    """A storage during whose second write the process is killed."""

    def __init__(self, backend):
        self._backend, self._writes = backend, 0

    def __getattr__(self, name):
        def write(*given):
            self._writes += 1
            if self._writes == 2:
                raise KeyboardInterrupt
            getattr(self._backend, name)(*given)

        return write
