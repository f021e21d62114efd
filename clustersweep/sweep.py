"""The loop: a plan's open trials go to workers, what these tell goes to the storage. Creates none of the three."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from clustersweep.notices import EpochDone, Notice, ReplicateBegan, ReplicateDone, TrialDone, WorkerLost
from clustersweep.plan import Plan, Rates
from clustersweep.run_folder import RunFolder
from clustersweep.storage import OpenTrial, Storage
from clustersweep.training.checkpoint import DamagedCheckpointError, progress_of
from clustersweep.training.events import DIVERGED, Checkpoint, EpochEnd, Failed, Finished, Stopped
from clustersweep.trial import Replicate, ReplicateResult, aggregate
from clustersweep.workers import Began, Lost, WorkerEvent, Workers

# Three different combinations that fail alike mean that the fault is not the combinations'.
MAX_SAME_SIGNATURE = 3
# A replicate whose worker died so often without a checkpoint in between is what kills workers.
MAX_LOSSES = 3
# What TensorFlow calls memory that it does not get, and what Ray's end of a worker for its memory is called here.
OUT_OF_MEMORY = "ResourceExhaustedError"
# Learning curves of running trials reach the database at most so often; finished ones at once.
CURVES_EVERY_S = 5.0
# The lock on the study is looked at so often.
LOOK_EVERY_S = 5.0
# How long workers may take to end their epoch once they are asked to stop.
STOP_GRACE_S = 60.0


@dataclass(frozen=True)
class Outcome:
    """How a sweep ended.

    Attributes:
        finished: Trials finished, failed ones included.
        failed: Trials of which a replicate failed.
        interrupted: It was asked to stop.
        aborted: Why it gave up; empty when it did not.
        rates: What was measured; None when too little ran.
    """

    finished: int
    failed: int
    interrupted: bool
    aborted: str
    rates: Rates | None


@dataclass
class _Job:
    """A replicate on a worker."""

    opened: "_Opened"
    replicate: Replicate
    curve: list[tuple[float, float]]
    first_on_worker: bool
    host: str = ""
    epoch_s: list[float] = field(default_factory=list)


@dataclass
class _Opened:
    """An open trial while the sweep runs."""

    stored: OpenTrial
    waiting: list[int]
    results: dict[int, ReplicateResult]
    started: bool = False
    curves_at: float = 0.0


class Sweep:
    """One run of the loop over the open trials of a plan."""

    def __init__(
        self,
        plan: Plan,
        open_trials: Sequence[OpenTrial],
        storage: Storage,
        workers: Workers,
        files: RunFolder,
        *,
        notify: Callable[[Notice], None] = lambda notice: None,
        stop: Callable[[], bool] = lambda: False,
        still_ours: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare a sweep.

        Args:
            plan: What the trials belong to.
            open_trials: What is left to do, longest first.
            storage: Where results go.
            workers: Who trains.
            files: Where checkpoints and weights go.
            notify: Told what happens, for whoever watches.
            stop: Asked often; when true, the sweep checkpoints and ends.
            still_ours: Asked every few seconds; raises when another launch may have taken the study.
        """
        self._plan, self._storage, self._workers, self._files = plan, storage, workers, files
        self._notify, self._stop, self._still_ours = notify, stop, still_ours
        self._trials = [
            _Opened(t, [seed for seed in plan.study.seeds if seed not in t.done], dict(t.done)) for t in open_trials
        ]
        self._jobs: dict[str, _Job] = {}
        self._last: dict[str, _Opened] = {}
        self._losses: dict[str, int] = {}
        self._alone: list[tuple[_Opened, int]] = []  # what ran out of memory, for when nothing else trains
        self._tried_alone: set[str] = set()
        self._signatures: dict[str, set[int]] = {}
        self._steady: list[tuple[float, float]] = []  # (operations, seconds) of a replicate's usual epoch
        self._compile_s: list[float] = []
        self._finished = self._failed = 0
        self._aborted = ""

    def run(self) -> Outcome:
        """Train everything that is open.

        Raises:
            StorageError: The database or the disk cannot be written.
            WorkersError: No worker can be had.
        """
        for opened in self._trials:
            self._finish_if_done(opened)  # a lost launch may have written the last replicate, but not the trial
        asked_at: float | None = None
        looked_at = time.monotonic()
        while True:
            if asked_at is None and (self._stop() or self._aborted):
                asked_at = time.monotonic()
                self._workers.stop()
            if asked_at is None:
                self._give_out()
            # Not "no jobs": a worker that has just finished its last one is idle only after the next events.
            if not self._jobs and (asked_at is not None or not self._left()):
                break
            if asked_at is not None and time.monotonic() - asked_at > STOP_GRACE_S:
                break
            for worker, event in self._workers.events(0.5):
                self._handle(worker, event)
            if time.monotonic() - looked_at > LOOK_EVERY_S:
                looked_at = time.monotonic()
                self._still_ours()
        interrupted = asked_at is not None and not self._aborted
        return Outcome(self._finished, self._failed, interrupted, self._aborted, self._rates())

    def _left(self) -> bool:
        """Say whether any replicate is still to be given out.

        Side effect: when nothing else is left and nobody trains, one that ran out of memory is put back, alone.
        """
        if not self._jobs and self._alone and not any(opened.waiting for opened in self._trials):
            opened, seed = self._alone.pop()
            opened.waiting.append(seed)
        return any(opened.waiting for opened in self._trials)

    def _give_out(self) -> None:
        """Give every idle worker something to train."""
        for worker in self._workers.idle():
            if worker in self._jobs:
                continue
            opened = self._choose(worker)
            if opened is None:
                return
            seed = opened.waiting.pop(0)
            replicate = self._plan.replicate(opened.stored.trial, seed)
            checkpoint = self._files.checkpoint(replicate.key)
            if not opened.started:
                self._storage.start(opened.stored)
                opened.started = True
            curve: list[tuple[float, float]] = []
            if checkpoint is not None:
                try:
                    curve = list(progress_of(checkpoint, replicate.key).curve)
                except DamagedCheckpointError:
                    checkpoint = None
            self._jobs[worker] = _Job(opened, replicate, curve, self._last.get(worker) is not opened)
            self._last[worker] = opened
            self._workers.start(worker, replicate, checkpoint)

    def _choose(self, worker: str) -> _Opened | None:
        """Choose for an idle worker: more of what it has compiled, else of the trial with the most work left."""
        last = self._last.get(worker)
        if last is not None and last.waiting:
            return last
        left = [opened for opened in self._trials if opened.waiting]
        return max(left, key=lambda o: len(o.waiting) * o.stored.trial.cost_flops, default=None)

    def _handle(self, worker: str, event: WorkerEvent) -> None:
        job = self._jobs.get(worker)
        if job is None:
            return  # it died after its replicate had ended: nothing is lost
        match event:
            case Began():
                job.host = f"{event.host}:{event.pid}"
                self._notify(ReplicateBegan(worker, job.replicate, len(job.curve), event.host, event.pid))
            case EpochEnd():
                del job.curve[event.epoch - 1 :]  # a worker that could not use the checkpoint began again
                job.curve.append((event.loss, event.val_loss))
                job.epoch_s.append(event.seconds)
                self._record_curves(job.opened)
                self._notify(EpochDone(worker, job.replicate, event))
            case Checkpoint():
                self._files.save_checkpoint(job.replicate.key, event.state)
                self._losses.pop(job.replicate.key, None)  # it gets on, whatever kills its workers
            case Stopped():
                self._take_back(worker)
            case Finished():
                self._measure(job)
                self._files.save_weights(job.replicate.key, event.weights)
                result = ReplicateResult(
                    seed=job.replicate.seed,
                    state="complete",
                    value=event.val_loss,
                    best_epoch=event.best_epoch,
                    epochs=event.epochs,
                    seconds=event.seconds,
                    worker=job.host,
                    curve=event.curve,
                    resumed=event.resumed,
                    val_nll=event.val_nll,
                )
                self._end(worker, result)
            case Failed():
                if event.signature != OUT_OF_MEMORY or not self._once_more_alone(worker):
                    self._fail(worker, event)
            case Lost():
                losses = self._losses[job.replicate.key] = self._losses.get(job.replicate.key, 0) + 1
                again = losses < MAX_LOSSES and (not event.out_of_memory or job.replicate.key not in self._tried_alone)
                self._notify(WorkerLost(worker, job.replicate, event.reason, again))
                if not again:
                    signature = OUT_OF_MEMORY if event.out_of_memory else "WorkerLost"
                    self._fail(worker, Failed(signature, f"its worker died {losses} times: {event.reason}"))
                elif not event.out_of_memory or not self._once_more_alone(worker):
                    self._take_back(worker)

    def _once_more_alone(self, worker: str) -> bool:
        """Put a replicate that ran out of memory aside until nothing else trains; once."""
        job = self._jobs[worker]
        if job.replicate.key in self._tried_alone:
            return False
        self._tried_alone.add(job.replicate.key)
        self._alone.append((job.opened, job.replicate.seed))
        del self._jobs[worker]
        return True

    def _take_back(self, worker: str) -> None:
        job = self._jobs.pop(worker)
        job.opened.waiting.insert(0, job.replicate.seed)

    def _fail(self, worker: str, event: Failed) -> None:
        job = self._jobs[worker]
        result = ReplicateResult(
            seed=job.replicate.seed,
            state="failed",
            value=None,
            best_epoch=0,
            epochs=len(job.curve),
            seconds=sum(job.epoch_s),
            worker=job.host,
            curve=tuple(job.curve),
            error=event.message + (f"\n{event.trace}" if event.trace else ""),
            signature=event.signature,
        )
        alike = self._signatures.setdefault(event.signature, set())
        alike.add(job.opened.stored.number)
        if len(alike) >= MAX_SAME_SIGNATURE and event.signature != DIVERGED and not self._aborted:
            self._aborted = (
                f"{len(alike)} combinations failed alike ({event.signature}: {event.message}), so the rest would too"
            )
        self._end(worker, result)

    def _end(self, worker: str, result: ReplicateResult) -> None:
        job = self._jobs.pop(worker)
        job.opened.results[result.seed] = result
        self._storage.record_replicate(job.opened.stored, result)
        self._files.discard_checkpoint(job.replicate.key)
        self._notify(ReplicateDone(worker, job.replicate, result))
        self._finish_if_done(job.opened)

    def _finish_if_done(self, opened: _Opened) -> None:
        seeds = self._plan.study.seeds
        if not set(seeds) <= set(opened.results):
            return
        results = tuple(opened.results[seed] for seed in seeds)
        values = [result.value for result in results if result.value is not None]
        value = aggregate(values, self._plan.study.objective.over_seeds) if len(values) == len(seeds) else None
        self._storage.record_curve(opened.stored, self._mean_curve(opened))
        self._storage.finish(opened.stored, value)
        self._finished += 1
        self._failed += value is None
        self._files.keep_best_weights(
            {r.seed: self._plan.replicate(opened.stored.trial, r.seed).key for r in results if r.value is not None},
            {r.seed: r.value for r in results if r.value is not None},
        )
        first = self._plan.replicate(opened.stored.trial, seeds[0])
        self._notify(TrialDone(opened.stored.number, first, value, results))

    def _record_curves(self, opened: _Opened) -> None:
        now = time.monotonic()
        if now - opened.curves_at >= CURVES_EVERY_S:
            opened.curves_at = now
            self._storage.record_curve(opened.stored, self._mean_curve(opened))

    def _mean_curve(self, opened: _Opened) -> dict[int, float]:
        """Mean validation loss of each epoch over the seeds that reached it."""
        curves = [result.curve for result in opened.results.values()]
        curves += [tuple(job.curve) for job in self._jobs.values() if job.opened is opened]
        longest = max((len(curve) for curve in curves), default=0)
        return {
            epoch: statistics.fmean(curve[epoch - 1][1] for curve in curves if len(curve) >= epoch)
            for epoch in range(1, longest + 1)
        }

    def _measure(self, job: _Job) -> None:
        """Learn how fast this machine is: the usual epoch tells the rate, the first one the cost of compiling."""
        if len(job.epoch_s) < 2:
            return
        usual = statistics.median(job.epoch_s[1:])
        trial = job.replicate.trial
        self._steady.append((trial.cost_flops / trial.training.epochs, usual))
        if job.first_on_worker:
            self._compile_s.append(max(0.0, job.epoch_s[0] - usual))

    def _rates(self) -> Rates | None:
        if not self._steady or not self._compile_s:
            return None
        rate = sum(flops for flops, _ in self._steady) / sum(seconds for _, seconds in self._steady)
        return Rates(rate, statistics.median(self._compile_s), measured=True)
