"""A trained model as values: what must go together in it."""

import dataclasses

import numpy as np
import pytest
from small_model import NETWORK, small_model

from clustersweep.training.files.trained_model import cross_checks, misfit, weight_shapes
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


def rules(model, **options):
    return [f"{key}: {rule}" for key, rule in cross_checks(model, **options)]


def test_a_model_whose_parts_fit_each_other_has_nothing_to_be_told():
    assert rules(small_model()) == []
    assert rules(small_model(bands_kev=())) == []
    assert rules(small_model(outputs=1, constant_sd=(0.2, 0.3))) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"image_shape": (12, 12, 4), "bands_kev": ()}, "scaling: must have a mean and a standard deviation for each"),
        ({"recalibration": 0.0}, "scaling: must be finite, and every standard deviation and its recalibration posit"),
        ({"recalibration": np.inf}, "scaling: must be finite, and every standard deviation and its recalibration po"),
        ({"bands_kev": ((0.3, 0.6),)}, "bands_kev: must have the edges of all 3 bands, or of none"),
        ({"seeds": (7, 7)}, "seeds: must differ"),
        ({"constant_sd": (0.2, 0.3)}, "constant_sd: must be one for each network without a variance of its own"),
        ({"image_shape": (2, 2, 3), "members": ()}, "network: "),
        ({"network": NetworkSpec(dense_layers=1, dense_units=(10**9,)), "members": ()}, "more than 500,000,000"),
    ],
)
def test_what_does_not_go_together_in_a_model_is_told(changes, told):
    found = rules(small_model(**changes), weights=False)
    assert len(found) == 1
    assert told in found[0]


def test_weights_are_told_with_their_seed_and_what_is_wrong_with_them():
    good = small_model()
    first, second = good.members
    assert misfit(second, weight_shapes(good)) == ""
    for arrays, why in (
        (second[:-1], "do not fit the network: they are 5 arrays, and the network has 6"),
        ([second[0][..., :2], *second[1:]], "array 0 is (3, 3, 3, 2), and the network has (3, 3, 3, 3) there"),
        ([array.astype(np.float64) for array in second], "do not fit the network: they must be float32"),
        ([*second[:-1], second[-1] * np.nan], "are not all finite"),
    ):
        (told,) = rules(dataclasses.replace(good, members=(first, arrays)))
        assert told.startswith("weights of seed 7: ")
        assert told.endswith(why)
    assert rules(dataclasses.replace(good, members=(first,))) == ["seeds: must be as many as there are networks, 1"]
