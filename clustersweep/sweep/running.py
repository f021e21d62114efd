"""A trial, and a replicate on a worker, while the sweep runs, and how it ended. No loop: that is in `sweep`."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from clustersweep.storage.store import OpenTrial
from clustersweep.study.cost import Sums
from clustersweep.study.events import Device, Failed, Finished
from clustersweep.study.objective import Metric, aggregate
from clustersweep.study.race import Race
from clustersweep.study.results import (
    CompleteReplicate,
    FailedReplicate,
    PausedReplicate,
    Replicate,
    ReplicateResult,
    complete_of,
)
from clustersweep.study.stopping import value_until
from clustersweep.study.study import Study

Curve = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Outcome:
    """How a sweep ended.

    Attributes:
        finished: Trials finished, failed ones included.
        failed: Trials of which a replicate failed.
        stopped: Trials that a rung stopped.
        interrupted: It was asked to stop.
        aborted: Why it gave up; empty when it did not.
        speeds: What was measured, by the device; None for one that did not tell.
        workers: How many trained at the same time, at most.
        epochs: How many all of them trained together.
        seconds: From the first replicate given out to the end, without waiting for a database that was away.
        race: How far the race for further seeds is; None where there is none, or the sweep is not over.
        open_rung: The epoch of a rung that stays undecided, as a replicate failed; None where none does.
    """

    finished: int
    failed: int
    interrupted: bool
    aborted: str
    speeds: Mapping[Device | None, Sums]
    workers: int
    epochs: int
    seconds: float
    stopped: int = 0
    open_rung: int | None = None
    race: Race | None = None


@dataclass
class RunningTrial:
    """An open trial while the sweep runs.

    Attributes:
        number: Its place in the order of the plan.
        stored: What it is in the storage.
        results: Its replicates that have ended, by seed.
        place: Its place among all trials of the plan.
        paused: Its replicates that have got to a rung, by seed; what they came to since is not in it.
        started: It is claimed.
        curves_at: When its curve was written last, in monotonic seconds.
    """

    number: int
    stored: OpenTrial
    results: dict[int, ReplicateResult]
    place: int = 0
    paused: dict[int, PausedReplicate] = field(default_factory=dict)
    started: bool = False
    curves_at: float = 0.0

    def seeds(self, study: Study) -> tuple[int, ...]:
        """Return the seeds that it is to have: the study's, and further ones where it is among the best."""
        return self.stored.seeds or study.seeds

    def ended(self, study: Study) -> bool:
        """Say whether every seed has ended."""
        return set(self.seeds(study)) <= set(self.results)

    def value(self, study: Study) -> float | None:
        """Return the objective over the seeds; None when one of the study's failed. A further one is left out then."""
        complete = complete_of({seed: self.results[seed] for seed in self.seeds(study)})
        if not set(study.seeds) <= {replicate.seed for replicate in complete}:
            return None
        return aggregate((replicate.value for replicate in complete), study.objective.over_seeds)

    def mean_curve(self, running: Mapping[int, Curve] | None = None) -> dict[int, float]:
        """Return each epoch's mean validation loss over the seeds that reached it, running ones, by seed, too."""
        told = {seed: one.curve for seed, one in (*self.paused.items(), *self.results.items())}
        curves = [curve for curve in {**told, **(running or {})}.values()]
        longest = max((len(curve) for curve in curves), default=0)
        return {
            epoch: statistics.fmean(curve[epoch - 1][1] for curve in curves if len(curve) >= epoch)
            for epoch in range(1, longest + 1)
        }


@dataclass
class Job:
    """A replicate on a worker.

    Attributes:
        trial: What it belongs to.
        replicate: What is trained.
        curve: `(loss, val_loss)` of every epoch until now, dex^2.
        first_on_worker: The worker has to compile it.
        host: Who trains it.
        epoch_s: Seconds of the epochs that this worker has trained.
        until: The epoch to which it is trained; None: to its end.
    """

    trial: RunningTrial
    replicate: Replicate
    curve: list[tuple[float, float]]
    first_on_worker: bool
    host: str = ""
    epoch_s: list[float] = field(default_factory=list)
    until: int | None = None

    def complete(self, event: Finished) -> CompleteReplicate:
        """Return what it came to."""
        return CompleteReplicate(
            seed=self.replicate.seed,
            value=event.val_loss,
            best_epoch=event.best_epoch,
            epochs=event.epochs,
            seconds=event.seconds,
            worker=self.host,
            curve=event.curve,
            resumed=event.resumed,
            val_nll=event.val_nll,
            devices=event.devices,
            metrics=event.metrics,
            code=event.code,
        )

    @property
    def at_rung(self) -> bool:
        """Say whether it has got as far as it was to be trained."""
        return self.until is not None and len(self.curve) >= self.until

    def paused(self, metric: Metric) -> PausedReplicate:
        """Return that it has got to a rung."""
        before = self.trial.paused.get(self.replicate.seed)
        return PausedReplicate(
            seed=self.replicate.seed,
            value=value_until([value for _, value in self.curve], len(self.curve), metric),
            epochs=len(self.curve),
            seconds=sum(self.epoch_s) + (before.seconds if before else 0.0),
            worker=self.host or (before.worker if before else ""),
            curve=tuple(self.curve),
            key=self.replicate.key,
        )

    def failed(self, event: Failed) -> FailedReplicate:
        """Return that it failed, and why."""
        return FailedReplicate(
            seed=self.replicate.seed,
            epochs=len(self.curve),
            seconds=sum(self.epoch_s),
            worker=self.host,
            curve=tuple(self.curve),
            error=event.message + (f"\n{event.trace}" if event.trace else ""),
            signature=event.signature,
        )
