"""From the list of layers to a Keras model, and its weights as plain arrays. Decides nothing about architecture."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustersweep.files import whole
from clustersweep.study.task import Infeasible
from clustersweep.training.device import keras
from clustersweep.training.network import Layer, NetworkSpec, Shape, layers

Weights = list[NDArray[Any]]


def build_model(spec: NetworkSpec, image_shape: Shape, outputs: int = 1) -> "keras.Model":
    """Build the network that `network.layers` describes.

    Input: scaled images `(cluster, height, width, band)`; where the network takes it, followed by the
    standardised redshift `(cluster, 1)`. Output: standardised log10 M500c `(cluster, outputs)`; a second
    unit is the variance before `likelihood.variance`.

    Raises:
        ValueError: The combination is infeasible; callers have planned, so this is a bug.
    """
    planned = layers(spec, image_shape, outputs=outputs)
    if isinstance(planned, Infeasible):
        raise ValueError(planned.reason)
    image, redshift = keras.Input(shape=image_shape, name="image"), keras.Input(shape=(1,), name="redshift_input")
    value = image
    for layer in planned:
        value = _keras_layer(layer, spec)([value, redshift] if layer.kind == "redshift" else value)
    inputs = image if spec.redshift == "none" else [image, redshift]
    return keras.Model(inputs, value, name="clustersweep")


def initial_weights(model: "keras.Model", seed: int) -> Weights:
    """Draw the initial weights: Glorot uniform kernels and zero biases, each layer from (seed, its name).

    Source: Glorot & Bengio (2010), as Keras does by default. Nothing depends on what was drawn before, so a
    replicate starts from the same weights in any process.
    """
    drawn: Weights = []
    for layer in model.layers:
        for variable in layer.trainable_variables:
            if variable.name == "bias":
                drawn.append(np.zeros(variable.shape, np.float32))
            else:
                initializer = keras.initializers.GlorotUniform(seed=derived_seed(seed, layer.name))
                drawn.append(initializer(variable.shape).numpy())
    return drawn


def derived_seed(*parts: int | str) -> int:
    """Derive an independent 31-bit seed from numbers and names."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def _keras_layer(layer: Layer, spec: NetworkSpec) -> "keras.Layer":
    match layer.kind:
        case "convolution":
            return keras.layers.Conv2D(
                layer.output_shape[-1], spec.kernel_size, strides=spec.stride, padding=spec.padding, name=layer.name
            )
        case "activation":
            return keras.layers.Activation(spec.activation, name=layer.name)
        case "pooling":
            pooling = keras.layers.MaxPooling2D if spec.pooling == "max" else keras.layers.AveragePooling2D
            return pooling(spec.pool_size, name=layer.name)
        case "flatten":
            return keras.layers.Flatten(name=layer.name)
        case "dense":
            return keras.layers.Dense(layer.output_shape[-1], name=layer.name)
        case "dropout":
            return keras.layers.Dropout(spec.dropout, name=layer.name)
        case "redshift":
            return keras.layers.Concatenate(name=layer.name)


def save_model(spec: NetworkSpec, image_shape: Shape, weights: Weights, to: Path, *, outputs: int = 1) -> None:
    """Write a network with its weights as Keras's own format (`.keras`), beside the place and then renamed."""
    model = build_model(spec, image_shape, outputs)
    for variable, value in zip(model.trainable_variables, weights, strict=True):
        variable.assign(value)
    with whole(to, to.with_name(f".{to.stem}.partial.keras")) as beside:  # Keras looks at the name's end
        model.save(beside)


def load_weights(spec: NetworkSpec, image_shape: Shape, path: Path, *, outputs: int = 1) -> Weights:
    """Read the weights of a `.keras` file into a network built from its specification.

    The file's own description of the network is never used, so nothing in it can run.
    """
    model = build_model(spec, image_shape, outputs)
    model.load_weights(path)
    return [variable.numpy() for variable in model.trainable_variables]
