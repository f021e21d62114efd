"""What epochs really took, and trials as a plan has them.

The measurements are real ones (`data/epochs.json`, by `benchmarks/epochs.py --fixture`): of every network of
`sweeps/quickstart.yaml`, of those of the speed benchmark, and of some of `sweeps/grid.yaml` on fewer clusters.
"""

import json

from places import TESTS

from clustersweep.masses.cost import EpochSizes, epoch_amounts
from clustersweep.study.cost import Sums, measured_sums
from clustersweep.study.events import Device
from clustersweep.study.results import Trial
from clustersweep.training.network import NetworkSpec, flops_per_image, layers, training_flops_per_image
from clustersweep.training.spec import TrainingSpec

MEASURED = json.loads((TESTS / "data" / "epochs.json").read_text())["epochs"]
CPU = Device("CPU", "of a test", 1, "float32", deterministic=True)


def trial_of(network, image_shape, train, validation, batch_size=64, epochs=6, **training):
    """Give a trial as a plan has it."""
    found = layers(NetworkSpec(**network), tuple(image_shape))
    spec = TrainingSpec(epochs=epochs, patience=epochs, batch_size=batch_size, **training)
    cost = epochs * (training_flops_per_image(found) * train + flops_per_image(found) * validation)
    sizes = EpochSizes(tuple(image_shape), train, validation)
    return Trial(
        params=network, spec=None, epochs=epochs, cost_flops=cost, amounts=epoch_amounts(found, spec, sizes),
        compiled=len(found), facts={},
    )  # fmt: skip


def measured(which):
    """Give every network of a set with the seconds that its epochs and its compilation took."""
    keys = ("network", "image_shape", "train", "validation", "batch_size")
    return [
        (trial_of(*(one[k] for k in keys)), one["cpu_s"], one["compile_s"]) for one in MEASURED if one["set"] == which
    ]


def sums_of(which="quickstart"):
    """Give the sums of a set's networks, each measured once."""
    return sum((measured_sums(t, s, c) for t, s, c in measured(which)), Sums())
