"""A trial, and a replicate on a worker, while the sweep runs, and how it ended. No loop: that is in `sweep`."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from clustersweep.storage.store import OpenTrial
from clustersweep.study.cost import Sums
from clustersweep.study.events import Device, Failed, Finished
from clustersweep.study.objective import aggregate
from clustersweep.study.results import (
    CompleteReplicate,
    FailedReplicate,
    Replicate,
    ReplicateResult,
    complete_of,
)
from clustersweep.study.study import Study

Curve = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Outcome:
    """How a sweep ended.

    Attributes:
        finished: Trials finished, failed ones included.
        failed: Trials of which a replicate failed.
        interrupted: It was asked to stop.
        aborted: Why it gave up; empty when it did not.
        speeds: What was measured, by the device; None for one that did not tell.
        workers: How many trained at the same time, at most.
        epochs: How many all of them trained together.
        seconds: From the first replicate given out to the end, without waiting for a database that was away.
    """

    finished: int
    failed: int
    interrupted: bool
    aborted: str
    speeds: Mapping[Device | None, Sums]
    workers: int
    epochs: int
    seconds: float


@dataclass
class RunningTrial:
    """An open trial while the sweep runs.

    Attributes:
        number: Its place in the order of the plan.
        stored: What it is in the storage.
        results: Its replicates that have ended, by seed.
        started: It is claimed.
        curves_at: When its curve was written last, in monotonic seconds.
    """

    number: int
    stored: OpenTrial
    results: dict[int, ReplicateResult]
    started: bool = False
    curves_at: float = 0.0

    def ended(self, study: Study) -> bool:
        """Say whether every seed has ended."""
        return set(study.seeds) <= set(self.results)

    def value(self, study: Study) -> float | None:
        """Return the objective over the seeds; None when a replicate failed."""
        complete = complete_of({seed: self.results[seed] for seed in study.seeds})
        if len(complete) < len(study.seeds):
            return None
        return aggregate((replicate.value for replicate in complete), study.objective.over_seeds)

    def mean_curve(self, running: Sequence[Curve] = ()) -> dict[int, float]:
        """Return each epoch's mean validation loss over the seeds that reached it, those that still run included."""
        curves = [*(result.curve for result in self.results.values()), *running]
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
    """

    trial: RunningTrial
    replicate: Replicate
    curve: list[tuple[float, float]]
    first_on_worker: bool
    host: str = ""
    epoch_s: list[float] = field(default_factory=list)

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
