"""The CNN family as a pure list of layers: shapes, parameters, FLOPs, and why one is impossible.

The arithmetic, the cost estimate and the Keras builder all read this one list. No TensorFlow here.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen

from clustersweep.study.task import Infeasible

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """One architecture: blocks of convolutions, each block closed by a pooling, then dense layers.

    Block b (counted from 1) has `filters + (b - 1) * filters_step` filters in each of its
    `convs_per_block` convolutions. The first `dense_layers` of `dense_units` follow, then the linear
    output that predicts the standardised log10 M500c. The redshift, where it is an input, joins before the
    dense layers (`dense`) or after them (`head`).
    """

    filters: Annotated[int, Ge(1), Le(4096)] = 10
    kernel_size: Annotated[int, Ge(1), Le(1024)] = 3
    conv_blocks: Annotated[int, Ge(1), Le(64)] = 1
    dense_layers: Annotated[int, Ge(0), Le(64)] = 1
    filters_step: Annotated[int, Ge(0), Le(4096)] = 10
    convs_per_block: Annotated[int, Ge(1), Le(64)] = 1
    padding: Literal["valid", "same"] = "valid"
    stride: Annotated[int, Ge(1), Le(64)] = 1
    pool_size: Annotated[int, Ge(1), Le(64)] = 2
    pooling: Literal["max", "average"] = "max"
    activation: Literal["relu", "elu", "gelu", "tanh"] = "relu"
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    dense_units: Annotated[tuple[Annotated[int, Gt(0), Le(65536)], ...], MinLen(0)] = (64, 44, 24)
    redshift: Literal["none", "head", "dense"] = "none"


@dataclass(frozen=True)
class Layer:
    """One layer of a network, with what it costs.

    Attributes:
        name: Unique within the network; also the Keras layer's name.
        kind: What the Keras builder makes of it.
        output_shape: Without the batch axis: `(height, width, channel)` or `(unit,)`.
        parameters: Trainable weights.
        flops: Floating-point operations of a forward pass for one image (a multiply-add counts as two).
    """

    name: str
    kind: Literal["convolution", "activation", "pooling", "flatten", "redshift", "dense", "dropout"]
    output_shape: Shape
    parameters: int = 0
    flops: int = 0


def layers(
    spec: NetworkSpec, image_shape: Shape, *, outputs: int = 1, max_parameters: int | None = None
) -> tuple[Layer, ...] | Infeasible:
    """List the layers of a network for images of one shape, or say why there is no such network.

    Sizes follow the convolution arithmetic of Dumoulin & Visin (2016, arXiv:1603.07285): a valid
    convolution leaves floor((W - F) / s) + 1 pixels, a `same` one ceil(W / s), a pooling floor(W / pool).

    Args:
        spec: The architecture.
        image_shape: `(height, width, band)` in pixels and bands.
        outputs: Units of the last layer: the mean, and with 2 also the variance of the prediction.
        max_parameters: Reject networks with more trainable weights than this.
    """
    trace: list[tuple[str, Shape]] = [("image", image_shape)]
    found: list[Layer] = []
    for item in _grow(spec, image_shape, outputs):
        if isinstance(item, _Refusal):
            return Infeasible(item.rule, item.layer, tuple(trace), item.reason)
        found.append(item)
        if item.output_shape != trace[-1][1]:
            trace.append((item.name, item.output_shape))
    total = parameters(tuple(found))
    if max_parameters is not None and total > max_parameters:
        reason = f"{total:,} parameters are more than limits.max_parameters = {max_parameters:,}"
        return Infeasible("too_many_parameters", max(found, key=lambda x: x.parameters).name, tuple(trace), reason)
    return tuple(found)


def parameters(network: tuple[Layer, ...]) -> int:
    """Count the trainable weights."""
    return sum(layer.parameters for layer in network)


def flops_per_image(network: tuple[Layer, ...]) -> int:
    """Count the floating-point operations of one forward pass of one image."""
    return sum(layer.flops for layer in network)


def training_flops_per_image(network: tuple[Layer, ...]) -> int:
    """Count the operations of a training step for one image: three forward passes (Kaplan+20, arXiv:2001.08361).

    One forward, one for the gradients of the weights and one for those of the inputs, which nobody needs of the first
    layer. In small networks that layer is most of the work.
    """
    first = next((layer.flops for layer in network if layer.parameters), 0)
    return 3 * flops_per_image(network) - first


@dataclass(frozen=True)
class _Refusal:
    rule: str
    layer: str
    reason: str


def _grow(spec: NetworkSpec, image_shape: Shape, outputs: int) -> Iterator[Layer | _Refusal]:
    """Yield the layers in order; a refusal is the last thing yielded."""
    shape: tuple[int, ...] = image_shape
    for block in range(1, spec.conv_blocks + 1):
        for layer in _block(spec, block, shape):
            yield layer
            if isinstance(layer, _Refusal):
                return
            shape = layer.output_shape
    yield from _head(spec, math.prod(shape), outputs)


def _block(spec: NetworkSpec, block: int, shape: tuple[int, ...]) -> Iterator[Layer | _Refusal]:
    """Yield the layers of a block on images `(height, width, channel)`; a refusal is the last thing yielded."""
    height, width, channels = shape
    # A monotone activation commutes with taking a maximum, and after the pooling it touches a quarter
    # of the values: the result is the same and the network faster.
    activation_last = spec.pooling == "max" and spec.activation in {"relu", "elu", "tanh"}
    kernel, stride = spec.kernel_size, spec.stride
    filters = spec.filters + (block - 1) * spec.filters_step
    for number in range(1, spec.convs_per_block + 1):
        name = f"block{block}_conv{number}"
        if spec.padding == "valid":
            if kernel > min(height, width):
                reason = f"a {kernel} x {kernel} kernel does not fit the {height} x {width} pixels at {name}"
                yield _Refusal("kernel_exceeds_input", name, reason)
                return
            height, width = (height - kernel) // stride + 1, (width - kernel) // stride + 1
        else:
            height, width = -(-height // stride), -(-width // stride)
        weights = kernel * kernel * channels * filters
        yield Layer(name, "convolution", (height, width, filters), weights + filters,
                    height * width * (2 * weights + filters))  # fmt: skip
        channels = filters
        if number < spec.convs_per_block or not activation_last:
            yield Layer(f"{name}_{spec.activation}", "activation", (height, width, channels),
                        flops=height * width * channels)  # fmt: skip
    name, pool = f"block{block}_pool", spec.pool_size
    if pool > min(height, width):
        reason = f"a {pool} x {pool} pooling window does not fit the {height} x {width} pixels at {name}"
        yield _Refusal("pool_exceeds_input", name, reason)
        return
    height, width = height // pool, width // pool
    yield Layer(name, "pooling", (height, width, channels), flops=height * width * channels * pool * pool)
    if activation_last:
        yield Layer(f"{name}_{spec.activation}", "activation", (height, width, channels),
                    flops=height * width * channels)  # fmt: skip


def _head(spec: NetworkSpec, units: int, outputs: int) -> Iterator[Layer]:
    """Yield the dense layers on so many units, and the output."""
    yield Layer("flatten", "flatten", (units,))
    if spec.redshift == "dense":
        units += 1
        yield Layer("redshift", "redshift", (units,))
    for number, size in enumerate(spec.dense_units[: spec.dense_layers], start=1):
        yield Layer(f"dense{number}", "dense", (size,), (units + 1) * size, (2 * units + 1) * size)
        yield Layer(f"dense{number}_{spec.activation}", "activation", (size,), flops=size)
        units = size
        if spec.dropout > 0 and number < spec.dense_layers:
            yield Layer(f"dense{number}_dropout", "dropout", (size,), flops=size)
    if spec.redshift == "head":
        units += 1
        yield Layer("redshift", "redshift", (units,))
    yield Layer("output", "dense", (outputs,), (units + 1) * outputs, (2 * units + 1) * outputs)
