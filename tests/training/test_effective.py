"""Which combinations are one training: by arithmetic, and to the last bit."""

import dataclasses

import numpy as np
import pytest
from small_data import small_data
from small_study import DROPOUT, write_study

from clustersweep.study.events import Finished
from clustersweep.study.plan import make_plan
from clustersweep.survey.dataset import Header
from clustersweep.tasks import load_study
from clustersweep.training.effective import effective, idle, why_same
from clustersweep.training.network import NetworkSpec
from clustersweep.training.spec import TrainingSpec

T = TrainingSpec(epochs=4, patience=4, batch_size=16)
ONE = NetworkSpec(filters=3, dense_layers=1, dense_units=(6, 5))
PAIRS = {
    "dropout": ((ONE, T), (dataclasses.replace(ONE, dropout=0.5), T)),
    "filters_step": ((ONE, T), (dataclasses.replace(ONE, filters_step=3), T)),
    "redshift": tuple((NetworkSpec(filters=3, dense_layers=0, redshift=place), T) for place in ("head", "dense")),
    "padding": tuple(
        (NetworkSpec(filters=3, kernel_size=1, dense_units=(6,), stride=2, padding=how), T) for how in ("valid", "same")
    ),
    "pooling": tuple(
        (NetworkSpec(filters=3, kernel_size=5, stride=2, pool_size=1, dense_units=(6,), pooling=how), T)
        for how in ("max", "average")
    ),
    "patience": ((ONE, T), (ONE, dataclasses.replace(T, patience=3))),
}


@pytest.mark.parametrize("key", PAIRS)
def test_keys_that_do_nothing_make_no_other_network_and_it_is_said_which(key):
    first, second = PAIRS[key]
    assert first != second
    assert effective(*first) == effective(*second)
    assert key in idle(*first)
    assert why_same(first, second) == idle(*first)[key]


@pytest.mark.parametrize(
    ("network", "training"),
    [
        ({"dense_layers": 2, "dropout": 0.5}, {}),
        ({"dense_layers": 2, "dropout": 0.3}, {}),
        ({"conv_blocks": 2, "filters_step": 3}, {}),
        ({"conv_blocks": 2, "filters_step": 4}, {}),
        ({"redshift": "head"}, {}),
        ({"redshift": "dense"}, {}),
        ({"padding": "same"}, {}),
        ({"pooling": "average"}, {}),
        ({}, {"patience": 2}),
        ({}, {"augmentation": "dihedral"}),
        ({}, {"weight_decay": 0.1}),
        # The default's value, where a training may end by it, is another than patience that never ends one.
        ({}, {"epochs": 300, "patience": 30}),
        ({}, {"epochs": 300, "patience": 400}),
    ],
)
def test_keys_that_do_something_make_another_network(network, training):
    changed = dataclasses.replace(ONE, **network), dataclasses.replace(T, **training)
    others = [(ONE, T)]
    others += [(dataclasses.replace(ONE, dense_layers=2), T), (dataclasses.replace(ONE, conv_blocks=2), T)]
    others += [
        (ONE, dataclasses.replace(T, epochs=300, patience=n)) for n in (30, 400) if n != training.get("patience")
    ]
    assert effective(*changed) not in {effective(*other) for other in others}


@pytest.mark.integration
@pytest.mark.timeout(300)
@pytest.mark.parametrize("key", PAIRS)
def test_combinations_that_are_called_the_same_network_have_the_same_bits(key):
    from clustersweep.training.device import configure_device
    from clustersweep.training.engine import DeviceData, Trainer
    from clustersweep.training.files.checkpoint import unpack_weights

    configure_device(1)
    data = DeviceData(small_data())
    ends = []
    for network, training in PAIRS[key]:
        *_, last = Trainer(network, training, data).replicate(7)
        assert isinstance(last, Finished)
        ends.append(last)
    first, second = ends
    assert first.curve == second.curve
    assert first.epochs == second.epochs
    pairs = zip(unpack_weights(first.weights), unpack_weights(second.weights), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


def test_a_plan_says_which_combinations_are_the_same_network_and_their_keys_stay_what_they_are(tmp_path):
    path = write_study(tmp_path, **DROPOUT)
    plan = make_plan(load_study(path), Header(60, (12, 12, 10), "data-digest", "a test"))
    shared = {"dense_layers": 1}
    why = "dropout acts between dense layers, and there are fewer than two"
    assert plan.same == tuple(({**shared, "dropout": d}, {**shared, "dropout": 0.0}, why) for d in (0.3, 0.5))
    assert len({plan.replicate(trial, 0).key for trial in plan.trials}) == 6
