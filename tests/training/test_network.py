import itertools

import pytest

from clustersweep.study.task import Infeasible
from clustersweep.training.network import NetworkSpec, flops_per_image, layers, parameters

GRID = list(itertools.product((10, 20, 30), (3, 5, 7), (1, 2, 3), (1, 2, 3)))


def built(shape=(50, 50, 10), **keys):
    return layers(NetworkSpec(**keys), shape)


def feasible_of_the_grid(shape, **fixed):
    found = {}
    for filters, kernel, blocks, dense in GRID:
        network = built(shape, filters=filters, kernel_size=kernel, conv_blocks=blocks, dense_layers=dense, **fixed)
        found[(filters, kernel, blocks, dense)] = not isinstance(network, Infeasible)
    return found


@pytest.mark.parametrize(
    ("convs", "feasible", "impossible"),
    [(1, 81, set()), (2, 63, {(5, 3), (7, 3)}), (3, 54, {(5, 3), (7, 2), (7, 3)})],
)
def test_the_grid_at_50_pixels_has_as_many_feasible_combinations_as_the_design_says(convs, feasible, impossible):
    found = feasible_of_the_grid((50, 50, 10), convs_per_block=convs)
    assert sum(found.values()) == feasible
    assert {(kernel, blocks) for (_, kernel, blocks, _), fits in found.items() if not fits} == impossible


def test_the_grid_at_25_pixels_has_63_feasible_combinations():
    assert sum(feasible_of_the_grid((25, 25, 10)).values()) == 63


def test_no_spatial_rule_can_leave_53_of_the_81_because_only_kernel_and_blocks_matter():
    for convs, stride, pool, pixels in itertools.product((1, 2, 3, 4), (1, 2), (2, 3), (12, 25, 50)):
        found = feasible_of_the_grid((pixels, pixels, 10), convs_per_block=convs, stride=stride, pool_size=pool)
        assert sum(found.values()) % 9 == 0


def test_shapes_parameters_and_flops_of_a_network_are_those_counted_by_hand():
    network = built((8, 8, 2), filters=3, kernel_size=3, dense_layers=1, dense_units=(5,))
    shapes = {layer.name: layer.output_shape for layer in network}
    assert shapes["block1_conv1"] == (6, 6, 3)
    assert shapes["block1_pool"] == (3, 3, 3)
    assert shapes["flatten"] == (27,)
    assert shapes["output"] == (1,)
    convolution, dense, output = 3 * 3 * 2 * 3 + 3, 27 * 5 + 5, 5 + 1
    assert parameters(network) == convolution + dense + output
    by_hand = 36 * (2 * 54 + 3) + 9 * 3 * 4 + 9 * 3 + (2 * 27 + 1) * 5 + 5 + (2 * 5 + 1)
    assert flops_per_image(network) == by_hand


def test_each_further_block_has_more_filters():
    network = built(filters=10, filters_step=10, conv_blocks=3)
    assert [x.output_shape[-1] for x in network if x.kind == "convolution"] == [10, 20, 30]


def test_a_same_convolution_keeps_the_size_whatever_the_kernel_and_a_stride_divides_it_rounded_up():
    network = built((25, 25, 10), padding="same", kernel_size=49, stride=2)
    assert network[0].output_shape == (13, 13, 10)


def test_a_valid_convolution_with_a_stride_is_rounded_down():
    assert built((10, 10, 1), kernel_size=3, stride=2)[0].output_shape == (4, 4, 10)


def test_a_kernel_larger_than_what_reaches_it_is_infeasible_with_rule_layer_and_trace():
    why = built((25, 25, 10), kernel_size=7, conv_blocks=3)
    assert isinstance(why, Infeasible)
    assert (why.rule, why.layer) == ("kernel_exceeds_input", "block3_conv1")
    assert why.trace[0] == ("image", (25, 25, 10))
    assert why.trace[-1] == ("block2_pool", (1, 1, 20))
    assert why.reason == "a 7 x 7 kernel does not fit the 1 x 1 pixels at block3_conv1"


def test_a_pooling_window_larger_than_what_reaches_it_is_infeasible():
    why = built((4, 4, 10), kernel_size=4)
    assert isinstance(why, Infeasible)
    assert (why.rule, why.layer) == ("pool_exceeds_input", "block1_pool")
    assert why.reason == "a 2 x 2 pooling window does not fit the 1 x 1 pixels at block1_pool"


def test_a_kernel_as_large_as_its_input_is_feasible():
    assert not isinstance(built((8, 8, 1), kernel_size=7, pool_size=2), Infeasible)


def test_a_network_over_the_parameter_limit_is_infeasible_and_says_how_large_it_is():
    why = layers(NetworkSpec(), (50, 50, 10), max_parameters=1000)
    assert isinstance(why, Infeasible)
    assert why.rule == "too_many_parameters"
    assert why.layer == "dense1"
    assert "more than limits.max_parameters = 1,000" in why.reason


def test_relu_follows_a_maximum_pooling_where_it_touches_fewer_values_but_precedes_an_average():
    kinds = [x.kind for x in built(pooling="max")][:3]
    assert kinds == ["convolution", "pooling", "activation"]
    kinds = [x.kind for x in built(pooling="average")][:3]
    assert kinds == ["convolution", "activation", "pooling"]
    assert [x.kind for x in built(activation="gelu")][:2] == ["convolution", "activation"]  # not monotone


def test_dropout_stands_between_dense_layers_only():
    names = [x.name for x in built(dense_layers=3, dropout=0.2)]
    assert [n for n in names if "dropout" in n] == ["dense1_dropout", "dense2_dropout"]
    assert names.index("dense2_dropout") < names.index("dense3")


def test_no_dense_layers_connect_the_last_block_to_the_output():
    assert built(dense_layers=0)[-2].kind == "flatten"
