"""The task of a study that names a function: its section of the study file, and what the engine asks of it."""

import json
import os
import socket
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

from annotated_types import Ge

from clustersweep.errors import Problem, StudyError, WorkersError, first_line
from clustersweep.own import source
from clustersweep.own.rules import faults
from clustersweep.own.run import OwnTrainer, training_part, unpacked
from clustersweep.own.source import Source
from clustersweep.settings.document import Fault
from clustersweep.study.cost import in_parts
from clustersweep.study.keys import Axis, Params, Scalar
from clustersweep.study.objective import Direction, Metric, ObjectiveSpec, plain_metric
from clustersweep.study.task import Axes, Candidate, Infeasible

KEYS: Mapping[str, str] = {
    "task": "The function that trains, `module:function`: of a file beside the study, or of an installed package.",
    "version": "Of what the function computes: raise it when that changes, and everything is trained anew.",
    "settings": "Handed to the function as they stand here, as `run.settings`.",
    "exclude": "Combinations that are not trained: those that match all of a rule's `when`.",
    "exclude.when": "For each axis that the rule is about, the value or the list of values that it excludes.",
    "exclude.reason": "Why, for the report.",
    "feasible": "A function, `module:function`, of params and settings: why a combination cannot be, else None.",
    "search_space": "The axes: any names, each with the values to try: numbers, words, or true and false.",
    "objective.metric": "What is judged: a name that the function reports.",
    "objective.unit": "Its unit, as it is to be printed.",
    "objective.direction": "Which values are better: minimize or maximize.",
}
EPOCHS = "epochs"
"""An axis or a setting of this name is taken to be the number of epochs, where progress is shown."""
EPOCH_UNITS = 2e8
"""All epochs are taken to cost alike, before any is measured: the order of work needs no more."""


@dataclass(frozen=True, kw_only=True)
class OwnObjective(ObjectiveSpec):
    """What a trial is judged by: the best value of a metric that the function reports, reduced over the seeds."""

    metric: str = "val_loss"  # type: ignore[assignment]  # any name, where the CNNs have one
    unit: str = ""
    direction: Direction = "minimize"


@dataclass(frozen=True, kw_only=True)
class ExcludeSpec:
    """Combinations that are not trained."""

    when: Mapping[str, Any]
    reason: str = ""

    def applies(self, params: Params) -> bool:
        """Say whether a combination is one of them."""
        return all(any(_equal(params[axis], value) for value in _listed(values)) for axis, values in self.when.items())

    def __str__(self) -> str:
        told = (f"{axis} = {' or '.join(map(str, _listed(values)))}" for axis, values in self.when.items())
        return self.reason or f"the study excludes {' and '.join(told)}"


@dataclass(frozen=True)
class OwnHeader:
    """What is known of the data: that they are the function's own."""

    source: str
    digest: str = ""
    most_bytes: int = 1000


@dataclass(frozen=True)
class NoData:
    """What is shipped beside the task: nothing, as the function reads its own data."""

    bytes: int = 1000
    label_variance: float | None = None


@dataclass(frozen=True, kw_only=True)
class OwnTask:
    """A function that trains, and what it is given.

    Attributes:
        task: `module:function`.
        version: Of what it computes.
        settings: What it is given beside the combination and the seed.
        exclude: Combinations that are not trained.
        feasible: `module:function` that says which others cannot be.
        objective: What makes one trial better than another.
        code: The code of `task`, found but not imported; None of a stored definition.
        feasible_code: That of `feasible`.
    """

    task: str
    version: Annotated[int, Ge(1)] = 1
    settings: dict[str, Any] = field(default_factory=dict)
    exclude: tuple[ExcludeSpec, ...] = ()
    feasible: str | None = None
    objective: OwnObjective = field(default_factory=OwnObjective)
    code: Source | None = field(default=None, compare=False, metadata={"section": False})
    feasible_code: Source | None = field(default=None, compare=False, metadata={"section": False})

    axes: ClassVar[Mapping[str, Axis] | None] = None
    keys: ClassVar[Mapping[str, str]] = KEYS
    costs_known: ClassVar[bool] = False
    prepares: ClassVar[str] = ""

    @property
    def metric(self) -> Metric:
        """See `Task`."""
        return plain_metric(self.objective.metric, self.objective.unit, self.objective.direction)

    @property
    def lays_out_by_code(self) -> bool:
        """See `Task`."""
        return self.feasible is not None

    @property
    def source(self) -> str:
        """See `Task`."""
        return "" if self.code is None else self.code.words

    def absent(self) -> Path | None:
        """See `Task`."""
        return None

    # --- the study file and the definition: see `study.task.Task`

    @classmethod
    def faults(cls, study: Mapping[str, Any], path: Path) -> Iterator[Fault]:
        """See `Task`."""
        return faults(study, path.parent)

    @classmethod
    def of_file(cls, sections: Mapping[str, Any], path: Path) -> "OwnTask":
        """See `Task`. Finds the code, and imports nothing."""
        given = dict(sections)
        given["code"] = source.find(given["task"], path.parent, ("run",))
        if given["feasible"] is not None:
            given["feasible_code"] = source.find(given["feasible"], path.parent, ("params", "settings"))
        return cls(**given)

    @classmethod
    def of_definition(cls, definition: Mapping[str, Any]) -> "OwnTask":
        """See `Task`."""
        names = ("task", "version", "settings")
        given = {name: definition[name] for name in names}
        return cls(**given, objective=OwnObjective(**definition["objective"]))

    @classmethod
    def defaults(cls) -> Mapping[str, Any]:
        """See `Task`."""
        return {"objective": OwnObjective()}

    def definition(self, data_digest: str, axes: Collection[str]) -> dict[str, Any]:
        """See `Task`."""
        found: dict[str, Any] = {"task": self.task, "version": self.version, "settings": self.settings}
        if self.exclude:
            found["exclude"] = [{"when": dict(rule.when)} for rule in self.exclude]
        if self.feasible is not None:
            found["feasible"] = self.feasible
        return found

    def identity(self, data_digest: str, params: Params) -> dict[str, Any]:
        """See `Task`."""
        judged = {"metric": self.objective.metric, "direction": self.objective.direction}
        own = {"task": self.task, "version": self.version, "settings": self.settings, "objective": judged}
        return {**own, "params": dict(params)}

    # --- combinations

    def candidate(self, params: Params, header: OwnHeader) -> Candidate | Infeasible:
        """See `Task`.

        Raises:
            StudyError: `feasible` cannot be asked.
        """
        for rule in self.exclude:
            if rule.applies(params):
                return Infeasible("exclude", "", (), str(rule))
        reason = self._why_not(params)
        if reason is not None:
            return Infeasible("feasible", "", (), reason)
        told = {**self.settings, **params}.get(EPOCHS)
        count = told if isinstance(told, int) and told > 0 else 1
        return Candidate(
            spec=dict(params),
            epochs=count,
            cost_flops=float(count),
            amounts=in_parts({"scaling": EPOCH_UNITS}),
            compiled=0,
            facts={},
        )

    def _why_not(self, params: Params) -> str | None:
        if self.feasible_code is None:
            return None
        try:
            asked = source.load(self.feasible_code)
            said = asked(dict(params), json.loads(json.dumps(self.settings)))
        except Exception as error:
            combination = ", ".join(f"{name} = {value}" for name, value in params.items())
            rule = f"failed for {combination}: {type(error).__name__}: {first_line(error)}"
            raise self._not_asked(rule, "Mend it: it is asked here, not on a worker.") from error
        if said is not None and not isinstance(said, str):
            rule = f"must return why a combination cannot be, or None; it returned {said!r}"
            raise self._not_asked(rule, "Return None for what can be trained.")
        return said or None

    def _not_asked(self, rule: str, remedy: str) -> StudyError:
        where = self.feasible_code.path if self.feasible_code else ""
        return StudyError([Problem(where, "feasible", str(self.feasible), rule, remedy)])

    def effective(self, params: Params) -> Hashable:
        """See `Task`. Nothing is known of combinations that come to the same."""
        return tuple(sorted((name, str(type(value)), value) for name, value in params.items()))

    def why_same(self, params: Params, other: Params) -> str:
        """See `Task`."""
        return "they are given the same"

    def all_impossible(self, header: OwnHeader) -> tuple[str, str]:
        """See `Task`."""
        return "the study's own `exclude` and `feasible`", "Exclude fewer, or add values to an axis"

    # --- data, in the driver

    def check_data(self) -> None:
        """See `Task`. The function reads its own."""

    def header(self, axes: Axes) -> OwnHeader:
        """See `Task`."""
        return OwnHeader(self.source)

    def with_digest(self, header: OwnHeader, axes: Axes, surveys: Path) -> OwnHeader:
        """See `Task`."""
        return header

    def load(self, axes: Axes, surveys: Path, progress: Callable[[int, int], None] | None = None) -> NoData:
        """See `Task`."""
        return NoData()

    # --- workers

    def trainers(self, data: NoData, *, cpus: int, gpus: float | str, deterministic: bool) -> "OwnTrainers":
        """See `Task`. Imports the code.

        Raises:
            WorkersError: It cannot be imported here.
        """
        if self.code is None:
            raise ValueError("a task that was read from the storage trains nothing")
        os.environ["OMP_NUM_THREADS"] = str(cpus)  # numpy, scikit-learn, torch; TensorFlow reads it, too
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # pages about what is no fault
        try:
            function = source.load(self.code)
        except (Exception, SystemExit) as error:
            raise WorkersError(self._cannot_import(self.code, error)) from None
        return OwnTrainers(self, function, self.code, 0.0 if isinstance(gpus, str) else float(gpus))

    @staticmethod
    def _cannot_import(code: Source, error: BaseException) -> str:
        what = f"on {socket.gethostname()} the module {code.module} ({code.path}) cannot be imported"
        why = f"{type(error).__name__}: {first_line(error)}"
        if not isinstance(error, ImportError):
            return f"{what}: {why}. Mend it"
        travels = f"{code.path} itself travels there" if code.beside else "it has to be installed there"
        remedy = "what it imports beyond Python's own modules has to be installed on every machine that trains"
        return f"{what}: {why}. {travels[0].upper()}{travels[1:]}; {remedy}"

    def curve_of(self, checkpoint: bytes, key: str) -> Sequence[tuple[float, float]]:
        """See `Task`. Of a replicate that has to begin again nothing."""
        found = unpacked(checkpoint, key)
        name = self.objective.metric
        return [] if found.state is None else [(training_part(name, epoch), epoch[name]) for epoch in found.epochs]


class OwnTrainers:
    """The imported function; see `study.task.Trainers`."""

    def __init__(self, task: OwnTask, function: Callable[..., object], code: Source, gpu_share: float) -> None:
        self.gpu_share = gpu_share
        self._task, self._function, self._code = task, function, code

    def trainer(self, spec: Params) -> OwnTrainer:
        """See `study.task.Trainers`."""
        task = self._task
        return OwnTrainer(self._function, spec, task.settings, task.metric, self._code.digest, self._code.path)


def _listed(values: Any) -> list[Any]:
    return values if isinstance(values, list) else [values]


def _equal(value: Scalar, other: Any) -> bool:
    return isinstance(value, bool) == isinstance(other, bool) and value == other
