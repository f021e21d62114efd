"""Trials, replicates, their results, and the arithmetic that ranks them. Pure values."""

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import ClassVar

from clustersweep.study.events import Device
from clustersweep.study.keys import Params, Scalar
from clustersweep.study.objective import Aggregate, Metric, aggregate
from clustersweep.study.race import Race
from clustersweep.study.task import Candidate, Infeasible


def combination(params: Params) -> tuple[tuple[str, Scalar], ...]:
    """Return a combination's identity: its params as a hashable value that ignores the order of keys."""
    return tuple(sorted(params.items()))


@dataclass(frozen=True, kw_only=True)
class Trial(Candidate):
    """One feasible combination, ready to be trained; `params` is the point of the search space."""

    params: Params


@dataclass(frozen=True)
class Replicate:
    """One training of a trial with one seed; `key` names its files and is equal for equal definitions."""

    trial: Trial
    seed: int
    key: str


class ReplicateState(StrEnum):
    """How a replicate ended, as it is stored."""

    COMPLETE = "complete"
    FAILED = "failed"
    PAUSED = "paused"


@dataclass(frozen=True)
class CompleteReplicate:
    """What a replicate that was trained to its end came to.

    Attributes:
        value: The metric at the best epoch (validation loss, dex^2).
        best_epoch: The epoch, counted from 1, with the best value (lowest likelihood where that is trained).
        epochs: Epochs trained.
        seconds: Time spent training.
        worker: Who trained it.
        curve: `(loss, val_loss)` of every epoch: of the training part, NaN where that is not told, and the metric.
        resumed: How often it was continued from a checkpoint.
        val_nll: Negative log-likelihood of the best epoch, where the network has a variance.
        devices: What computed its epochs, in their order; none where an older version trained it.
        metrics: What else a trainer of one's own reported at the best epoch, by name.
        code: Digest of the code of one's own that trained it; empty where none did.
    """

    state: ClassVar = ReplicateState.COMPLETE
    seed: int
    value: float
    best_epoch: int
    epochs: int
    seconds: float
    worker: str
    curve: tuple[tuple[float, float], ...] = ()
    resumed: int = 0
    val_nll: float | None = None
    devices: tuple[Device, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict, hash=False)
    code: str = ""


@dataclass(frozen=True)
class FailedReplicate:
    """That a replicate failed, and why.

    Attributes:
        error: Why, for a person; a traceback may follow.
        signature: Short name of the cause, equal for equal causes.
        epochs: Epochs trained before it did.
        seconds: Time spent training.
        worker: Who trained it.
        curve: `(loss, val_loss)` of every epoch until then.
    """

    state: ClassVar = ReplicateState.FAILED
    seed: int
    error: str
    signature: str
    epochs: int
    seconds: float
    worker: str
    curve: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class PausedReplicate:
    """That a replicate has got to a rung: it waits there, or was stopped, and may go on from its checkpoint.

    Attributes:
        value: The best value of the metric until there.
        epochs: Epochs trained.
        seconds: Time spent training.
        worker: Who trained it.
        curve: `(loss, val_loss)` of every epoch until there.
        key: The name of its checkpoint.
    """

    state: ClassVar = ReplicateState.PAUSED
    seed: int
    value: float
    epochs: int
    seconds: float
    worker: str
    curve: tuple[tuple[float, float], ...] = ()
    key: str = ""


ReplicateResult = CompleteReplicate | FailedReplicate
"""What a replicate that has ended came to."""


@dataclass(frozen=True)
class StoppedAt:
    """The rung that stopped a trial, and why it did.

    Attributes:
        epoch: The rung: the epoch after which trials were compared.
        rank: The trial's there; the best has 1.
        among: How many were compared, those that are trained alike once.
        value: Its objective until there; None where a seed has diverged.
        best: The best one's.
        margin: What was closer to the best than this went on; None where ties were not spared.
    """

    epoch: int
    rank: int
    among: int
    value: float | None
    best: float | None
    margin: float | None = None

    @property
    def reason(self) -> str:
        """Why, as a sentence's end: `rank 41 of 63 after epoch 3, ...`."""
        if self.value is None or self.best is None:
            return f"rank {self.rank} of {self.among} after epoch {self.epoch}, as a seed diverged"
        near = "" if self.margin is None else f", and less than {self.margin:.4f} apart is no difference"
        against = f"{self.value:.4f}, the best had {self.best:.4f}"
        return f"rank {self.rank} of {self.among} after epoch {self.epoch}: {against}{near}"


class TrialState(StrEnum):
    """Where a trial stands, in clustersweep's words (`storage.records` has Optuna's)."""

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    INFEASIBLE = "infeasible"
    STOPPED = "stopped"

    @property
    def is_finished(self) -> bool:
        """Whether it stays as it is: what comes after is another trial."""
        return self not in (TrialState.WAITING, TrialState.RUNNING)


@dataclass(frozen=True)
class TrialResult:
    """A trial as the storage has it.

    Attributes:
        number: Optuna's number of the trial.
        value: The objective over the seeds; None unless the trial is complete.
        replicates: By seed, those that ended.
        infeasible: Why arithmetic rejected it; None for a trial that can be trained.
        supersedes: Number of the earlier trial of the same combination that this one continues.
        parameters: Trainable weights, where they are known.
        same_as: Number of the first trial that is trained as this one is, to the last bit; None if none is.
        same_why: Why it is: what its axes do not change.
        paused: By seed, those replicates that wait at a rung, or were stopped there.
        stopped: The rung that stopped it; None where none has.
    """

    number: int
    params: Params
    state: TrialState
    value: float | None = None
    replicates: Mapping[int, ReplicateResult] = field(default_factory=dict)
    infeasible: Infeasible | None = None
    supersedes: int | None = None
    parameters: int | None = None
    same_as: int | None = None
    same_why: str = ""
    paused: Mapping[int, PausedReplicate] = field(default_factory=dict)
    stopped: StoppedAt | None = None

    @property
    def first_alike(self) -> int:
        """The number that all trials share that are trained alike: that of the first of them."""
        return self.number if self.same_as is None else self.same_as

    @property
    def seconds(self) -> float:
        """Training time of all replicates together."""
        return sum(one.seconds for one in (*self.replicates.values(), *self.paused.values()))

    @property
    def complete_replicates(self) -> tuple[CompleteReplicate, ...]:
        """Those that were trained to their end, in the order of the seeds."""
        return complete_of(self.replicates)

    def best_replicate(self, metric: Metric) -> CompleteReplicate:
        """Return the complete replicate with the best value; the lower seed where two are equal."""
        return min(self.complete_replicates, key=lambda r: (metric.order(r.value), r.seed))

    def spread(self) -> float:
        """Standard deviation of the values over the seeds; NaN below two seeds."""
        values = losses(self)
        return statistics.stdev(values) if len(values) > 1 else math.nan


@dataclass(frozen=True)
class LaunchTime:
    """How long one launch took, and what was estimated before it.

    Attributes:
        workers: How many trained.
        replicates: Trainings that were to be done.
        epochs: Epochs trained.
        epochs_planned: Epochs of all of them without early stopping, which is what an estimate counts.
        estimated_s: The estimate, seconds.
        seconds: From the first replicate given out to the end, without waiting for a database that was away.
        measured: The estimate was made from what earlier sweeps measured; False: from assumptions.
    """

    workers: int
    replicates: int
    epochs: int
    epochs_planned: int
    estimated_s: float
    seconds: float
    measured: bool


@dataclass(frozen=True)
class SweepResults:
    """Everything a report or an export may read.

    Attributes:
        study: The study's name.
        digest: Digest of its definition.
        axes: Values of each axis, in the study's order.
        seeds: The seeds each trial should have.
        trials: The newest trial of every combination, by number.
        metric: What it is judged by.
        label_variance: What predicting a constant gives (variance of the validation part's labels); None where that
            is not known.
        continued: Complete trials that are being continued with new seeds.
        launches: How long each launch took, the first one first.
        over_seeds: How a trial's value follows from the losses of its seeds.
        race: How far the race for further seeds is, trials by number; None where there was none.
    """

    study: str
    digest: str
    axes: Mapping[str, tuple[Scalar, ...]]
    seeds: tuple[int, ...]
    trials: tuple[TrialResult, ...]
    metric: Metric = field(kw_only=True)
    label_variance: float | None = None
    continued: int = 0
    launches: tuple[LaunchTime, ...] = ()
    over_seeds: Aggregate = "mean"
    race: Race | None = None

    def ranked(self) -> tuple[TrialResult, ...]:
        """Complete trials, best first; of equals the one with the lower number.

        Those that a race for further seeds left come before all others, as it ranked them.
        """
        raced = {number: place for place, number in enumerate(self.race.left)} if self.race is not None else {}
        last = len(raced)
        done = [t for t in self.trials if t.value is not None]
        return tuple(sorted(done, key=lambda t: (raced.get(t.number, last), self.metric.order(loss_of(t)), t.number)))

    def of_equal_seeds(self) -> "SweepResults":
        """Return the same with the study's seeds only: the best trials may have further ones."""
        if all(set(t.replicates) <= set(self.seeds) for t in self.trials):
            return self
        return replace(self, race=None, trials=tuple(self._with_own_seeds(trial) for trial in self.trials))

    def _with_own_seeds(self, trial: TrialResult) -> TrialResult:
        kept = {seed: one for seed, one in trial.replicates.items() if seed in self.seeds}
        values = [one.value for one in complete_of(kept)]
        value = None if trial.value is None else aggregate(values, self.over_seeds)
        return replace(trial, replicates=kept, value=value)

    def distinct(self) -> tuple[TrialResult, ...]:
        """Return complete trials, best first, one of those that are trained alike."""
        return first_of_alike(self.ranked())

    def count(self, state: TrialState) -> int:
        """Count the trials in one state."""
        return sum(trial.state == state for trial in self.trials)


def first_of_alike(trials: Iterable[TrialResult]) -> tuple[TrialResult, ...]:
    """Return the first one of those trials that are trained alike, in the order given."""
    first: dict[int, TrialResult] = {}
    for trial in trials:
        first.setdefault(trial.first_alike, trial)
    return tuple(first.values())


def complete_of(replicates: Mapping[int, ReplicateResult]) -> tuple[CompleteReplicate, ...]:
    """Return those of some replicates, by seed, that were trained to their end, in the order of the seeds."""
    return tuple(r for _, r in sorted(replicates.items()) if isinstance(r, CompleteReplicate))


def losses(trial: TrialResult) -> tuple[float, ...]:
    """Return the values of a trial's complete replicates in the order of the seeds."""
    return tuple(replicate.value for replicate in trial.complete_replicates)


def loss_of(trial: TrialResult) -> float:
    """Return a complete trial's objective; NaN for one that is not complete."""
    return math.nan if trial.value is None else trial.value
