"""Fixtures of what computes with networks."""

import pytest
from small_data import small_data
from small_model import small_model


@pytest.fixture(scope="module")
def tensorflow():
    from clustersweep.training.device import configure_device

    configure_device(1)


@pytest.fixture
def trained(tensorflow):
    """A model whose weights are those that a training begins with."""
    from clustersweep.training.model import build_model, initial_weights

    def make(**changes):
        empty = small_model(members=(), **changes)
        network = build_model(empty.network, empty.image_shape, empty.outputs)
        members = tuple(initial_weights(network, seed) for seed in empty.seeds)
        return small_model(members=members, **changes)

    return make


@pytest.fixture(scope="module")
def data():
    return small_data()


@pytest.fixture(scope="module")
def device_data(data):
    from clustersweep.training.device import configure_device
    from clustersweep.training.engine import DeviceData

    configure_device(1)
    return DeviceData(data)
