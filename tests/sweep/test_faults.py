"""What a sweep survives, on real servers and processes."""

import threading

import pytest
from arithmetic_task import tasks
from arithmetic_workers import ArithmeticWorkers, arithmetic_plan, losses, undisturbed

from clustersweep.postgres.location import StudyLock
from clustersweep.storage.store import Storage
from clustersweep.sweep.events import EpochDone, StorageAway, StorageBack
from clustersweep.sweep.loop import Sweep
from clustersweep.sweep.run_folder import RunFolder

pytestmark = pytest.mark.integration


def test_a_sweep_waits_while_postgresql_is_restarted_says_so_and_loses_nothing(postgres_tcp, database_name, tmp_path):
    plan, url = arithmetic_plan(tmp_path), postgres_tcp.url_with(database=database_name)
    storage, lock = Storage.connect(url.replace("postgresql:", "postgresql+psycopg2:", 1), tasks), None
    told = []

    def on_event(event):
        told.append(event)
        if sum(isinstance(one, EpochDone) for one in told) == 7 and isinstance(event, EpochDone):
            postgres_tcp.stop()
            threading.Timer(3.0, postgres_tcp.start).start()

    lock = StudyLock.acquire(url, "small")
    open_trials = storage.begin(plan)
    workers = ArithmeticWorkers(2)
    sweep = Sweep(
        plan, open_trials, storage, workers, RunFolder(tmp_path / "run"), on_event=on_event, check_lock=lock.check
    )
    outcome = sweep.run()
    lock.check()
    assert (outcome.finished, outcome.failed) == (3, 0)
    assert losses(storage) == undisturbed(plan, tmp_path)
    assert storage.results("small").count("complete") == 3
    assert len(workers.log) == plan.replicates  # none was trained twice
    away = next(event for event in told if isinstance(event, StorageAway))
    assert "the database does not answer as it should" in away.reason
    assert postgres_tcp.password not in away.reason
    assert next(event for event in told if isinstance(event, StorageBack)).seconds > 2
    lock.release()
    storage.close()


def test_a_result_that_was_committed_as_the_connection_was_lost_is_not_an_error(postgres_tcp, database_name, tmp_path):
    plan, url = arithmetic_plan(tmp_path), postgres_tcp.url_with(database=database_name)
    storage = Storage.connect(url.replace("postgresql:", "postgresql+psycopg2:", 1), tasks)
    opened = storage.begin(plan)[0]
    storage.start(opened)
    for _ in range(2):
        storage.finish(opened, 0.25, curve={1: 0.5})
    assert storage.backend.get_trial(opened.trial_id).value == 0.25
    storage.close()
