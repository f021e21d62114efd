"""The study file: its types, and how it is read. The only place that reads study YAML."""

import functools
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import pydantic
from annotated_types import Ge, Le, MinLen
from pydantic_core import core_schema

from clustersweep.errors import StudyError
from clustersweep.settings.check import UNIQUE, Seeds, checked
from clustersweep.settings.document import Fault, Json, Key
from clustersweep.settings.reader import read_yaml
from clustersweep.settings.rules import is_number, repeated, section
from clustersweep.settings.vocabulary import Vocabulary
from clustersweep.study.keys import KEYS, Axis, Scalar, axis_of
from clustersweep.study.objective import Metric, ObjectiveSpec
from clustersweep.study.race import ExtraSeeds
from clustersweep.study.stopping import StopEarly
from clustersweep.study.task import Axes, Task, Tasks

NAME = "^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$"
"""What a study may be called: its run folder has the same name."""
MAX_COMBINATIONS = 100_000


@dataclass(frozen=True, kw_only=True)
class ResourcesSpec:
    """What each worker gets. `auto`: a share of a GPU where the cluster has any, else none.

    `deterministic` is of GPUs only: reruns on one GPU give the same bits, at the price of some speed.
    """

    cpus_per_worker: Annotated[int, Ge(1), Le(1024)] = 1
    gpus_per_worker: Literal["auto"] | Annotated[float, Ge(0)] = "auto"
    deterministic: bool = True


@dataclass(frozen=True, kw_only=True)
class Study:
    """What the user asked for; `read_study` makes one, and has checked it.

    Attributes:
        name: Its own, and its run folder's.
        task: What it trains, and what makes one trial better than another.
        search_space: Values of each axis, in the file's order.
        seeds: Each combination is trained once with each.
        resources: What each worker gets.
        stop_early: How trials are stopped by comparison with others; None: none is.
        extra_seeds: How far the best trials get further seeds; None: they get none.
        where: Its file as it was named, for messages.
    """

    name: str
    task: Task
    search_space: Axes
    seeds: tuple[int, ...] = (0, 1, 2)
    resources: ResourcesSpec = field(default_factory=ResourcesSpec)
    stop_early: StopEarly | None = None
    extra_seeds: ExtraSeeds | None = None
    where: str = field(default="", compare=False)

    @property
    def axes(self) -> Axes:
        """Values of each axis, in the file's order."""
        return self.search_space

    @property
    def kinds(self) -> Mapping[str, Axis]:
        """Of what kind each axis is."""
        known = self.task.axes
        return {name: axis_of(values) if known is None else known[name] for name, values in self.axes.items()}

    @property
    def objective(self) -> ObjectiveSpec:
        """What makes one trial better than another."""
        return self.task.objective

    @property
    def metric(self) -> Metric:
        """What a replicate is judged by."""
        return self.task.metric


def read_study(path: Path, tasks: Tasks) -> Study:
    """Read a study file. Relative paths in it start from its own folder.

    Args:
        path: The file.
        tasks: Tells what the study trains.

    Raises:
        StudyError: With every problem of the file.
    """
    document = read_yaml(path)
    content = document.value if isinstance(document.value, dict) else {}
    if document.at(("format",)) == "clustersweep-training":
        rule, remedy = "is a training configuration, not a study", f"Train it: `clustersweep train {path}`."
        raise StudyError(document.problems([Fault((), rule, remedy)]))
    task = tasks(content)
    words, faults = _words(task), functools.partial(_faults, task=task, path=path)
    found = vars(checked(document, _schema(task), words, faults, StudyError))
    own = {one.name: found.pop(one.name) for one in _sections(task)}
    in_order = section(document.value, "search_space")  # as in the file, which pydantic forgets
    axes = {axis: found["search_space"][axis] for axis in in_order}
    if task.axes is None:  # 1 and 2.5 on one axis are both numbers
        axes = {axis: _alike(values) for axis, values in axes.items()}
    return Study(**{**found, "search_space": axes, "task": task.of_file(own, path), "where": str(path)})


def study_schema(task: type[Task]) -> dict[str, Any]:
    """Return the JSON Schema of a task's study files, with which editors complete and check them."""
    return _words(task).schema(_schema(task).json_schema())


@functools.cache  # building it takes longer than reading a file with it
def _schema(task: type[Task]) -> pydantic.TypeAdapter[Any]:
    """Return the type of a task's study files: the task's sections among those that every study has."""
    hints = get_type_hints(task, include_extras=True)
    sections = {one.name: (hints[one.name], _default(one)) for one in _sections(task)}
    objective = sections.pop("objective")
    parts = {
        "name": (Annotated[str, pydantic.Field(alias="study", pattern=NAME)], field()),
        **sections,
        "search_space": (Annotated[Mapping[str, Any], _search_space(task)], field()),
        "seeds": (Seeds, field(default=(0, 1, 2))),
        "objective": objective,
        "resources": (ResourcesSpec, field(default_factory=ResourcesSpec)),
        "stop_early": (StopEarly | None, field(default=None)),
        "extra_seeds": (ExtraSeeds | None, field(default=None)),
    }
    made = make_dataclass("Study", [(name, *part) for name, part in parts.items()], kw_only=True)
    # The specs are plain dataclasses without a configuration, so this one reaches them too.
    return pydantic.TypeAdapter(pydantic.with_config(pydantic.ConfigDict(extra="forbid"))(made))


def _sections(task: type[Task]) -> list[Field[Any]]:
    """Return those fields of a task that are sections of its study files."""
    every = fields(task)  # type: ignore[arg-type]  # tasks are dataclasses
    return [one for one in every if one.metadata.get("section", True)]


def _default(one: Field[Any]) -> Any:
    """Return a field with the default of another one; without any where that has none."""
    if one.default is not MISSING:
        return field(default=one.default)
    return field() if one.default_factory is MISSING else field(default_factory=one.default_factory)


def _alike(values: tuple[Scalar, ...]) -> tuple[Scalar, ...]:
    return tuple(float(value) for value in values) if axis_of(values).kind == "number" else values


def _search_space(task: type[Task]) -> pydantic.GetPydanticSchema:
    """Allow exactly the axes there are, each a list of values of its key's own type; or any, where there are none."""

    def schema(_: Any, handler: pydantic.GetCoreSchemaHandler) -> core_schema.CoreSchema:
        if task.axes is None:  # the task's rules tell what is wrong with a value
            return handler.generate_schema(dict[str, Annotated[tuple[Any, ...], MinLen(1), UNIQUE]])
        found = {}
        for name, axis in task.axes.items():
            values = Annotated[tuple[axis.annotation, ...], MinLen(1), UNIQUE]  # type: ignore[name-defined]  # made here
            found[name] = core_schema.typed_dict_field(handler.generate_schema(values), required=False)
        return core_schema.typed_dict_schema(found, extra_behavior="forbid")

    return pydantic.GetPydanticSchema(schema)


@functools.cache
def _words(task: type[Task]) -> Vocabulary:
    axes = {name: axis.section for name, axis in (task.axes or {}).items()}
    # In the order in which people write them.
    keys = {"study": KEYS["study"], **task.keys, **KEYS, **{key: task.keys[key] for key in task.keys if key in KEYS}}
    return Vocabulary(file="a study", begin="Begin with `study: a-name`.", keys=keys, axes=axes)


def _faults(study: Json, task: type[Task], path: Path) -> Iterator[Fault]:
    """Find the faults that no single key shows; what has the wrong type is told elsewhere."""
    if not isinstance(study, dict):
        return
    yield from task.faults(study, path)
    yield from _search_space_faults(section(study, "search_space"), study, task)
    yield from repeated(("seeds",), study.get("seeds"))
    yield from _stopping_faults(section(study, "stop_early"), study)
    yield from _race_faults(section(study, "extra_seeds"), study)
    gpus: Any = section(study, "resources").get("gpus_per_worker")
    if is_number(gpus) and gpus > 1:
        rule = "must be at most 1: a worker trains on one GPU, and a second would be idle"
        remedy = "Write 1; there are as many workers as the GPUs have room for."
        yield Fault(("resources", "gpus_per_worker"), rule, remedy)


def _stopping_faults(rule: dict[str, Any], study: dict[str, Json]) -> Iterator[Fault]:
    rungs, seeds = rule.get("rungs"), study.get("seeds", [0, 1, 2])
    if isinstance(rungs, list) and all(map(is_number, rungs)) and any(b <= a for a, b in itertools.pairwise(rungs)):
        remedy = "Write each epoch once, the first one first."
        yield Fault(("stop_early", "rungs"), "must rise from one rung to the next", remedy)
    asked = isinstance(study.get("stop_early"), dict) and rule.get("spare_ties", True) is True
    if asked and rule.get("noise") is None and isinstance(seeds, list) and len(seeds) == 1:
        why = "needs two seeds at least: what the noise of the seeds cannot tell from the best is not stopped"
        remedy = "Add seeds; or give the standard deviation of a trial's value over seeds as `noise`, or write "
        yield Fault(("stop_early",), why, remedy + "`spare_ties: false`.", silent=True)


def _race_faults(rule: dict[str, Any], study: dict[str, Json]) -> Iterator[Fault]:
    if not isinstance(study.get("extra_seeds"), dict):
        return
    over_seeds, seeds = section(study, "objective").get("over_seeds", "mean"), study.get("seeds", [0, 1, 2])
    if over_seeds in ("min", "max"):
        why = f"needs an objective over the seeds that more seeds make surer, and objective.over_seeds is {over_seeds}"
        yield Fault(("extra_seeds",), why, "Write `over_seeds: mean` or `median`.", silent=True)
    if isinstance(seeds, list) and len(seeds) == 1:
        why, remedy = "needs two seeds at least, which tell the noise", "Add a seed to `seeds`."
        yield Fault(("extra_seeds",), why, remedy, silent=True)
    most = rule.get("at_most", ExtraSeeds.at_most)
    if isinstance(seeds, list) and is_number(most) and most <= len(seeds):
        why = f"must be more than the {len(seeds)} seeds that every trial has"
        yield Fault(("extra_seeds", "at_most"), why, "Write a larger number.")


def _search_space_faults(axes: dict[str, Any], study: dict[str, Json], task: type[Task]) -> Iterator[Fault]:
    key: Key = ("search_space",)
    if study.get("search_space") == {}:
        yield Fault(key, "must have at least one axis", "Add one, for instance `filters: [10, 20, 30]`.", silent=True)
    for axis, values in axes.items():
        yield from repeated((*key, axis), values)
        if axis in (task.axes or ()) and axis in section(study, home := task.axes[axis].section):  # type: ignore[index]
            yield Fault((home, axis), "is also an axis of `search_space`", "Remove it here, or remove the axis.")
    combinations = math.prod(len(values) for values in axes.values() if isinstance(values, list))
    if combinations > MAX_COMBINATIONS:
        rule = f"must give at most {MAX_COMBINATIONS:,} combinations; it gives {combinations:,}"
        yield Fault(key, rule, "Use fewer axes or fewer values.", silent=True)
