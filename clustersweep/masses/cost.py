"""How much work an epoch of a network is, in units of the parts that `study.cost` fits the time of. Pure."""

import math
from dataclasses import dataclass

from clustersweep.study.cost import in_parts
from clustersweep.training.network import Layer, parameters
from clustersweep.training.spec import TrainingSpec

VALIDATION_BATCH = 256
"""Clusters in a step of validation, whatever `batch_size` is (`training.engine` has the same number)."""

VECTOR = 8
"""Values that a common CPU handles at once; filters beyond a multiple of it cost as many as fill it."""


@dataclass(frozen=True)
class EpochSizes:
    """What an epoch goes through.

    Attributes:
        image_shape: `(height, width, band)`.
        train: Clusters of the training part, on average over how a split is rounded.
        validation: Clusters of the validation part, the same.
    """

    image_shape: tuple[int, ...]
    train: float
    validation: float


def epoch_amounts(layers: tuple[Layer, ...], spec: TrainingSpec, sizes: EpochSizes) -> tuple[float, ...]:
    """Count the work of an epoch, its validation included: units of each part, `(part,)`."""
    train, validation = sizes.train, sizes.validation
    train_steps = math.ceil(train / spec.batch_size)
    steps = train_steps + math.ceil(validation / VALIDATION_BATCH)
    back = 2.0 * train + validation  # forward and back, forward alone
    convolution = elementwise = dense = 0.0
    first = True
    for layer in layers:
        flops = float(layer.flops)
        if layer.parameters:
            # One pass forward and two back, of which nobody needs that for the inputs of the first layer.
            passes = (2.0 if first else 3.0) * train + validation
            first = False
            if layer.kind == "convolution":
                filters = layer.output_shape[-1]
                convolution += passes * flops * (-(-filters // VECTOR) * VECTOR) / filters
            else:
                dense += passes * flops
        elementwise += back * math.prod(layer.output_shape)
    pixels = float(math.prod(sizes.image_shape))
    return in_parts(
        {
            "convolution": convolution,
            "scaling": pixels * (train + validation),
            "elementwise": elementwise,
            "dense": dense,
            "weights": float(parameters(layers) * train_steps),
            "operations": float(len(layers) * steps),
            "augmentation": 0.0 if spec.augmentation == "none" else pixels * train,
        }
    )
