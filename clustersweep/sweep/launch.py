"""What `launch` does, from a study file to a report: puts the pieces together, and holds no logic of theirs."""

import contextlib
import functools
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from clustersweep.errors import StorageAwayError, StorageError
from clustersweep.home import Home
from clustersweep.postgres.location import Database, StudyLock, start_again
from clustersweep.postgres.url import VARIABLES
from clustersweep.storage.store import OpenTrial, Storage
from clustersweep.study.cost import Speed
from clustersweep.study.plan import Plan, make_plan, require_feasible
from clustersweep.study.results import CompleteReplicate, LaunchTime, SweepResults, Trial, combination
from clustersweep.study.study import Study
from clustersweep.study.task import Data
from clustersweep.study.watcher import Watcher
from clustersweep.sweep.events import SweepEvent
from clustersweep.sweep.loop import Sweep
from clustersweep.sweep.run_folder import RunFolder
from clustersweep.sweep.running import Outcome
from clustersweep.sweep.schedule import estimate_s
from clustersweep.sweep.signals import interrupt_on_signals, stop_on_signals
from clustersweep.sweep.speeds import add_speeds, read_speed
from clustersweep.sweep.turns import Turn, claim_of, folder_of_turns, wait_for_room
from clustersweep.words import command, listed

if TYPE_CHECKING:
    from clustersweep.workers.protocol import Workers


class Report(Protocol):
    """A report that was written."""

    @property
    def html(self) -> Path:
        """Its page."""


WriteReport = Callable[[SweepResults, str, Path, Path], Report]
"""Writes the report of results, of data in words, to a folder; the last is the study's file, for what it says to type.

It raises StorageError where the disk is full or read-only.
"""


class LaunchWatcher(Watcher, Protocol):
    """Whoever shows a person what a launch does."""

    def waits(self, text: str) -> None:
        """Show what a launch waits for."""

    def begin(self, plan: Plan, open_trials: list[OpenTrial]) -> None:
        """Show the plan, and that training begins."""

    def on_event(self, event: SweepEvent) -> None:
        """Show what the sweep tells."""


@dataclass(frozen=True)
class Options:
    """How to launch.

    Attributes:
        address: A running Ray cluster; None starts Ray on this machine.
        workers: No more workers than this; None for as many as fit.
        in_process: Train in this process, without Ray.
        retry_failed: Try failed replicates once more.
        same_code: Go on though code of one's own has changed.
        checkpoint_every_s: Least time between two checkpoints of a replicate.
        wait_s: How long to wait for room; None for ten minutes on a cluster, and on this machine for as long as the
            launches take that came before this one.
    """

    address: str | None = None
    workers: int | None = None
    in_process: bool = False
    retry_failed: bool = True
    same_code: bool = False
    checkpoint_every_s: float = 10.0
    wait_s: float | None = None


@dataclass(frozen=True)
class Launched:
    """What a launch came to.

    No `outcome` when everything was finished before, no `report` when no trial is complete.
    """

    plan: Plan
    outcome: Outcome | None
    results: SweepResults
    report: Path | None


def read_plan(study: Study, home: Home, watcher: Watcher) -> Plan:
    """Plan a study whose data may have to be read to know their identity.

    Raises:
        StudyError: Nothing can be trained.
        DataError: The data cannot be read.
    """
    header = study.task.header(study.axes)
    if header.digest is None:
        with watcher.step("Reading the data"):
            header = study.task.with_digest(header, study.axes, home.surveys)
    plan = make_plan(study, header)
    require_feasible(plan, study.where)
    return plan


@interrupt_on_signals()
def launch(
    study: Study,
    home: Home,
    database: Callable[[], Database],
    options: Options,
    *,
    watcher: LaunchWatcher,
    write_report: WriteReport,
) -> Launched:
    """Run what is left of a study, then write its report.

    Args:
        study: What to run.
        home: Where files are.
        database: Opens the database.
        options: How to launch.
        watcher: Shows what happens.
        write_report: Writes the report.

    Ctrl-C, SIGTERM and a closed terminal end it wherever it is: they raise KeyboardInterrupt, or, while it trains,
    have it checkpoint, which the outcome tells.

    Raises:
        ClusterSweepError: See its tree; what is finished is kept in every case.
    """
    study.task.check_data()
    plan = read_plan(study, home, watcher)
    files = RunFolder(home.run(study.name))
    speed = read_speed(home.speeds, study.resources.cpus_per_worker)
    with ExitStack() as closing:
        thread = closing.enter_context(ThreadPoolExecutor(1))
        # What was never launched here needs workers, and they may start before the database tells so. But while Ray
        # starts, its secrets are out of the environment, where libpq looks for them.
        apart = files.path.exists() or any(name in os.environ for name in VARIABLES)
        record = _open(plan, database, options, closing, watcher.step) if apart else None
        workers = None
        data = None
        if record is None or record.work:
            parts = ["the database" if record is None else "", study.task.prepares, "the workers"]
            # Side by side: workers start and import TensorFlow while this process reads.
            with watcher.step(f"Preparing {listed(part for part in parts if part)}"):
                making = _Cancellable(watcher.made)
                reading = thread.submit(_read, plan, database, options, closing, record, home=home, making=making)
                try:
                    missing = record.missing if record else plan.replicates
                    limit, each = min(missing, options.workers or missing), study.resources.cpus_per_worker
                    pause = functools.partial(_pause, reading, home)
                    if options.address is None and not options.in_process:
                        claim = claim_of(study.name, limit, each, gpus=bool(study.resources.gpus_per_worker))
                        turn = closing.enter_context(Turn(folder_of_turns(os.environ, os.geteuid()), claim))
                        wait_for_room(turn, each, options.wait_s, watcher.waits, pause)
                    known = reading.result()[0] if reading.done() else record
                    if known is None or known.work:
                        workers = _make_workers(plan, reading, limit, home, options, pause=pause)
                        closing.callback(workers.close)
                    record, data = reading.result()
                finally:
                    making.cancel()
                    wait([reading])  # it must not write to the database once the lock is given back
        # Only now: what cannot be trained leaves nothing behind, and a study as it was.
        open_trials = record.storage.begin(plan, retry_failed=options.retry_failed, same_code=options.same_code)
        if study.task.code is not None:
            files.keep_code(study.task.code)
        if data is not None and data.label_variance is not None:
            record.storage.describe_data(study.name, data.label_variance)
        remove_leftovers(plan, record.storage, open_trials, files)
        watcher.begin(plan, open_trials)
        outcome = None
        if workers is not None and open_trials:
            with stop_on_signals() as stop:
                sweep = Sweep(
                    plan, open_trials, record.storage, workers, files,
                    on_event=watcher.on_event, stop=stop, check_lock=lambda: _check_lock(record, home), speed=speed,
                    label_variance=None if data is None else data.label_variance,
                )  # fmt: skip
                try:
                    outcome = sweep.run()
                finally:
                    watcher.end()
            thread.submit(workers.close)  # which takes a second, while the report is written
            _keep(outcome, record, speed, study, home)
        results = record.storage.results(study.name)
        report = None
        if results.ranked():
            with watcher.step("Writing the report"):
                try:
                    report = write_report(results, plan.header.source, files.report, Path(study.where)).html
                except StorageError as error:
                    again = command("report", study.where)
                    rule = f"Every result is kept, and `{again}` writes the report then, with the --home and --storage "
                    rule += "of this launch"
                    raise StorageError(f"{error}. {rule}") from error
        return Launched(plan, outcome, results, report)


@dataclass(frozen=True)
class _Record:
    """The opened database, and what is left of the study: every trial with the number of seeds that it lacks."""

    storage: Storage
    database: Database
    lock: StudyLock
    work: tuple[tuple[Trial, int], ...]

    @property
    def missing(self) -> int:
        """How many replicates are to be trained; at least one, as a worker is needed to find that all are."""
        return max(1, sum(seeds for _, seeds in self.work))


_Reading = Future[tuple[_Record, Data]]


def _open(
    plan: Plan,
    database: Callable[[], Database],
    options: Options,
    closing: ExitStack,
    step: Callable[[str], AbstractContextManager[None]] = lambda text: nullcontext(),
) -> _Record:
    """Start or reach the database, take the study for this launch, and look at it; nothing is written yet."""
    with step("Opening the database"):
        opened = database()
        lock = StudyLock.acquire(opened.url, plan.study.name)
        closing.callback(lock.release)
        storage = Storage.connect(opened.url, lambda definition: type(plan.study.task))
        closing.callback(storage.close)
    with step("Reading the study's record"):
        work = storage.open_work(plan, retry_failed=options.retry_failed, same_code=options.same_code)
    return _Record(storage, opened, lock, work)


def _read(
    plan: Plan,
    database: Callable[[], Database],
    options: Options,
    closing: ExitStack,
    record: _Record | None,
    *,
    home: Home,
    making: Callable[[int, int], None],
) -> tuple[_Record, Data]:
    """Open the database where that is still to be done, then read the data, which may take minutes to make."""
    record = record or _open(plan, database, options, closing)
    return record, plan.study.task.load(plan.study.axes, home.surveys, making)


def _pause(reading: _Reading, home: Home, seconds: float) -> bool:
    """Let time pass while there is no room for this launch; says whether it still has something to train.

    Raises:
        ClusterSweepError: What was read meanwhile cannot be; or another launch has taken the study.
    """
    if not reading.done():
        wait([reading], seconds)
        return True
    record, _ = reading.result()
    with contextlib.suppress(StorageAwayError):  # until it is needed
        _check_lock(record, home)
    time.sleep(seconds)
    return bool(record.work)


class _Cancellable:
    """Tells how much of the data is made, and ends that once nobody wants them any more: what is done is kept."""

    def __init__(self, tell: Callable[[int, int], None]) -> None:
        self._tell, self._cancelled = tell, threading.Event()

    def cancel(self) -> None:
        """Have the next call raise."""
        self._cancelled.set()

    def __call__(self, done: int, total: int) -> None:
        """Tell that so many of the total are made."""
        if self._cancelled.is_set():
            raise CancelledError
        self._tell(done, total)


def remove_leftovers(plan: Plan, storage: Storage, open_trials: Sequence[OpenTrial], files: RunFolder) -> None:
    """Remove what a killed launch left: parts of files, and checkpoints of replicates that are complete.

    Only for who holds the study's lock. A checkpoint of anything else stays, whatever it is of.
    """
    files.remove_parts()
    there = files.checkpoints()
    if not there:
        return
    recorded = {combination(trial.params): trial.replicates for trial in storage.results(plan.study.name).trials}
    recorded |= {combination(one.trial.params): one.done for one in open_trials}  # what is gone on from decides
    for trial in plan.trials:
        for seed, replicate in recorded.get(combination(trial.params), {}).items():
            if isinstance(replicate, CompleteReplicate) and (key := plan.replicate(trial, seed).key) in there:
                files.discard_checkpoint(key)


def _check_lock(record: _Record, home: Home) -> None:
    """Make sure that the study is still ours; an embedded server that was killed is started again first."""
    try:
        record.lock.check()
    except StorageAwayError:
        try:
            start_again(record.database, home)
        except StorageError as error:  # which says why it does not start, where the lock only sees that nobody listens
            raise StorageAwayError(str(error)) from None
        record.lock.check()


def _keep(outcome: Outcome, record: _Record, before: Speed, study: Study, home: Home) -> None:
    """Keep what a sweep told about the time that it takes: for the next estimate, and to judge this one."""
    if outcome.workers:
        lasted = LaunchTime(
            workers=outcome.workers,
            replicates=sum(seeds for _, seeds in record.work),
            epochs=outcome.epochs,
            epochs_planned=sum(trial.epochs * seeds for trial, seeds in record.work),
            estimated_s=estimate_s(record.work, outcome.workers, before) if study.task.costs_known else 0.0,
            seconds=outcome.seconds,
            measured=before.measured,
        )
        record.storage.record_launch(study.name, lasted)
    add_speeds(home.speeds, {device: sums for device, sums in outcome.speeds.items() if device is not None})


def _make_workers(
    plan: Plan, reading: _Reading, limit: int, home: Home, options: Options, *, pause: Callable[[float], object]
) -> "Workers":
    # Imported here: Ray takes half a second, and a finished study needs no workers.
    study = plan.study
    cpus = study.resources.cpus_per_worker
    if options.in_process:
        from clustersweep.workers.protocol import InProcessWorkers

        return InProcessWorkers(
            study.task,
            reading.result()[1],
            cpus=cpus,
            gpus_per_worker=study.resources.gpus_per_worker,
            deterministic=study.resources.deterministic,
            checkpoint_every_s=options.checkpoint_every_s,
        )
    from clustersweep.workers.ray_pool import WAIT_S, RayWorkers

    return RayWorkers(
        study.task,
        lambda: reading.result()[1],
        data_bytes=plan.header.most_bytes,
        address=options.address,
        cpus_per_worker=cpus,
        gpus_per_worker=study.resources.gpus_per_worker,
        deterministic=study.resources.deterministic,
        limit=limit,
        token_file=home.path / "ray_token",
        checkpoint_every_s=options.checkpoint_every_s,
        wait_s=WAIT_S if options.wait_s is None else options.wait_s,
        pause=pause,
    )
