"""Keras's networks are those that the list of layers describes."""

import itertools

import numpy as np
import pytest

from clustersweep.study.task import Infeasible
from clustersweep.training.network import NetworkSpec, layers, parameters

integration = pytest.mark.integration
pytestmark = pytest.mark.usefixtures("tensorflow")


@integration
def test_shapes_and_parameters_of_keras_equal_the_arithmetic_for_every_shape_of_the_grid(device_data):
    """Filters and dense layers change sizes alone: they take turns, where the rest comes in every combination."""
    from clustersweep.training.engine import forget_networks
    from clustersweep.training.model import build_model

    checked = 0
    shapes = itertools.product((3, 5, 7), (1, 2, 3), ("valid", "same"), (1, 2))
    sizes = itertools.cycle([(10, 1), (30, 1), (30, 3), (10, 3), (10, 1)])  # five: no other number goes into it
    for (kernel, blocks, padding, stride), (filters, dense) in zip(shapes, sizes, strict=False):
        spec = NetworkSpec(
            filters=filters, kernel_size=kernel, conv_blocks=blocks, dense_layers=dense, padding=padding, stride=stride
        )
        planned = layers(spec, (50, 50, 10))
        if isinstance(planned, Infeasible):
            with pytest.raises(ValueError, match="does not fit"):
                build_model(spec, (50, 50, 10))
            continue
        model = build_model(spec, (50, 50, 10))
        assert [tuple(x.output.shape[1:]) for x in model.layers[1:]] == [x.output_shape for x in planned]
        assert model.count_params() == parameters(planned)
        checked += 1
    forget_networks()
    assert checked > 20


@integration
def test_relu_after_the_pooling_gives_what_relu_before_it_gives(device_data):
    from clustersweep.training.device import keras, tf
    from clustersweep.training.model import build_model, initial_weights

    spec = NetworkSpec(filters=3)
    after = build_model(spec, (12, 12, 3))
    weights = initial_weights(after, 5)
    for variable, value in zip(after.trainable_variables, weights, strict=True):
        variable.assign(value)
    image = tf.constant(np.random.default_rng(0).normal(size=(2, 12, 12, 3)).astype(np.float32))
    convolution, pool = after.layers[1], after.layers[2]
    before = pool(keras.activations.relu(convolution(image)))
    assert np.array_equal(before, keras.activations.relu(pool(convolution(image))))


@integration
@pytest.mark.parametrize("redshift", ["head", "dense"])
def test_the_redshift_joins_before_the_output_or_before_the_dense_layers(data, redshift):
    from clustersweep.training.model import build_model

    model = build_model(NetworkSpec(filters=2, dense_layers=1, dense_units=(7,), redshift=redshift), data.image_shape)
    assert [tensor.shape[1:] for tensor in model.inputs] == [data.image_shape, (1,)]
    joined = model.get_layer("redshift").output.shape[-1]
    assert joined == (7 + 1 if redshift == "head" else 5 * 5 * 2 + 1)
    assert model.get_layer("output").kernel.shape == (8 if redshift == "head" else 7, 1)
