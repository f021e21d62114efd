"""The seam: what the engine asks of whatever a study trains, and all that it knows of it. Nothing heavy here.

A task is a frozen dataclass whose fields are its own sections of the study file: each a dataclass with a default,
unless the file must have it. It travels to the workers, so it can be pickled.
"""

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

from clustersweep.settings.document import Fault
from clustersweep.study.events import Event
from clustersweep.study.keys import Axis, Params, Scalar
from clustersweep.study.objective import Metric, ObjectiveSpec

Axes = Mapping[str, tuple[Scalar, ...]]


@dataclass(frozen=True)
class Infeasible:
    """A combination that arithmetic rejects, and the evidence.

    Attributes:
        rule: Short name of what it breaks, such as `kernel_exceeds_input`.
        layer: Name of the first part that cannot be built.
        trace: `(name, output shape)` of the parts before it, in their order.
        reason: The same as a sentence.
    """

    rule: str
    layer: str
    trace: tuple[tuple[str, tuple[int, ...]], ...]
    reason: str


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A combination that can be trained.

    Attributes:
        spec: What `Trainers.trainer` makes its trainer from; opaque to the engine.
        epochs: Most epochs of a replicate.
        cost_flops: Estimated floating-point operations of all of them.
        amounts: Units of each part of an epoch's work (`study.cost.PARTS`), `(part,)`.
        compiled: How many layers are compiled before the first epoch.
        facts: Whole numbers that are shown and stored with it, by name (`parameters`).
    """

    spec: Any
    epochs: int
    cost_flops: float
    amounts: tuple[float, ...]
    compiled: int
    facts: Mapping[str, int]


class DataHeader(Protocol):
    """What is known of the data before they are read."""

    @property
    def digest(self) -> str | None:
        """Digest of the content; None where only reading it would tell."""

    @property
    def source(self) -> str:
        """The data in words."""

    @property
    def most_bytes(self) -> int:
        """At least as much memory as the data take."""


class Data(Protocol):
    """The data as the workers get them: shipped once to every machine."""

    @property
    def bytes(self) -> int:
        """How much memory they take."""

    @property
    def label_variance(self) -> float | None:
        """The loss of predicting a constant; None where that is not known."""


class Code(Protocol):
    """Code of one's own that a study runs."""

    @property
    def digest(self) -> str:
        """Digest of its files."""

    @property
    def words(self) -> str:
        """What it is and where, in words."""

    @property
    def files(self) -> Mapping[str, bytes]:
        """Its files, by name."""


class Trainer(Protocol):
    """Trains replicates of one combination, one after another."""

    def replicate(
        self,
        seed: int,
        *,
        key: str,
        checkpoint: bytes | None,
        checkpoint_every_s: float,
        until: int | None = None,
        stop: Callable[[], bool],
    ) -> Iterator[Event]:
        """Train a replicate, from its checkpoint where that is whole and its own.

        Args:
            seed: Decides all that is random in it.
            key: The replicate's identity, kept in its checkpoints.
            checkpoint: Where an earlier run got to.
            checkpoint_every_s: Least time between two checkpoints.
            until: Stop with a checkpoint after this epoch, or any later one; None: train to the end.
            stop: Asked after each epoch; when true, a last checkpoint is given and the replicate ends.

        Yields:
            `EpochEnd` and `Checkpoint` in time order; then one of `Finished`, `Stopped`, which always follows a
            checkpoint, and `Failed`.
        """


class Trainers(Protocol):
    """What a worker's process is for a task: prepared, with the data where they are trained on."""

    @property
    def gpu_share(self) -> float:
        """Share of a GPU that the process has."""

    def trainer(self, spec: Any) -> Trainer:
        """Return a combination's trainer; the one before is not used any more."""


class Task(Protocol):
    """What a study trains. Its fields are its sections of the study file."""

    axes: ClassVar[Mapping[str, Axis] | None]
    """The keys that may be axes; None where any names may, whose values say of what kind they are."""
    keys: ClassVar[Mapping[str, str]]
    """What each of its keys means, dotted (`network.filters`)."""

    costs_known: ClassVar[bool]
    """Whether what a combination costs can be estimated before it has run."""
    prepares: ClassVar[str]
    """What `load` prepares, in words; empty where it has nothing to do."""

    @property
    def code(self) -> Code | None:
        """The code of one's own that it runs; None where all of it is clustersweep's."""

    @property
    def lays_out_by_code(self) -> bool:
        """Whether `candidate` runs code of one's own."""

    @property
    def source(self) -> str:
        """Where its data, or its code, come from, in words; for where nothing of them can be read."""

    def absent(self) -> Path | None:
        """Return a file of the data that is not there; None where all are."""

    @property
    def objective(self) -> ObjectiveSpec:
        """What makes one trial better than another: the section of that name, one of its fields."""

    @property
    def metric(self) -> Metric:
        """What a replicate is judged by, and how that is shown."""

    # --- the study file and the definition

    @classmethod
    def faults(cls, study: Mapping[str, Any], path: Path) -> Iterator[Fault]:
        """Find what no single key of its sections shows; what has the wrong type is told elsewhere.

        Args:
            study: What the file holds.
            path: The file.
        """

    @classmethod
    def of_file(cls, sections: Mapping[str, Any], path: Path) -> Self:
        """Return the task of a study file: its sections, checked."""

    @classmethod
    def of_definition(cls, definition: Mapping[str, Any]) -> Self:
        """Return the task of a stored definition, its defaults filled in; it knows what it would train, not on what."""

    @classmethod
    def defaults(cls) -> Mapping[str, Any]:
        """Return its sections that a definition may lack keys of, as they are by default."""

    def definition(self, data_digest: str, axes: Collection[str]) -> dict[str, Any]:
        """Return what decides what its results mean, as JSON values; keys that are axes are left out."""

    def identity(self, data_digest: str, params: Params) -> dict[str, Any]:
        """Return what decides the numbers of a combination, as JSON values, and nothing else."""

    # --- combinations

    def candidate(self, params: Params, header: Any) -> Candidate | Infeasible:
        """Lay out one combination by arithmetic, for data of which the task has read the header."""

    def effective(self, params: Params) -> Hashable:
        """Return what is equal for combinations whose trainings are equal to the last bit."""

    def why_same(self, params: Params, other: Params) -> str:
        """Say why two combinations, which are effectively equal, are."""

    def all_impossible(self, header: Any) -> tuple[str, str]:
        """Say what no combination is possible for, and what to do about it."""

    # --- data, in the driver

    def check_data(self) -> None:
        """Make sure, before anything is trained, that the data allow what the study asks for.

        Raises:
            DataError: They do not.
        """

    def header(self, axes: Axes) -> Any:
        """Return a `DataHeader`, made without reading the data.

        Raises:
            DataError: They cannot be read.
        """

    def with_digest(self, header: Any, axes: Axes, surveys: Path) -> Any:
        """Return a header with the digest, for which the data are read.

        Raises:
            DataError: They cannot be read, or are not what they should be.
        """

    def load(self, axes: Axes, surveys: Path, progress: Callable[[int, int], None] | None = None) -> Data:
        """Read the data, or make them, and prepare them for training.

        Args:
            axes: Of the study.
            surveys: Folder in which what is made is kept.
            progress: Called with what is done and the total while they are made.

        Raises:
            DataError: They cannot be read, or are not what they should be.
        """

    # --- workers

    def trainers(self, data: Any, *, cpus: int, gpus: float | str, deterministic: bool) -> Trainers:
        """Prepare this process, in which nothing was trained before.

        Args:
            data: What `load` gave.
            cpus: Threads to use.
            gpus: Share of a GPU to use, or `auto`: a whole one where there is any.
            deterministic: Whether reruns on a GPU give the same bits.

        Raises:
            WorkersError: A GPU is asked for, and none is seen.
        """

    def curve_of(self, checkpoint: bytes, key: str) -> Sequence[tuple[float, float]]:
        """Return `(loss, val_loss)` of every epoch of a replicate until its checkpoint.

        Raises:
            DamagedCheckpointError: It is not whole, or another replicate's.
        """


Tasks = Callable[[Mapping[str, Any]], type[Task]]
"""Tells the task of a study by the content of its file, or of its stored definition."""


def same(task: Task, combinations: Sequence[Params]) -> Iterator[tuple[int, int, str]]:
    """Yield the place of each combination that is trained as an earlier one is, the first such one's, and why."""
    first: dict[Hashable, int] = {}
    for place, params in enumerate(combinations):
        of = first.setdefault(task.effective(params), place)
        if of != place:
            yield place, of, task.why_same(combinations[of], params)
