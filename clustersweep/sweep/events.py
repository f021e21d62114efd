"""What a sweep tells whoever watches it. Plain values."""

from dataclasses import dataclass

from clustersweep.study.events import EpochEnd
from clustersweep.study.race import Race
from clustersweep.study.results import PausedReplicate, Replicate, ReplicateResult, StoppedAt, Trial
from clustersweep.study.stopping import Rung


@dataclass(frozen=True)
class ReplicateBegan:
    """A worker took up a replicate; `epoch` is where a checkpoint lets it go on from, 0 for a new one."""

    worker: str
    replicate: Replicate
    epoch: int
    host: str
    pid: int


@dataclass(frozen=True)
class EpochDone:
    """A worker ended an epoch."""

    worker: str
    replicate: Replicate
    event: EpochEnd


@dataclass(frozen=True)
class ReplicateDone:
    """A replicate ended."""

    worker: str
    replicate: Replicate
    result: ReplicateResult


@dataclass(frozen=True)
class TrialDone:
    """A trial ended; `value` is None when it failed."""

    number: int
    replicate: Replicate
    value: float | None
    results: tuple[ReplicateResult, ...]


@dataclass(frozen=True)
class ReplicatePaused:
    """A replicate got to a rung."""

    worker: str
    replicate: Replicate
    paused: PausedReplicate


@dataclass(frozen=True)
class RungDecided:
    """All trials got to a rung: which go on is decided."""

    rung: Rung


@dataclass(frozen=True)
class TrialStopped:
    """A rung stopped a trial."""

    number: int
    replicate: Replicate
    stopped: StoppedAt


@dataclass(frozen=True)
class RaceLooked:
    """All that are in the race for further seeds have theirs.

    Attributes:
        race: What was seen until now, trials by their number.
        work: What is to be trained because of it: each trial with its seeds.
    """

    race: Race
    work: tuple[tuple[Trial, tuple[int, ...]], ...]


@dataclass(frozen=True)
class WorkerLost:
    """A worker died; its replicate goes on elsewhere, if `again`."""

    worker: str
    replicate: Replicate
    reason: str
    again: bool


@dataclass(frozen=True)
class StorageAway:
    """The database does not answer; the sweep waits for it, so many seconds at most."""

    reason: str
    patience_s: float


@dataclass(frozen=True)
class StorageBack:
    """The database answers again, after so many seconds."""

    seconds: float


SweepEvent = (
    ReplicateBegan | EpochDone | RaceLooked | ReplicatePaused | ReplicateDone | RungDecided | TrialDone | TrialStopped
    | WorkerLost | StorageAway | StorageBack
)  # fmt: skip
