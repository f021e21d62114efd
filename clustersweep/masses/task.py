"""The first task: masses of galaxy clusters from X-ray images, by small CNNs."""

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_types import Ge

from clustersweep.cpus import available_cpus
from clustersweep.masses.cost import EpochSizes, epoch_amounts
from clustersweep.masses.rules import cross_checks
from clustersweep.settings.document import Fault
from clustersweep.study.definition import plain, written
from clustersweep.study.keys import Axis, Params, axes_of
from clustersweep.study.objective import Metric, ObjectiveSpec
from clustersweep.study.task import Axes, Candidate, Infeasible
from clustersweep.survey.dataset import Header
from clustersweep.survey.source import absent_file, check_split, open_dataset, read_digest, read_header
from clustersweep.survey.spec import DataSpec, SplitSpec, with_absolute_paths
from clustersweep.survey.split import make_split
from clustersweep.training.effective import Specs, effective, why_same
from clustersweep.training.keys import SHARED_KEYS
from clustersweep.training.metric import VAL_LOSS
from clustersweep.training.network import (
    NetworkSpec,
    flops_per_image,
    layers,
    parameters,
    training_flops_per_image,
)
from clustersweep.training.spec import TrainingSpec

if TYPE_CHECKING:  # TensorFlow is imported by the workers, not by the driver; pydantic the other way round
    from clustersweep.study.study import Study
    from clustersweep.training.data import TrainingData
    from clustersweep.training.engine import Trainer

KEYS: Mapping[str, str] = {
    **SHARED_KEYS,
    "network": "What all networks have in common.",
    "limits": "What makes a combination impossible beside its shapes.",
    "limits.max_parameters": "Networks with more trainable weights are not trained; null: no limit.",
}

AXES = axes_of(network=NetworkSpec, training=TrainingSpec)


@dataclass(frozen=True, kw_only=True)
class LimitsSpec:
    """What makes a combination impossible beside its shapes."""

    max_parameters: Annotated[int, Ge(1)] | None = None


@dataclass(frozen=True, kw_only=True)
class ClusterMasses:
    """CNNs of one family, trained to give log10 M500c.

    Attributes:
        data: Where the clusters come from.
        split: How they are divided.
        network: The architecture, but for what is an axis.
        training: How it is trained, likewise.
        limits: What else makes a combination impossible.
        objective: What makes one trial better than another.
    """

    data: DataSpec
    split: SplitSpec = field(default_factory=SplitSpec)
    network: NetworkSpec = field(default_factory=NetworkSpec)
    training: TrainingSpec = field(default_factory=TrainingSpec)
    limits: LimitsSpec = field(default_factory=LimitsSpec)
    objective: ObjectiveSpec = field(default_factory=ObjectiveSpec)

    axes: ClassVar[Mapping[str, Axis] | None] = AXES
    keys: ClassVar[Mapping[str, str]] = KEYS
    costs_known: ClassVar[bool] = True
    prepares: ClassVar[str] = "the survey"
    first_keys: ClassVar[Mapping[str, frozenset[str]]] = {
        "split": frozenset({"test", "validation", "seed", "by"}),
        "network": frozenset(
            {"filters", "kernel_size", "conv_blocks", "dense_layers", "filters_step", "convs_per_block", "padding",
             "stride", "pool_size", "pooling", "activation", "dropout", "dense_units", "redshift"}
        ),
        "training": frozenset(
            {"epochs", "patience", "batch_size", "optimizer", "learning_rate", "weight_decay", "augmentation", "loss"}
        ),
        "limits": frozenset({"max_parameters"}),
    }  # fmt: skip
    """Of each section of its definition, the keys that definitions have always held, also at their default.

    One that came later is left out while it is at its default, which is what was done before it existed: so the digests
    of stored studies stay what they are.
    """

    @property
    def metric(self) -> Metric:
        """See `Task`."""
        return VAL_LOSS

    @property
    def code(self) -> None:
        """See `Task`."""

    @property
    def lays_out_by_code(self) -> bool:
        """See `Task`."""
        return False

    @property
    def source(self) -> str:
        """See `Task`."""
        return str(self.data.images)

    def absent(self) -> Path | None:
        """See `Task`."""
        return absent_file(self.data)

    # --- the study file and the definition: see `study.task.Task`

    @classmethod
    def faults(cls, study: Mapping[str, Any], path: Path) -> Iterator[Fault]:
        """See `Task`."""
        return cross_checks(study)

    @classmethod
    def of_file(cls, sections: Mapping[str, Any], path: Path) -> "ClusterMasses":
        """See `Task`. Relative paths of the data start from the file's folder."""
        return cls(**{**sections, "data": with_absolute_paths(sections["data"], path)})

    @classmethod
    def of_definition(cls, definition: Mapping[str, Any]) -> "ClusterMasses":
        """See `Task`."""
        network = {**definition["network"]}
        if "dense_units" in network:
            network["dense_units"] = tuple(network["dense_units"])
        training, objective = TrainingSpec(**definition["training"]), ObjectiveSpec(**definition["objective"])
        return cls(data=DataSpec(), network=NetworkSpec(**network), training=training, objective=objective)

    @classmethod
    def defaults(cls) -> Mapping[str, Any]:
        """See `Task`."""
        return {
            "split": SplitSpec(), "network": NetworkSpec(), "training": TrainingSpec(), "limits": LimitsSpec(),
            "objective": ObjectiveSpec(),
        }  # fmt: skip

    def definition(self, data_digest: str, axes: Collection[str]) -> dict[str, Any]:
        """See `Task`."""
        sections = {
            name: {key: value for key, value in self._written(name).items() if key not in axes}
            for name in ("network", "training", "limits")
        }
        return {**self._data(data_digest), **sections}

    def identity(self, data_digest: str, params: Params) -> dict[str, Any]:
        """See `Task`."""
        network, training = self.specs(params)
        # Keys at their default are left out, so that a key that is added later, whose default changes nothing, leaves
        # earlier replicates theirs.
        return {
            **self._data(data_digest),
            "network": {k: v for k, v in plain(network).items() if v != plain(NetworkSpec())[k]},
            "training": {k: v for k, v in plain(training).items() if v != plain(TrainingSpec())[k]},
        }

    def _data(self, digest: str) -> dict[str, Any]:
        data = {"digest": digest, "rebin": self.data.rebin, "transform": self.data.transform}
        return {"data": data, "split": self._written("split")}

    def _written(self, section: str) -> dict[str, Any]:
        return written(getattr(self, section), self.first_keys[section])

    # --- combinations

    def specs(self, params: Params) -> Specs:
        """Return the architecture and the training of one combination."""
        chosen: dict[str, dict[str, Any]] = {"network": {}, "training": {}}
        for name, value in params.items():
            chosen[AXES[name].section][name] = value
        return replace(self.network, **chosen["network"]), replace(self.training, **chosen["training"])

    def candidate(self, params: Params, header: Header) -> Candidate | Infeasible:
        """See `Task`."""
        network, training = self.specs(params)
        limit = self.limits.max_parameters
        found = layers(network, header.image_shape, outputs=training.outputs, max_parameters=limit)
        if isinstance(found, Infeasible):
            return found
        rest = header.clusters * (1 - self.split.test)
        sizes = EpochSizes(header.image_shape, rest * (1 - self.split.validation), rest * self.split.validation)
        forward = flops_per_image(found)
        epoch = training_flops_per_image(found) * sizes.train + forward * sizes.validation
        return Candidate(
            spec=(network, training),
            epochs=training.epochs,
            cost_flops=epoch * training.epochs,
            amounts=epoch_amounts(found, training, sizes),
            compiled=len(found),
            facts={"parameters": parameters(found), "flops_per_image": forward},
        )

    def effective(self, params: Params) -> Hashable:
        """See `Task`."""
        return effective(*self.specs(params))

    def why_same(self, params: Params, other: Params) -> str:
        """See `Task`."""
        return why_same(self.specs(params), self.specs(other))

    def all_impossible(self, header: Header) -> tuple[str, str]:
        """See `Task`."""
        return (
            f"images of {' x '.join(map(str, header.image_shape))}",
            "Use smaller kernels, fewer conv_blocks or convs_per_block, padding: same, or a smaller data.rebin",
        )

    # --- data

    def takes_redshift(self, axes: Axes) -> bool:
        """Say whether any network of a study takes the redshift."""
        return any(kind != "none" for kind in axes.get("redshift", (self.network.redshift,)))

    def check_data(self) -> None:
        """See `Task`."""
        check_split(self.data, self.split)

    def header(self, axes: Axes) -> Header:
        """See `Task`."""
        return read_header(self.data, needs_redshift=self.takes_redshift(axes))

    def with_digest(self, header: Header, axes: Axes, surveys: Path) -> Header:
        """See `Task`."""
        return replace(header, digest=read_digest(self.data, needs_redshift=self.takes_redshift(axes)))

    def load(self, axes: Axes, surveys: Path, progress: Callable[[int, int], None] | None = None) -> "TrainingData":
        """See `Task`. Splits the survey, and fits the scaling to its training part."""
        from clustersweep.training.data import parts_of

        needed = self.takes_redshift(axes)
        dataset = open_dataset(self.data, surveys, progress=progress, jobs=available_cpus(), needs_redshift=needed)
        split = make_split(len(dataset), self.split, dataset.identifiers)
        return parts_of(dataset, split, self.data.transform)

    # --- workers

    def trainers(self, data: "TrainingData", *, cpus: int, gpus: float | str, deterministic: bool) -> "NetworkTrainers":
        """See `Task`."""
        from clustersweep.training.device import configure_device, gpu_for_auto

        share = float(gpu_for_auto() if isinstance(gpus, str) else gpus)
        configure_device(cpus, share, deterministic=deterministic)
        return NetworkTrainers(data, share)

    def curve_of(self, checkpoint: bytes, key: str) -> Sequence[tuple[float, float]]:
        """See `Task`."""
        from clustersweep.training.files.checkpoint import progress_of

        return progress_of(checkpoint, key).curve


class NetworkTrainers:
    """The data in TensorFlow's memory, and the network that was compiled last; see `study.task.Trainers`."""

    def __init__(self, data: "TrainingData", gpu_share: float) -> None:
        from clustersweep.training.engine import DeviceData

        self.gpu_share = gpu_share
        self._data = DeviceData(data)
        self._trainer: Trainer | None = None

    def trainer(self, spec: Specs) -> "Trainer":
        """See `study.task.Trainers`. The seeds of a network share what is compiled."""
        from clustersweep.training.engine import Trainer, forget_networks

        if self._trainer is None or (self._trainer.network, self._trainer.training) != spec:
            self._trainer = None
            forget_networks()
            self._trainer = Trainer(*spec, self._data)
        return self._trainer


def masses_of(study: "Study") -> ClusterMasses:
    """Return what a study of galaxy clusters trains.

    Raises:
        TypeError: It trains something else.
    """
    if not isinstance(study.task, ClusterMasses):
        raise TypeError(f"the study {study.name} is not of galaxy clusters")
    return study.task
