"""The training configuration: what `export` writes and `train` reads, typed and versioned. No TensorFlow here."""

import functools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import pydantic
import yaml
from annotated_types import Ge, Len

from clustersweep.errors import ConfigurationError
from clustersweep.settings.check import Seeds, checked
from clustersweep.settings.document import Fault, Json
from clustersweep.settings.reader import read_yaml
from clustersweep.settings.rules import section
from clustersweep.study.task import Infeasible
from clustersweep.survey.spec import DataSpec, SplitSpec, with_absolute_paths
from clustersweep.training.data import Scaling
from clustersweep.training.files.configuration_keys import FORMAT, KEYS, VERSION, WORDS
from clustersweep.training.files.configuration_rules import cross_checks, foreign, simulated_pixels
from clustersweep.training.network import NetworkSpec, layers
from clustersweep.training.spec import OutliersSpec, ProbabilisticSpec, TrainingSpec

T = TypeVar("T")

_Shape = Annotated[tuple[Annotated[int, Ge(1)], ...], Len(3, 3)]


@dataclass(frozen=True, kw_only=True)
class Tie:
    """A trial that the noise of the seeds cannot tell from the exported one; `value` in dex^2."""

    trial: int
    value: float


@dataclass(frozen=True, kw_only=True)
class FailedSeed:
    """A replicate that failed, so that its trial was not ranked; `reason` is short."""

    trial: int
    seed: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Why this network: what the sweep found. Training does not read it.

    Attributes:
        study: Name of the study.
        study_digest: Digest of its definition.
        trial: Number of the trial.
        params: Its point of the search space.
        rank: Its rank; the best is 1.
        of: Number of complete trials.
        objective: What they are ranked by, in words.
        value: The objective of this trial, dex^2.
        seeds: Validation loss of each seed, dex^2; None where there is none.
        weights_of_seed: The seed whose weights were exported.
        margin: Trials closer than this cannot be told apart, dex^2; None with one seed.
        ties: Trials within the margin that learned something, one of each network, best first; at most `MOST_LISTED`.
        failed_seeds: Replicates that failed anywhere in the study; at most `MOST_LISTED`.
        same_network: Trials that are this very network, to the last bit; at most `MOST_LISTED`.
    """

    study: str
    study_digest: str
    trial: int
    params: Mapping[str, int | float | str]
    rank: int
    of: int
    objective: str
    value: float
    seeds: Mapping[int, float | None]
    weights_of_seed: int
    margin: float | None = None
    ties: tuple[Tie, ...] = ()
    failed_seeds: tuple[FailedSeed, ...] = ()
    same_network: tuple[int, ...] = ()


MOST_LISTED = 50  # a file for people: the study's report lists all


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """Everything that decides what is trained, and on what; a stage that is None is left out.

    Attributes:
        network: The architecture.
        training: The first stage.
        outliers: Retraining on the masses where the network errs most.
        probabilistic: The stage that gives every mass a variance.
        data: Where the clusters come from, with absolute paths.
        data_digest: Digest of the data that the exporter saw; None in a hand-written file.
        image_shape: `(height, width, band)` of the images that the exporter saw, rebinned; None likewise.
        split: How the clusters are divided.
        scaling: Fitted by the exporter on the training part; None likewise.
        seeds: One network is trained with each.
        evidence: Where the exporter took the network from; None likewise.
    """

    network: NetworkSpec = field(default_factory=NetworkSpec)
    training: TrainingSpec = field(default_factory=TrainingSpec)
    outliers: OutliersSpec | None = None
    probabilistic: ProbabilisticSpec | None = None
    data: DataSpec
    data_digest: str | None = None
    image_shape: tuple[int, int, int] | None = None
    split: SplitSpec = field(default_factory=SplitSpec)
    scaling: Scaling | None = None
    seeds: tuple[int, ...] = (0, 1, 2)
    evidence: Evidence | None = None


@dataclass(frozen=True, kw_only=True)
class _FileData(DataSpec):
    digest: str | None = None
    image_shape: _Shape | None = None


# The specs of the other files are plain dataclasses without a configuration, so this one reaches them too.
@pydantic.with_config(pydantic.ConfigDict(extra="forbid"))
@dataclass(frozen=True, kw_only=True)
class _File:
    """A configuration as it stands in a file; sections in the order in which they are written."""

    format: Literal["clustersweep-training"]
    version: Literal[1]
    network: NetworkSpec = field(default_factory=NetworkSpec)
    training: TrainingSpec = field(default_factory=TrainingSpec)
    outliers: OutliersSpec | None = None
    probabilistic: ProbabilisticSpec | None = None
    data: _FileData
    split: SplitSpec = field(default_factory=SplitSpec)
    scaling: Scaling | None = None
    seeds: Seeds = (0, 1, 2)
    evidence: Evidence | None = None


@functools.cache  # building it takes longer than reading a file with it
def _schema() -> pydantic.TypeAdapter[_File]:
    return pydantic.TypeAdapter(_File)


def load_configuration(path: Path) -> Configuration:
    """Read a training configuration. Relative paths in it start from its own folder.

    Raises:
        ConfigurationError: With every problem of the file.
    """
    document = read_yaml(path)
    if unread := list(foreign(document.value)):
        raise ConfigurationError(document.problems(unread))
    found = checked(document, _schema(), WORDS, _contradictions, ConfigurationError)
    given = {name: getattr(found, name) for name in (part.name for part in fields(_File)) if name not in _HEAD}
    source = DataSpec(**{part.name: getattr(found.data, part.name) for part in fields(DataSpec)})
    shape = found.data.image_shape
    return Configuration(
        **given | {"data": with_absolute_paths(source, path)},
        data_digest=found.data.digest,
        image_shape=None if shape is None else (shape[0], shape[1], shape[2]),
    )


_HEAD = ("format", "version")


def configuration_yaml(configuration: Configuration) -> bytes:
    """Write a file that `load_configuration` reads back equal, with absolute paths and a comment on each section."""
    text = HEADER + _dumped({"format": FORMAT, "version": VERSION})
    for part in fields(_File):
        if part.name in _HEAD:
            continue
        value = getattr(configuration, part.name)
        if part.name == "data":
            source = {key: inner for key, inner in _plain(value).items() if inner is not None}
            shape = configuration.image_shape
            seen = {"digest": configuration.data_digest, "image_shape": None if shape is None else list(shape)}
            value = source | {key: inner for key, inner in seen.items() if inner is not None}
        value = _plain(value)
        if part.name == "evidence" and value and not value["same_network"]:
            del value["same_network"]  # an export made before there was the key is the same as a new one
        text += f"\n# {KEYS[part.name]}\n" + _dumped({part.name: value})
    return text.encode()


HEADER = """\
# A training configuration: what `clustersweep train` reads. Edit it to switch stages on and off.
# Every key with its meaning: `clustersweep schema --training`.

"""


def configuration_schema() -> dict[str, Any]:
    """Return the JSON Schema of training configurations, with which editors complete and check them."""
    return WORDS.schema(_schema().json_schema())


def _contradictions(written: Json) -> Iterator[Fault]:
    yield from cross_checks(written)
    yield from _infeasible(written)


def _infeasible(written: Json) -> Iterator[Fault]:
    """Find out whether there is such a network for such images, where both are plain."""
    data = section(written, "data")
    network = _valid(NetworkSpec, section(written, "network"))
    shape = _valid(_FileData, {"image_shape": data.get("image_shape")})
    pixels = simulated_pixels(data)
    seen = (pixels, pixels, 1) if pixels else shape and shape.image_shape  # bands make nothing impossible
    if network is None or not seen:
        return
    found = layers(network, seen)
    if isinstance(found, Infeasible):
        rule = f"is impossible for images of {seen[0]} x {seen[1]} pixels: {found.reason}"
        remedy = "Use smaller kernels, fewer conv_blocks or convs_per_block, or padding: same."
        yield Fault(("network",), rule, remedy, silent=True)


def _valid(kind: type[T], written: dict[str, Any]) -> T | None:
    try:
        return pydantic.TypeAdapter(kind).validate_python(written)
    except pydantic.ValidationError:
        return None


def _plain(value: Any) -> Any:
    """Return a specification, or None, as what YAML can write: no tuples, no paths."""
    match value:
        case Path():
            return str(value.absolute())
        case Mapping():
            return {key: _plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
    return value if value is None or isinstance(value, int | float | str) else _plain(asdict(value))


class _Dumper(yaml.SafeDumper):
    """Writes a line for each key, lists of values included; text that could be taken for something else in quotes."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


# Anything else is quoted: `1e3` is text to YAML 1.1, which other programs read, and a number to YAML 1.2.
_WORD = re.compile("[A-Za-z_][A-Za-z0-9_-]*")


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if _WORD.fullmatch(text) else '"')


def _list(dumper: yaml.SafeDumper, items: list[Any]) -> yaml.Node:
    one_line = not any(isinstance(item, dict) for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=one_line)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)


def _dumped(values: dict[str, Any]) -> str:
    dumped: str = yaml.dump(values, Dumper=_Dumper, sort_keys=False, width=math.inf, allow_unicode=True)
    return dumped
