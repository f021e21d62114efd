"""A trained model as values: what a prediction needs, and what must go together in it. Reads no file; no TensorFlow."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Le, MaxLen, MinLen

from clustersweep.study.task import Infeasible
from clustersweep.training.data import Scaling
from clustersweep.training.files.checkpoint import Arrays
from clustersweep.training.network import NetworkSpec, layers, parameters

_MOST_PARAMETERS = 500_000_000

Pixels = Annotated[int, Ge(1), Le(65536)]
Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """Everything that a prediction needs, and where it comes from.

    Attributes:
        network: The architecture.
        outputs: 2 where the networks have a variance of their own, else 1.
        scaling: Fitted on the training part.
        image_shape: `(height, width, band)` that the network takes, after rebinning.
        rebin: Squares of so many pixels of an image are added up first.
        bands_kev: Lower and upper edge of each band; empty where the training data did not say.
        is_counts: Whether the training images were whole counts.
        redshift_range: Lowest and highest of the training part.
        counts_range: The same of the sums of the images.
        recalibration: Factor on all standard deviations, fitted on the validation part.
        seeds: One network was trained from each.
        members: Weights of each network.
        constant_sd: With one output, the standard deviation of each network, dex; else empty.
        provenance: Where the model comes from: `data_digest` of the training data, versions, commit, date.
    """

    network: NetworkSpec
    outputs: Literal[1, 2]
    scaling: Scaling
    image_shape: tuple[Pixels, Pixels, Pixels]
    rebin: Annotated[int, Ge(1), Le(64)]
    bands_kev: tuple[Range, ...]
    is_counts: bool
    redshift_range: Range
    counts_range: Range
    recalibration: Annotated[float, Gt(0)]
    seeds: Annotated[tuple[Annotated[int, Ge(0)], ...], MinLen(1), MaxLen(10_000)]
    members: tuple[Arrays, ...]
    constant_sd: tuple[Annotated[float, Gt(0)], ...]
    provenance: Mapping[str, str]


def cross_checks(model: TrainedModel, *, weights: bool = True) -> Iterator[tuple[str, str]]:
    """Yield what does not go together in a model, as key and rule; `weights` says whether to look at them too."""
    scaling, bands = model.scaling, model.image_shape[2]
    spreads = (*scaling.band_sd, scaling.log_mass_sd, scaling.redshift_sd)
    numbers = (*scaling.band_mean, *spreads, scaling.log_mass_mean, scaling.redshift_mean, model.recalibration)
    if len(scaling.band_mean) != bands or len(scaling.band_sd) != bands:
        yield "scaling", f"must have a mean and a standard deviation for each of the {bands} bands"
    if not all(math.isfinite(number) for number in numbers) or min(*spreads, model.recalibration) <= 0:
        yield "scaling", "must be finite, and every standard deviation and its recalibration positive"
    if len(model.bands_kev) not in (0, bands):
        yield "bands_kev", f"must have the edges of all {bands} bands, or of none"
    if len(set(model.seeds)) != len(model.seeds):
        yield "seeds", "must differ"
    if len(model.constant_sd) != (len(model.seeds) if model.outputs == 1 else 0):
        yield "constant_sd", "must be one for each network without a variance of its own"
    planned = layers(model.network, model.image_shape, outputs=model.outputs)
    if isinstance(planned, Infeasible):
        yield "network", planned.reason
    elif parameters(planned) > _MOST_PARAMETERS:
        yield "network", f"has {parameters(planned):,} parameters, more than {_MOST_PARAMETERS:,}"
    elif weights:
        yield from _weight_checks(model)


def _weight_checks(model: TrainedModel) -> Iterator[tuple[str, str]]:
    if len(model.members) != len(model.seeds):
        yield "seeds", f"must be as many as there are networks, {len(model.members)}"
    for seed, arrays in zip(model.seeds, model.members, strict=False):
        rule = misfit(arrays, weight_shapes(model))
        if rule:
            yield f"weights of seed {seed}", rule


def weight_shapes(model: TrainedModel) -> list[tuple[int, ...]]:
    """Return the shapes of a network's weights in Keras's order: the kernel of each layer, then its bias."""
    planned = layers(model.network, model.image_shape, outputs=model.outputs)
    if isinstance(planned, Infeasible):
        raise ValueError(planned.reason)
    shapes: list[tuple[int, ...]] = []
    before: tuple[int, ...] = model.image_shape
    for layer in planned:
        size = model.network.kernel_size
        if layer.kind == "convolution":
            shapes += [(size, size, before[-1], layer.output_shape[-1]), layer.output_shape[-1:]]
        elif layer.kind == "dense":
            shapes += [(before[-1], layer.output_shape[-1]), layer.output_shape]
        before = layer.output_shape
    return shapes


def misfit(arrays: Arrays, shapes: list[tuple[int, ...]]) -> str:
    """Say why arrays are no weights of the network; empty where they are."""
    found = [getattr(array, "shape", None) for array in arrays]
    if found != shapes:
        wrong = next((n for n, (a, b) in enumerate(zip(found, shapes, strict=False)) if a != b), None)
        if wrong is None:
            return f"do not fit the network: they are {len(found)} arrays, and the network has {len(shapes)}"
        return f"do not fit the network: array {wrong} is {found[wrong]}, and the network has {shapes[wrong]} there"
    if any(array.dtype != np.float32 for array in arrays):
        return "do not fit the network: they must be float32"
    return "" if all(np.isfinite(array).all() for array in arrays) else "are not all finite"
