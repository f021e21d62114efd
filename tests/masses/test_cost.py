"""How much work an epoch of a network is, part by part."""

import pytest
from measured_epochs import trial_of

from clustersweep.study.cost import PARTS
from clustersweep.training.network import NetworkSpec, layers, parameters


def test_every_part_is_counted():
    base = {"filters": 8, "kernel_size": 3, "conv_blocks": 1, "dense_layers": 1}
    one = dict(zip(PARTS, trial_of(base, (25, 25, 10), 128, 256).amounts, strict=True))
    pixels = 25 * 25 * 10
    assert one["scaling"] == pixels * (128 + 256)
    assert one["convolution"] == 23 * 23 * (2 * 9 * 10 * 8 + 8) * (2 * 128 + 256)  # nobody needs its inputs' gradients
    assert one["augmentation"] == 0
    assert one["operations"] == 7 * (2 + 1)  # layers, run once in each step of training and of validation
    assert one["weights"] == 2 * parameters(layers(NetworkSpec(**base), (25, 25, 10)))

    def change(**keys):
        training = {k: keys.pop(k) for k in ("augmentation", "batch_size") if k in keys}
        other = trial_of({**base, **keys}, (25, 25, 10), 128, 256, **training).amounts
        return {part for part, new in zip(PARTS, other, strict=True) if new != one[part]}

    assert change(augmentation="dihedral") == {"augmentation"}
    assert change(batch_size=32) == {"operations", "weights"}
    assert change(dense_units=(10,)) == {"dense", "elementwise", "weights"}
    assert "convolution" in change(kernel_size=5)


def test_ten_filters_cost_as_many_operations_as_sixteen():
    ten, sixteen = (trial_of({"filters": f, "dense_layers": 0}, (25, 25, 10), 128, 0) for f in (10, 16))
    assert ten.amounts[0] == pytest.approx(sixteen.amounts[0])
