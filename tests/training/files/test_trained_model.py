"""A trained model as values: what must go together in it."""

import pytest
from small_model import NETWORK, small_model

from clustersweep.training.files.trained_model import weight_shapes
from clustersweep.training.network import NetworkSpec


@pytest.mark.integration
@pytest.mark.parametrize(
    "network",
    [
        NETWORK,
        NetworkSpec(filters=2, conv_blocks=2, convs_per_block=2, padding="same", redshift="dense", dropout=0.1),
        NetworkSpec(filters=2, kernel_size=5, activation="gelu", dense_layers=0, stride=2, redshift="none"),
        NetworkSpec(filters=2, dense_layers=3, redshift="head", pooling="average"),
    ],
)
@pytest.mark.parametrize("outputs", [1, 2])
def test_the_shapes_of_weights_are_those_that_keras_has(network, outputs):
    from clustersweep.training.device import configure_device
    from clustersweep.training.model import build_model

    configure_device(1)
    model = small_model(network=network, outputs=outputs, image_shape=(20, 16, 3), members=())
    keras = build_model(network, model.image_shape, outputs)
    assert weight_shapes(model) == [tuple(variable.shape) for variable in keras.trainable_variables]
