"""The keys of a study file: what each means, and which of them may be axes. Reads no file.

A new field of a spec needs its line here, or a test fails; editors show it, and so do messages.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from clustersweep.network import NetworkSpec
from clustersweep.training.spec import TrainingSpec
from clustersweep.trial import Scalar

KEYS: Mapping[str, str] = {
    "study": "Name of the study, also in Optuna: letters, digits, '.', '_' and '-'.",
    "data": "Where the clusters come from: exactly one of `simulate` and `images`.",
    "data.simulate": "Simulate a survey.",
    "data.simulate.clusters": "Number of clusters.",
    "data.simulate.seed": "Cluster i of a seed is always the same.",
    "data.simulate.pixels": "Width and height of the images, in pixels.",
    "data.images": "File with the images; relative to the folder of this study file.",
    "data.catalogue": "File with the masses and redshifts; relative to the folder of this study file.",
    "data.mass": "The catalogue's column of masses, where its name is not a known one.",
    "data.redshift": "The catalogue's column of redshifts, where its name is not a known one.",
    "data.identifier": "The catalogue's column of identifiers, where its name is not a known one.",
    "data.rebin": "Add up squares of so many pixels: 2 makes 25 x 25 pixels of 50 x 50.",
    "data.transform": "What is done to the counts before the network sees them.",
    "split": "How the clusters are divided into training, validation and test.",
    "split.test": "Share of all clusters that is kept for the final test.",
    "split.validation": "Share of what the test part leaves, used to compare trials.",
    "split.seed": "Seed of the shuffling.",
    "split.by": "What stays in one part: each cluster, or all rows with one identifier.",
    "search_space": "The axes: any scalar key of `network` or `training`, each with the values to try.",
    "network": "What all networks have in common.",
    "network.filters": "Number of filters of the first block.",
    "network.kernel_size": "Width and height of the kernels, in pixels.",
    "network.conv_blocks": "Number of blocks; each ends with a pooling.",
    "network.dense_layers": "Number of dense layers: the first of `dense_units`.",
    "network.filters_step": "Each further block has so many more filters.",
    "network.convs_per_block": "Number of convolutions before each pooling.",
    "network.padding": "valid: convolutions shrink the image; same: they do not.",
    "network.stride": "Step of every convolution, in pixels.",
    "network.pool_size": "Width and height of the pooling windows, in pixels.",
    "network.pooling": "What a pooling keeps of its window.",
    "network.activation": "The function after each convolution and dense layer.",
    "network.dropout": "Share of units silenced at random between dense layers while training.",
    "network.dense_units": "Units of the dense layers, first to last.",
    "training": "How each network is trained.",
    "training.epochs": "Most epochs of a training.",
    "training.patience": "Stop when the validation loss has not improved for so many epochs.",
    "training.batch_size": "Clusters in one step of the optimizer.",
    "training.optimizer": "Which optimizer.",
    "training.learning_rate": "Step size of the optimizer.",
    "training.weight_decay": "Decay of the weights, decoupled from the gradient.",
    "seeds": "Each combination is trained once with each of these.",
    "objective": "What makes one trial better than another.",
    "objective.metric": "val_loss: mean squared error of log10 M500c on the validation part, in dex^2.",
    "objective.over_seeds": "How the values of a trial's seeds become one.",
    "limits": "What makes a combination impossible beside its shapes.",
    "limits.max_parameters": "Networks with more trainable weights are not trained; null: no limit.",
    "resources": "What each worker gets; it does not decide what the results mean.",
    "resources.cpus_per_worker": "CPU threads of a worker.",
    "resources.gpus_per_worker": "GPUs of a worker, or a share of one; auto: a share where there are any.",
}


@dataclass(frozen=True)
class Axis:
    """A scalar key that may be an axis.

    Attributes:
        section: `network` or `training`.
        annotation: The type of one value, with its constraints.
        kind: How its values are ordered: as whole numbers, as numbers, or not at all.
        choices: All values that the schema allows, for a choice; else empty.
    """

    section: str
    annotation: Any
    kind: Literal["integer", "number", "choice"]
    choices: tuple[Scalar, ...] = ()


def _axes() -> dict[str, Axis]:
    found: dict[str, Axis] = {}
    for section, spec in (("network", NetworkSpec), ("training", TrainingSpec)):
        plain = get_type_hints(spec)
        for name, annotation in get_type_hints(spec, include_extras=True).items():
            if get_origin(plain[name]) is Literal:
                found[name] = Axis(section, annotation, "choice", get_args(plain[name]))
            elif plain[name] in (int, float):
                found[name] = Axis(section, annotation, "integer" if plain[name] is int else "number")
    return found


AXES: Mapping[str, Axis] = _axes()


def siblings(section: str) -> tuple[str, ...]:
    """Give the keys that a section may have; the study's own for ''."""
    if section == "search_space":
        return tuple(AXES)
    prefix = f"{section}." if section else ""
    inside = (key.removeprefix(prefix) for key in KEYS if key.startswith(prefix))
    return tuple(key for key in inside if "." not in key)
