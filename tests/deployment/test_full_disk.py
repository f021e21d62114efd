"""A disk that fills up in the middle of a sweep: the driver's, and that of the embedded database."""

import contextlib
import os
import re
import shutil
import signal
import sys
import time
from types import SimpleNamespace

import psutil
import pytest
from arithmetic_task import tasks
from arithmetic_workers import ArithmeticWorkers, arithmetic_plan, losses, undisturbed
from children import Children
from long_study import on_one_machine
from places import SUPPORT
from servers import short_folder
from small_disk import small_disk
from small_study import write_study

from clustersweep.errors import StorageAwayError, StorageError
from clustersweep.home import find_home
from clustersweep.postgres.location import open_database, stop_embedded
from clustersweep.postgres.programs import server_user
from clustersweep.storage.store import Storage
from clustersweep.study.events import Checkpoint
from clustersweep.sweep import launch as launch_module
from clustersweep.sweep.events import EpochDone, ReplicateBegan, ReplicateDone
from clustersweep.sweep.loop import Sweep
from clustersweep.sweep.run_folder import RunFolder

# Long enough for a disk to fill up in the middle: a second or two for each replicate.
LONG = {"epochs": 300, "patience": 300, "batch_size": 2}


# --- the loop, on a real disk ---------------------------------------------------------------------------------


class Forgetful(ArithmeticWorkers):
    """Workers that are done before a checkpoint is due."""

    def events(self, timeout_s):
        return [(worker, event) for worker, event in super().events(timeout_s) if not isinstance(event, Checkpoint)]


@pytest.mark.deployment
@pytest.mark.parametrize(("workers", "what"), [(ArithmeticWorkers, "checkpoint"), (Forgetful, "weights")])
def test_what_a_full_disk_does_not_take_is_trained_again_and_nothing_else(tmp_path, workers, what):
    plan, storage, told = arithmetic_plan(tmp_path), Storage.in_memory(tasks), []
    with small_disk(tmp_path / "disk", 1) as disk:
        files = RunFolder(disk.path / "run")

        def on_event(event):
            told.append(event)
            if isinstance(event, EpochDone) and sum(isinstance(one, EpochDone) for one in told) == 10:
                disk.fill()

        says = rf"{files.path}/.*\.npz: the {what} of [0-9,]+ bytes cannot be written: the disk is full\. Free some .*"
        with pytest.raises(StorageError, match=rf"{says}launch again: what is finished is kept"):
            Sweep(plan, storage.begin(plan), storage, workers(2), files, on_event=on_event).run()
        done = [event.replicate.key for event in told if isinstance(event, ReplicateDone)]
        assert 0 < len(done) < plan.replicates
        assert len(losses(storage)) == len(done)
        for trial in plan.trials:  # every loss that is recorded can be exported
            kept = [key for seed in plan.study.seeds if (key := plan.replicate(trial, seed).key) in done]
            assert not kept or any(files.weights(key) for key in kept)
        disk.free()
        hired = workers(2)
        Sweep(plan, storage.begin(plan), storage, hired, files, on_event=told.append).run()
        assert not {replicate.key for _, replicate in hired.log} & set(done)
        assert losses(storage) == undisturbed(plan, tmp_path)
        resumed = any(isinstance(event, ReplicateBegan) and event.epoch for event in told)
        assert resumed == (what == "checkpoint")


def test_a_server_that_cannot_start_again_says_why_and_is_waited_for(monkeypatch):
    def gone():
        raise StorageAwayError("nobody listens")

    def start_again(database, home):
        raise StorageError("the embedded PostgreSQL does not start: the disk is full")

    monkeypatch.setattr(launch_module, "start_again", start_again)
    record = SimpleNamespace(lock=SimpleNamespace(check=gone), database=None)
    with pytest.raises(StorageAwayError, match="does not start: the disk is full"):
        launch_module._check_lock(record, None)


# --- whole launches -------------------------------------------------------------------------------------------


class Launches:
    """Launches of one study in one home, as a person types them; its networks are arithmetic."""

    def __init__(self, home, study, children):
        self.home, self.children = home, children
        self.command = [sys.executable, str(SUPPORT / "arithmetic_task.py"), "launch", str(study), "--workers", "2"]
        self.log = home.path.parent / "log"

    def start(self):
        with self.log.open("w") as log:
            env = os.environ | {"CLUSTERSWEEP_HOME": str(self.home.path)}
            return self.children(self.command, env=env, stdout=log, stderr=log)

    def run(self, code=0):
        self.ends(self.start(), code)
        return self.log.read_text()

    def ends(self, process, code):
        try:
            assert process.wait(150) == code, self.log.read_text()
        finally:
            process.kill()
        assert "Traceback" not in self.log.read_text()

    def says(self, process, text):
        until = time.monotonic() + 100
        while text not in self.log.read_text():
            assert process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, f"waited in vain for: {text}\n{self.log.read_text()}"
            time.sleep(0.02)

    def results(self):
        storage = Storage.connect(open_database(None, {}, self.home).url, tasks)
        try:
            return storage.results("full")
        finally:
            storage.close()


def replicates(results):
    return {(tuple(t.params.items()), seed): r for t in results.trials for seed, r in t.replicates.items()}


def numbers(results):
    return {
        key: (r.state, getattr(r, "value", None), getattr(r, "best_epoch", 0), r.curve)
        for key, r in replicates(results).items()
    }


@contextlib.contextmanager
def new_launches():
    folder = short_folder(server_user() if os.geteuid() == 0 else None)
    home = find_home(folder / "home", {}, os.geteuid())
    try:
        with Children() as children:
            yield Launches(home, write_study(folder, study="full", training=LONG), children)
    finally:
        stop_embedded(home, force=True)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def launches():
    with new_launches() as found:
        yield found


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What the study gives when no disk fills up."""
    folder = tmp_path_factory.mktemp("expected")
    return numbers(on_one_machine(folder, write_study(folder, study="full", training=LONG).read_text()))


@pytest.mark.deployment
@pytest.mark.timeout(300)
def test_a_full_disk_ends_a_launch_with_what_to_do_and_the_next_goes_on_to_the_same_bits(launches, expected):
    run = launches.home.run("full")
    with small_disk(run.parent, 16) as disk:
        process = launches.start()
        launches.says(process, "(1 of 3)")
        disk.fill()
        launches.ends(process, 3)
        says = rf"error: {run}/(weights|checkpoints)/\w+\.npz: the (weights|checkpoint) of [0-9,]+ bytes cannot be "
        assert re.search(rf"{says}written: the disk is full. Free some space .* launch again", launches.log.read_text())
        before = launches.results()
        done = replicates(before)
        assert 0 < len(done) < 6
        assert before.count("failed") == 0
        disk.free()
        said = launches.run()
        assert f"{6 - len(done)} of 6 replicates to train" in said
        after = launches.results()
        assert numbers(after) == expected
        assert {key: found for key, found in replicates(after).items() if key in done} == done  # none again
        report = (run / "report.html").read_bytes()
        disk.fill()
        said = launches.run(3)
        assert re.search(rf"{run}/results.csv: the report's table .*: the disk is full.* Every result is kept", said)
        assert (run / "report.html").read_bytes() == report
        disk.free()
        launches.run()


@pytest.mark.deployment
@pytest.mark.timeout(300)
def test_a_database_whose_disk_is_full_is_waited_for_until_there_is_room(launches, expected):
    with small_disk(launches.home.database, 96) as disk:
        try:
            process = launches.start()
            launches.says(process, "(1 of 3)")
            disk.fill()
            launches.says(process, "the disk of the database is full: could not extend file")
            launches.says(process, "waiting for it, 10 min at most")
            disk.free()
            launches.ends(process, 0)
            assert "the database is back after" in launches.log.read_text()
            assert numbers(launches.results()) == expected
        finally:
            stop_embedded(launches.home, force=True)


@pytest.mark.deployment
@pytest.mark.timeout(300)
def test_a_database_that_died_of_its_full_disk_ends_the_launch_and_the_next_goes_on_to_the_same_bits(
    launches, expected
):
    with small_disk(launches.home.database, 96) as disk:
        try:
            process = launches.start()
            launches.says(process, "(1 of 3)")
            disk.fill()
            launches.says(process, "the disk of the database is full")
            # As it ends itself when its next checkpoint finds no room, minutes later.
            psutil.Process(int((disk.path / "data" / "postmaster.pid").read_text().split()[0])).kill()
            disk.fill()
            time.sleep(3)  # it is tried to be started again
            process.send_signal(signal.SIGINT)
            launches.ends(process, 3)
            error = launches.log.read_text().partition("error: ")[2]
            assert re.search(r"No space left on device|the disk is full", error), error
            disk.free()
            launches.run()
            after = launches.results()
            assert numbers(after) == expected
            assert after.count("running") == 0
        finally:
            stop_embedded(launches.home, force=True)
