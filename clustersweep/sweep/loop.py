"""The loop: a plan's open trials go to workers, what these tell goes to the storage. Creates none of the three."""

import time
from collections.abc import Callable, Mapping, Sequence

from clustersweep.errors import StorageAwayError
from clustersweep.storage.store import OpenTrial, Storage
from clustersweep.study.cost import Speed, SpeedMeter
from clustersweep.study.events import (
    DIVERGED,
    Checkpoint,
    DamagedCheckpointError,
    EpochEnd,
    Failed,
    Finished,
    Stopped,
)
from clustersweep.study.finalists import Standing, finalists
from clustersweep.study.plan import Plan
from clustersweep.study.race import Race
from clustersweep.study.reconcile import climb, curve_of
from clustersweep.study.results import FailedReplicate, ReplicateResult, combination, complete_of
from clustersweep.study.stopping import Moves, Rung
from clustersweep.sweep.events import (
    EpochDone,
    RaceLooked,
    ReplicateBegan,
    ReplicateDone,
    ReplicatePaused,
    RungDecided,
    SweepEvent,
    TrialDone,
    TrialStopped,
    WorkerLost,
)
from clustersweep.sweep.failures import Again, Alone, Fail, Situation, decide, spared
from clustersweep.sweep.retry import RetryOnOutage
from clustersweep.sweep.run_folder import RunFolder
from clustersweep.sweep.running import Job, Outcome, RunningTrial
from clustersweep.sweep.schedule import Backlog
from clustersweep.sweep.timings import Clock, Timings
from clustersweep.workers.protocol import Began, Lost, WorkerEvent, Workers


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
        on_event: Callable[[SweepEvent], None] = lambda event: None,
        stop: Callable[[], bool] = lambda: False,
        check_lock: Callable[[], None] = lambda: None,
        speed: Speed | None = None,
        label_variance: float | None = None,
        backlog: type[Backlog] = Backlog,
        timings: Timings = Timings(),
        clock: Clock = time,
    ) -> None:
        """Prepare a sweep.

        Args:
            plan: What the trials belong to.
            open_trials: What is left to do, longest first.
            storage: Where results go.
            workers: Who trains.
            files: Where checkpoints and weights go.
            on_event: Told what happens, for whoever watches.
            stop: Asked often; when true, the sweep checkpoints and ends.
            check_lock: Asked every few seconds, and before anything is written to a database that had gone; raises
                when another launch has taken the study.
            speed: How fast workers are expected to train; None: as assumed where nothing was measured.
            label_variance: What predicting a constant gives; None where that is not known.
            backlog: What decides which trial is next; another one to compare orders of work.
            timings: How long it waits, how often it looks.
            clock: By which it does.
        """
        self._plan, self._storage, self._workers, self._files = plan, storage, workers, files
        self._on_event, self._stop, self._check_lock = on_event, stop, check_lock
        self._timings, self._clock = timings, clock
        self._retry = RetryOnOutage(on_event, stop, check_lock, timings=timings, clock=clock)
        places = {combination(trial.params): place for place, trial in enumerate(plan.trials)}
        self._trials = [
            RunningTrial(number, trial, dict(trial.done), places[combination(trial.trial.params)], dict(trial.paused))
            for number, trial in enumerate(open_trials)
        ]
        self._by_place = {opened.place: opened for opened in self._trials}
        # The trials that have ended take part in what rungs decide.
        self._stored = storage.newest(plan.study.name) if plan.rungs or plan.study.extra_seeds else {}
        standing = {name: (found.replicates, found.paused) for name, found in self._stored.items()}
        standing |= {combination(one.trial.params): (one.done, one.paused) for one in open_trials}
        self._ladder = climb(plan, standing)
        self._meter = SpeedMeter(speed)
        self._backlog = backlog((self._open_seeds(opened), self._cost_s(opened)) for opened in self._trials)
        self._jobs: dict[str, Job] = {}
        self._last_trial: dict[str, RunningTrial] = {}
        self._losses: dict[str, int] = {}
        self._alone: list[tuple[RunningTrial, int]] = []  # what ran out of memory, for when nothing else trains
        self._tried_alone: set[str] = set()
        self._on_share = False  # of a GPU: what trains alone
        self._failed_alike: dict[str, set[int]] = {}
        self._epochs = self._most_at_once = 0  # trained; at the same time
        self._began_at: float | None = None
        self._finished = self._failed = self._stopped = 0
        self._label_variance = label_variance
        self._race: Race | None = None
        self._aborted = ""

    def run(self) -> Outcome:
        """Train everything that is open.

        Raises:
            StorageError: The database or the disk cannot be written.
            WorkersError: No worker can be had.
        """
        told: set[int] = set()
        for opened in self._trials:
            if opened.ended(self._plan.study):  # a lost launch has written the last replicate, but not the trial
                self._finish(opened, None)
                self._report_trial(opened)
            elif (rung := self._ladder.stopped_at(opened.place)) is not None:  # the same of a rung's decision
                if rung.epoch not in told:
                    told.add(rung.epoch)
                    self._on_event(RungDecided(rung))
                self._stop_trial(opened, rung)
        try:
            interrupted = self._loop()
        except StorageAwayError:
            self._save_what_runs()
            raise
        lasted = self._clock.monotonic() - self._began_at - self._retry.waited_s if self._began_at else 0.0
        return Outcome(
            finished=self._finished,
            failed=self._failed,
            interrupted=interrupted,
            aborted=self._aborted,
            speeds=self._meter.sums,
            workers=self._most_at_once,
            epochs=self._epochs,
            seconds=lasted,
            stopped=self._stopped,
            open_rung=None if interrupted or self._aborted else self._ladder.undecided,
            race=None if interrupted or self._aborted else self._race,
        )

    def _loop(self) -> bool:
        """Go on until nothing is left, or we are asked to stop; says whether we were."""
        asked_at: float | None = None
        looked_at = self._clock.monotonic()
        while True:
            if asked_at is None and (self._stop() or self._aborted):
                asked_at = self._clock.monotonic()
                self._workers.stop()
            if asked_at is None:
                self._assign()
            # Not "no jobs": a worker that has just finished its last one is idle only after the next events.
            if not self._jobs and (asked_at is not None or not (self._has_work() or self._next_round())):
                break
            if asked_at is not None and self._clock.monotonic() - asked_at > self._timings.stop_grace_s:
                break
            for worker, event in self._workers.events(0.5):
                self._handle(worker, event)
            if self._clock.monotonic() - looked_at > self._timings.look_every_s:
                looked_at = self._clock.monotonic()
                self._retry(self._check_lock)
        return asked_at is not None and not self._aborted

    def _save_what_runs(self) -> None:
        """Take the checkpoints of what is training, when the database can take no results any more."""
        self._workers.stop()
        until = self._clock.monotonic() + self._timings.stop_grace_s
        while self._jobs and self._clock.monotonic() < until:
            for worker, event in self._workers.events(0.5):
                match event:
                    case Checkpoint() if worker in self._jobs:
                        self._files.save_checkpoint(self._jobs[worker].replicate.key, event.state)
                    case Stopped() | Finished() | Failed() | Lost():
                        self._jobs.pop(worker, None)

    def _has_work(self) -> bool:
        """Say whether any replicate is still to be given out.

        Side effect: when nothing else is left and nobody trains, one that ran out of memory is put back, alone.
        """
        if not self._jobs and self._alone and not self._backlog:
            self._on_share = self._workers.alone()
            opened, seed = self._alone.pop()
            self._backlog.put_back(opened.number, seed)
        return bool(self._backlog)

    def _next_round(self) -> bool:
        """Give the best trials further seeds, once all else is done; say whether any is to be trained."""
        standing = {place: self._standing(place) for place in range(len(self._plan.trials))}
        found = finalists(self._plan, self._ladder, standing, self._label_variance)
        if found is None:
            return False
        opened = []
        for place, seeds in found.wanted.items():
            tried = self._by_place[place].results if place in self._by_place else {}
            ended = standing[place][0]
            if any(seed not in ended and seed not in tried for seed in seeds):
                opened.append(self._go_on(place, seeds, {seed: one for seed, one in ended.items() if seed in seeds}))
        numbers = {
            place: self._number(place) for look in found.race.looks for place in (s.trial for s in look.entrants)
        }
        numbers |= {place: self._number(place) for place in found.race.left}
        self._race = found.race.renumbered(numbers)
        if found.race.looks:
            self._retry(self._storage.record_race, self._plan.study.name, self._race)
        work = tuple((one.stored.trial, tuple(self._open_seeds(one))) for one in opened)
        self._on_event(RaceLooked(self._race, work))
        return bool(opened)

    def _standing(self, place: int) -> Standing:
        """Return where a trial stands; what failed for the machine's reasons is tried again, by the next launch."""
        opened = self._by_place.get(place)
        if opened is None:
            stored = self._stored.get(combination(self._plan.trials[place].params))
            return ({}, {}) if stored is None else (stored.replicates, stored.paused)
        ended = {
            seed: one for seed, one in opened.results.items()
            if not isinstance(one, FailedReplicate) or one.signature == DIVERGED or seed in opened.stored.done
        }  # fmt: skip
        return ended, {seed: one for seed, one in opened.paused.items() if seed not in ended}

    def _number(self, place: int) -> int:
        """Return the number of a trial by its place in the plan."""
        opened = self._by_place.get(place)
        return opened.stored.number if opened else self._stored[combination(self._plan.trials[place].params)].number

    def _go_on(self, place: int, seeds: tuple[int, ...], done: Mapping[int, ReplicateResult]) -> RunningTrial:
        """Open a complete trial again, with further seeds."""
        trial = self._plan.trials[place]
        stored = self._storage.continued(self._plan, trial, seeds, done, supersedes=self._number(place))
        opened = RunningTrial(len(self._trials), stored, dict(done), place)
        self._trials.append(opened)
        self._by_place[place] = opened
        self._backlog.append(self._open_seeds(opened), self._cost_s(opened))
        return opened

    def _assign(self) -> None:
        """Give every idle worker something to train."""
        for worker in self._workers.idle():
            if worker in self._jobs:
                continue
            opened = self._choose(worker)
            if opened is None:
                return
            seed = self._backlog.take(opened.number)
            replicate = self._plan.replicate(opened.stored.trial, seed)
            checkpoint = self._files.checkpoint(replicate.key)
            if not opened.started:
                opened.stored = self._retry(self._storage.start, opened.stored)
                opened.started, opened.curves_at = True, self._clock.monotonic()
            curve: list[tuple[float, float]] = []
            if checkpoint is not None:
                try:
                    curve = list(self._plan.study.task.curve_of(checkpoint, replicate.key))
                except DamagedCheckpointError:
                    checkpoint = None
            first, until = self._last_trial.get(worker) is not opened, self._ladder.until(opened.place)
            self._jobs[worker] = job = Job(opened, replicate, curve, first, until=until)
            if job.at_rung:  # a lost launch has kept its checkpoint, but not written that it is there
                self._pause(worker)
                continue
            self._last_trial[worker] = opened
            self._most_at_once = max(self._most_at_once, len(self._jobs))
            self._workers.start(worker, replicate, checkpoint, until)
            self._began_at = self._began_at or self._clock.monotonic()

    def _choose(self, worker: str) -> RunningTrial | None:
        """Choose for an idle worker."""
        last, most = self._last_trial.get(worker), self._backlog.most_work()
        compile_cost = 0.0 if most is None else self._meter.compile_cost_s(self._trials[most].stored.trial)
        chosen = self._backlog.choose(last.number if last else None, self._most_at_once, compile_cost)
        return None if chosen is None else self._trials[chosen]

    def _handle(self, worker: str, event: WorkerEvent) -> None:
        job = self._jobs.get(worker)
        if job is None:
            return  # it died after its replicate had ended: nothing is lost
        match event:
            case Began():
                job.host = f"{event.host}:{event.pid}"
                self._on_event(ReplicateBegan(worker, job.replicate, len(job.curve), event.host, event.pid))
            case EpochEnd():
                del job.curve[event.epoch - 1 :]  # a worker that could not use the checkpoint began again
                job.curve.append((event.loss, event.val_loss))
                job.epoch_s.append(event.seconds)
                self._epochs += 1
                self._record_curves(job.trial)
                self._on_event(EpochDone(worker, job.replicate, event))
            case Checkpoint():
                self._files.save_checkpoint(job.replicate.key, event.state)
                self._losses.pop(job.replicate.key, None)  # it gets on, whatever kills its workers
            case Stopped() if job.at_rung:
                self._meter.add(job.replicate.trial, job.epoch_s, compiled=job.first_on_worker)
                self._pause(worker)
            case Stopped():
                self._put_back(worker)
            case Finished():
                trial = job.replicate.trial
                device = event.devices[-1] if event.devices else None
                self._meter.add(trial, job.epoch_s, compiled=job.first_on_worker, device=device)
                self._backlog.correct(job.trial.number, self._cost_s(job.trial, job.epoch_s))
                if event.weights:
                    self._files.save_weights(job.replicate.key, event.weights)
                self._end(worker, job.complete(event))
            case Failed() | Lost():
                self._carry_out(worker, event)

    def _carry_out(self, worker: str, event: Failed | Lost) -> None:
        """Do what is decided about a failure."""
        job = self._jobs[worker]
        key, seed = job.replicate.key, job.replicate.seed
        if isinstance(event, Lost) and job.host:
            self._losses[key] = self._losses.get(key, 0) + 1
        decision = decide(event, self._situation(job))
        if isinstance(event, Lost):
            self._on_event(WorkerLost(worker, job.replicate, event.reason, again=not isinstance(decision, Fail)))
        match decision:
            case Again():
                self._put_back(worker)
            case Alone():
                self._tried_alone.add(key)
                self._alone.append((job.trial, seed))
                del self._jobs[worker]
            case Fail():
                result = job.failed(decision.failed)
                if decision.spares_others:
                    self._spare_others(worker, result, decision.failed)
                self._failed_alike.setdefault(decision.failed.signature, set()).add(job.trial.stored.number)
                self._aborted = self._aborted or decision.abort
                self._end(worker, result)

    def _situation(self, job: Job) -> Situation:
        """Return what is known of a replicate."""
        key, opened = job.replicate.key, job.trial
        running = any(other.curve for other in self._jobs.values() if other.trial is opened)
        return Situation(
            combination=opened.stored.number,
            taken_up=bool(job.host),
            losses=self._losses.get(key, 0),
            tried_alone=key in self._tried_alone,
            on_share=self._on_share,
            combination_trained=running or any(r.epochs for r in (*opened.results.values(), *opened.paused.values())),
            failed_alike=self._failed_alike,
        )

    def _put_back(self, worker: str) -> None:
        job = self._jobs.pop(worker)
        self._backlog.put_back(job.trial.number, job.replicate.seed)

    def _spare_others(self, worker: str, first: FailedReplicate, failed: Failed) -> None:
        """Write that the other seeds of a combination are not trained. The next launch tries all of them again."""
        opened = self._jobs[worker].trial
        waiting = [self._backlog.take(opened.number) for _ in self._backlog.seeds(opened.number)]
        waiting += [seed for other, seed in self._alone if other is opened]
        self._alone = [(other, seed) for other, seed in self._alone if other is not opened]
        for seed in waiting:
            result = spared(first, failed, seed)
            opened.results[seed] = result
            self._retry(self._storage.record_replicate, opened.stored, result)
            self._on_event(ReplicateDone(worker, self._plan.replicate(opened.stored.trial, seed), result))

    def _end(self, worker: str, result: ReplicateResult) -> None:
        job = self._jobs.pop(worker)
        opened = job.trial
        opened.results[result.seed] = result
        if not opened.ended(self._plan.study):
            self._retry(self._storage.record_replicate, opened.stored, result)
        else:
            self._finish(opened, result)
        self._files.discard_checkpoint(job.replicate.key)
        self._on_event(ReplicateDone(worker, job.replicate, result))
        if opened.ended(self._plan.study):
            self._report_trial(opened)
        # What failed for the machine's reasons keeps a rung open: it has not got there, and may when it is tried again.
        failed = isinstance(result, FailedReplicate)
        if not isinstance(result, FailedReplicate) or result.signature == DIVERGED:
            self._move(self._ladder.take(opened.place, result.seed, curve_of(result), ended=True, failed=failed))

    def _pause(self, worker: str) -> None:
        """Keep that a replicate has got to a rung; what follows from that is done."""
        job = self._jobs.pop(worker)
        opened, paused = job.trial, job.paused(self._plan.study.metric)
        opened.paused[paused.seed] = paused
        self._retry(self._storage.record_replicate, opened.stored, paused)
        self._on_event(ReplicatePaused(worker, job.replicate, paused))
        self._move(self._ladder.take(opened.place, paused.seed, curve_of(paused), ended=False))

    def _move(self, moves: Moves) -> None:
        """Do what a rung has decided. Trials that have ended are not open, and stay what they are."""
        for rung in moves.decided:
            self._on_event(RungDecided(rung))
        for place, rung in moves.stopped:
            opened = self._by_place.get(place)
            if opened is not None and not opened.ended(self._plan.study):
                self._stop_trial(opened, rung)
        for place in moves.go_on:
            opened = self._by_place.get(place)
            if opened is not None:
                self._backlog.add(opened.number, self._open_seeds(opened), self._cost_s(opened))

    def _stop_trial(self, opened: RunningTrial, rung: Rung) -> None:
        """Write that a rung has stopped a trial; what it trained is kept, for when it may go on."""
        stopped = rung.stopped_at(opened.place)
        if opened.stored.instead is None:  # else it is stored as stopped already, by an earlier rule
            self._retry(self._storage.stop, opened.stored, stopped, curve=opened.mean_curve())
        self._stopped += 1
        first = self._plan.replicate(opened.stored.trial, self._plan.study.seeds[0])
        self._on_event(TrialStopped(opened.stored.number, first, stopped))

    def _open_seeds(self, opened: RunningTrial) -> list[int]:
        """Return the seeds of a trial that are to be trained now."""
        if self._ladder.stopped_at(opened.place) is not None:
            return []
        seeds = (seed for seed in opened.seeds(self._plan.study) if seed not in opened.results)
        return [seed for seed in seeds if not self._ladder.waits(opened.place, seed)]

    def _cost_s(self, opened: RunningTrial, epoch_s: Sequence[float] = ()) -> float:
        """Estimate what one of them costs, to its end or to the next rung."""
        trial, until = opened.stored.trial, self._ladder.until(opened.place)
        whole = self._meter.cost_s(trial, epoch_s)
        if not self._plan.rungs or trial.epochs == 1:
            return whole
        until = trial.epochs if until is None else min(until, trial.epochs)
        before = max((rung for rung in self._plan.rungs if rung < until), default=0)
        return whole * (until - before) / trial.epochs

    def _finish(self, opened: RunningTrial, last: ReplicateResult | None) -> None:
        """Write that a trial is finished, with the replicate that was its last, where that is not written yet."""
        value = opened.value(self._plan.study)
        self._retry(self._storage.finish, opened.stored, value, curve=opened.mean_curve(), last=last)
        self._finished += 1
        self._failed += value is None
        complete = {replicate.seed: replicate.value for replicate in complete_of(opened.results)}
        keys = {seed: self._plan.replicate(opened.stored.trial, seed).key for seed in complete}
        self._files.keep_best_weights(keys, complete, self._plan.study.metric)

    def _report_trial(self, opened: RunningTrial) -> None:
        seeds = opened.seeds(self._plan.study)
        first = self._plan.replicate(opened.stored.trial, seeds[0])
        results = tuple(opened.results[seed] for seed in seeds)
        self._on_event(TrialDone(opened.stored.number, first, opened.value(self._plan.study), results))

    def _record_curves(self, opened: RunningTrial) -> None:
        now = self._clock.monotonic()
        if now - opened.curves_at >= self._timings.curves_every_s:
            opened.curves_at = now
            running = {job.replicate.seed: job.curve for job in self._jobs.values() if job.trial is opened}
            self._retry(self._storage.record_curve, opened.stored, opened.mean_curve(running))
