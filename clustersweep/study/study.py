"""The study file: its types, how it is read, and the definition by which a stored study is known again.

The only place that reads study YAML.
"""

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import pydantic
from annotated_types import Ge, Le, MinLen
from pydantic_core import core_schema

from clustersweep.errors import StudyError
from clustersweep.masses.rules import contradictions
from clustersweep.settings.check import UNIQUE, Seeds, checked, located
from clustersweep.settings.document import Fault
from clustersweep.settings.reader import read_yaml
from clustersweep.study.keys import AXES, WORDS
from clustersweep.study.results import Aggregate, Params, Scalar
from clustersweep.survey.spec import DataSpec, SplitSpec
from clustersweep.training.files.configuration_keys import FORMAT
from clustersweep.training.network import NetworkSpec
from clustersweep.training.rules import section
from clustersweep.training.spec import TrainingSpec

Definition = dict[str, Any]
# The keys that definitions have always held, also at their default. One that came later is left out while it is at
# its default, which is what was done before it existed: so the digests of stored studies stay what they are.
_FIRST_KEYS: Mapping[str, frozenset[str]] = {
    "SplitSpec": frozenset({"test", "validation", "seed", "by"}),
    "NetworkSpec": frozenset(
        [
            "filters",
            "kernel_size",
            "conv_blocks",
            "dense_layers",
            "filters_step",
            "convs_per_block",
            "padding",
            "stride",
            "pool_size",
            "pooling",
            "activation",
            "dropout",
            "dense_units",
            "redshift",
        ]
    ),
    "TrainingSpec": frozenset(
        ["epochs", "patience", "batch_size", "optimizer", "learning_rate", "weight_decay", "augmentation", "loss"]
    ),
    "ObjectiveSpec": frozenset({"metric", "over_seeds"}),
    "LimitsSpec": frozenset({"max_parameters"}),
}
NAME = "^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$"
"""What a study may be called: its run folder has the same name."""


def _search_space_schema(_: Any, handler: pydantic.GetCoreSchemaHandler) -> core_schema.CoreSchema:
    """Allow exactly the axes there are, each a list of values of its key's own type."""
    fields = {}
    for name, axis in AXES.items():
        values = Annotated[tuple[axis.annotation, ...], MinLen(1), UNIQUE]  # type: ignore[name-defined]  # made here
        fields[name] = core_schema.typed_dict_field(handler.generate_schema(values), required=False)
    return core_schema.typed_dict_schema(fields, extra_behavior="forbid")


@dataclass(frozen=True, kw_only=True)
class ObjectiveSpec:
    """What a trial is judged by: its seeds' lowest validation losses, reduced to one value."""

    metric: Literal["val_loss"] = "val_loss"
    over_seeds: Aggregate = "mean"


@dataclass(frozen=True, kw_only=True)
class LimitsSpec:
    """What makes a combination impossible beside its shapes."""

    max_parameters: Annotated[int, Ge(1)] | None = None


@dataclass(frozen=True, kw_only=True)
class ResourcesSpec:
    """What each worker gets. `auto`: a share of a GPU where the cluster has any, else none.

    `deterministic` is of GPUs only: reruns on one GPU give the same bits, at the price of some speed.
    """

    cpus_per_worker: Annotated[int, Ge(1), Le(1024)] = 1
    gpus_per_worker: Literal["auto"] | Annotated[float, Ge(0)] = "auto"
    deterministic: bool = True


# The specs of the other files are plain dataclasses without a configuration, so this one reaches them too.
@pydantic.with_config(pydantic.ConfigDict(extra="forbid"))
@dataclass(frozen=True, kw_only=True)
class Study:
    """What the user asked for; `load_study` makes one, and has checked it."""

    name: Annotated[str, pydantic.Field(alias="study", pattern=NAME)]
    data: DataSpec
    split: SplitSpec = field(default_factory=SplitSpec)
    search_space: Annotated[Mapping[str, tuple[Scalar, ...]], pydantic.GetPydanticSchema(_search_space_schema)]
    network: NetworkSpec = field(default_factory=NetworkSpec)
    training: TrainingSpec = field(default_factory=TrainingSpec)
    seeds: Seeds = (0, 1, 2)
    objective: ObjectiveSpec = field(default_factory=ObjectiveSpec)
    limits: LimitsSpec = field(default_factory=LimitsSpec)
    resources: ResourcesSpec = field(default_factory=ResourcesSpec)

    @property
    def axes(self) -> Mapping[str, tuple[Scalar, ...]]:
        """Values of each axis, in the file's order."""
        return self.search_space


@functools.cache  # building it takes longer than reading a file with it
def _schema() -> pydantic.TypeAdapter[Study]:
    return pydantic.TypeAdapter(Study)


def load_study(path: Path) -> Study:
    """Read a study file. Relative paths in it start from its own folder.

    Raises:
        StudyError: With every problem of the file.
    """
    document = read_yaml(path)
    if document.at(("format",)) == FORMAT:
        rule, remedy = "is a training configuration, not a study", f"Train it: `clustersweep train {path}`."
        raise StudyError(document.problems([Fault((), rule, remedy)]))
    study = checked(document, _schema(), WORDS, contradictions, StudyError)
    in_order = section(document.value, "search_space")  # as in the file, which pydantic forgets
    axes = {axis: study.search_space[axis] for axis in in_order}
    return replace(study, search_space=axes, data=located(study.data, path))


def axis_kind(name: str) -> Literal["integer", "number", "choice"]:
    """Say how the values of an axis are ordered, by its type in the schema."""
    return AXES[name].kind


def axis_choices(name: str) -> tuple[Scalar, ...]:
    """Give all values that the schema allows for an axis of words; empty for numbers."""
    return AXES[name].choices


def specs_for(study: Study, params: Params) -> tuple[NetworkSpec, TrainingSpec]:
    """Give the architecture and the training of one combination."""
    chosen: dict[str, dict[str, Any]] = {"network": {}, "training": {}}
    for name, value in params.items():
        chosen[AXES[name].section][name] = value
    return replace(study.network, **chosen["network"]), replace(study.training, **chosen["training"])


def takes_redshift(study: Study) -> bool:
    """Say whether any network of the study takes the redshift."""
    return any(kind != "none" for kind in study.axes.get("redshift", (study.network.redshift,)))


def stored_specs(definition: Definition, params: Params) -> tuple[NetworkSpec, TrainingSpec]:
    """Return the architecture and the training of one combination of a study that is stored."""
    filled = _filled(definition)
    network = {**filled["network"], **{k: v for k, v in params.items() if AXES[k].section == "network"}}
    training = {**filled["training"], **{k: v for k, v in params.items() if AXES[k].section == "training"}}
    network["dense_units"] = tuple(network["dense_units"])
    return NetworkSpec(**network), TrainingSpec(**training)


def definition(study: Study, data_digest: str) -> Definition:
    """Give everything that decides what a study's results mean, defaults filled in, as JSON values.

    Leaves out where the data are, the seeds and the resources. The values of an axis are sorted; a key that
    is an axis is left out of its section, where its value is never used.
    """
    axes = {name: sorted({_canonical(v, axis_kind(name)) for v in values}) for name, values in study.axes.items()}
    return {
        **_data(study, data_digest),
        "search_space": axes,
        "network": {key: value for key, value in _written(study.network).items() if key not in axes},
        "training": {key: value for key, value in _written(study.training).items() if key not in axes},
        "objective": _written(study.objective),
        "limits": _written(study.limits),
    }


def definition_digest(definition: Definition) -> str:
    """Give 16 hexadecimal digits that stand for a definition, or for any JSON value."""
    canonical = json.dumps(definition, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def replicate_key(study: Study, data_digest: str, params: Params, seed: int) -> str:
    """Give the digest of what decides the numbers of one replicate, and of nothing else.

    It stays when axes, their values or the seeds of the study change around it.
    """
    network, training = specs_for(study, params)
    # Keys at their default are left out, so that a key that is added later, whose default changes nothing, leaves
    # earlier replicates theirs.
    combination = {
        "network": {k: v for k, v in _plain(network).items() if v != _plain(NetworkSpec())[k]},
        "training": {k: v for k, v in _plain(training).items() if v != _plain(TrainingSpec())[k]},
        "seed": seed,
    }
    return definition_digest(_data(study, data_digest) | combination)


def changes(old: Definition, new: Definition) -> tuple[str, ...]:
    """List what differs between two definitions: `training.epochs: 6 -> 8`."""
    before, after = _leaves(_filled(old)), _leaves(_filled(new))
    keys = [key for key in dict.fromkeys([*before, *after]) if before.get(key) != after.get(key)]
    return tuple(f"{key}: {before.get(key, 'absent')} -> {after.get(key, 'absent')}" for key in keys)


def extends(old: Definition, new: Definition) -> bool:
    """Say whether a definition keeps all of an older one, having at most more values on the same axes."""
    old, new = _filled(old), _filled(new)
    before, after = old["search_space"], new["search_space"]
    same = {**old, "search_space": None} == {**new, "search_space": None} and before.keys() == after.keys()
    return same and all(set(values) <= set(after[axis]) for axis, values in before.items())


def study_schema() -> dict[str, Any]:
    """Give the JSON Schema of study files, with which editors complete and check them."""
    return WORDS.schema(_schema().json_schema())


def _filled(definition: Definition) -> Definition:
    """Give keys that did not exist when a definition was stored the default, which is what they did then."""
    defaults = {
        "split": SplitSpec(),
        "network": NetworkSpec(),
        "training": TrainingSpec(),
        "objective": ObjectiveSpec(),
        "limits": LimitsSpec(),
    }
    axes = definition["search_space"]
    filled = {
        section: {k: v for k, v in _plain(spec).items() if k not in axes} | definition.get(section, {})
        for section, spec in defaults.items()
    }
    return definition | filled


def _data(study: Study, data_digest: str) -> dict[str, Any]:
    data = {"digest": data_digest, "rebin": study.data.rebin, "transform": study.data.transform}
    return {"data": data, "split": _written(study.split)}


def _written(spec: Any) -> dict[str, Any]:
    """Give a flat spec as definitions and keys hold it: without keys that came later and are at their default."""
    first, default = _FIRST_KEYS[type(spec).__name__], _plain(type(spec)())
    return {key: value for key, value in _plain(spec).items() if key in first or value != default[key]}


def _plain(spec: Any) -> dict[str, Any]:
    """Give a flat spec as JSON values, numbers as their field's type has them."""
    kinds: Mapping[str, str] = _kinds(type(spec))  # type: ignore[arg-type]  # mypy takes classes for unhashable
    return {name: _canonical(value, kinds[name]) for name, value in vars(spec).items()}


@functools.cache  # asked for every replicate of a plan, and evaluating type hints takes most of a millisecond
def _kinds(spec: type) -> Mapping[str, str]:
    return {name: "number" if hint is float else "other" for name, hint in get_type_hints(spec).items()}


def _canonical(value: Any, kind: str) -> Any:
    if kind == "number":
        return float(value) + 0.0  # 1 and 1.0 are one number; so are 0.0 and -0.0
    return list(value) if isinstance(value, tuple) else value


def _leaves(definition: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Flatten nested sections to dotted keys, with their values as text."""
    found: dict[str, str] = {}
    for key, value in definition.items():
        if isinstance(value, Mapping):
            found |= _leaves(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return found
