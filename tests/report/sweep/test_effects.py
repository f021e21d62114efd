"""How much each hyperparameter matters, beside interactions and seeds."""

import math
import statistics

import pytest
from example_results import GRID, grid_results, sweep_of

from clustersweep.report.sweep.effects import effects
from clustersweep.report.sweep.figures import effect_figure
from clustersweep.report.sweep.slices import slices
from clustersweep.training.metric import VAL_LOSS

RESULTS = grid_results()


def test_an_additive_sweep_splits_exactly_into_main_effects() -> None:
    losses = {(f, d): (f + 2.0 * d, f + 2.0 * d) for f in (1, 2, 3) for d in (1, 2, 3)}
    results = sweep_of(losses)
    found = effects(results, slices(results))
    assert [effect.share for effect in found.effects] == pytest.approx([0.2, 0.8])
    assert found.interactions == pytest.approx(0)
    assert found.seeds == pytest.approx(0)
    assert [effect.size for effect in found.effects] == pytest.approx([2, 4])
    assert [effect.best for effect in found.effects] == [1, 1]


def test_shares_of_effects_interactions_and_seeds_add_up_to_one() -> None:
    found = effects(RESULTS, slices(RESULTS))
    assert sum(e.share for e in found.effects) + found.interactions + found.seeds == pytest.approx(1)


def test_the_balanced_part_has_no_impossible_combination() -> None:
    found = effects(RESULTS, slices(RESULTS))
    assert found.combinations == 36
    assert found.balanced == {**GRID, "kernel_size": (3, 5), "conv_blocks": (1, 2)}


def test_the_noise_of_an_effect_is_the_seeds_standard_error() -> None:
    results = sweep_of({(1, 1): (0.1, 0.3), (2, 1): (0.2, 0.4), (1, 2): (0.1, 0.3), (2, 2): (0.2, 0.4)})
    effect = effects(results, slices(results)).effects[0]
    assert effect.noise == pytest.approx(statistics.stdev((0.1, 0.3)) * math.sqrt(2 / 4))


def test_an_axis_left_with_one_value_cannot_be_judged() -> None:
    results = sweep_of({(10, 1): (0.1, 0.2), (10, 2): (0.1, 0.3), (20, 1): (0.1, 0.3)})
    found = effects(results, slices(results))
    assert math.isnan(found.effects[0].share)
    assert found.combinations == 2


def test_one_seed_and_one_trial_are_enough_not_to_fail() -> None:
    results = sweep_of({(10, 1): (0.1,), (20, 2): (0.2,)})
    found = effects(results, slices(results))
    assert math.isnan(found.seeds)
    assert found.combinations == 1
    assert effect_figure(found, VAL_LOSS).data
