"""The figures of effects, learning curves and cost, as they are drawn."""

import math

import pytest
from example_results import grid_results, sweep_of

from clustersweep.report.sweep.curves import learning_curves, loss_against_cost
from clustersweep.report.sweep.effects import effects
from clustersweep.report.sweep.figures import cost_figure, curve_figure, effect_figure
from clustersweep.report.sweep.slices import slices
from clustersweep.study.results import CompleteReplicate, SweepResults, TrialResult, TrialState
from clustersweep.training.metric import VAL_LOSS

RESULTS = grid_results()


def test_a_curve_with_epochs_that_diverged_is_drawn() -> None:
    replicate = CompleteReplicate(0, 0.1, 2, 3, 1.0, "w", ((0.2, math.inf), (0.1, 0.1), (0.3, math.nan)))
    trial = TrialResult(0, {}, TrialState.COMPLETE, 0.1, {0: replicate})
    panels = learning_curves(SweepResults("s", "d", {}, (0,), (trial,), metric=VAL_LOSS))
    drawn = curve_figure(panels, None, VAL_LOSS)
    assert [len(trace.y) for trace in drawn.data[:2]] == [3, 3]
    assert all(math.isfinite(end) for end in drawn.layout.yaxis.range)


def test_an_effect_has_a_bar_beside_twice_its_noise_and_one_that_cannot_be_judged_has_none() -> None:
    results = sweep_of({(10, 1): (0.1, 0.2), (20, 1): (0.1, 0.3), (30, 2): (0.1, 0.3)})
    found = effects(results, slices(results))
    shares, sizes, noise = effect_figure(found, VAL_LOSS).data
    assert shares.y == ("filters", "dense_layers", "interactions", "seed alone")
    assert list(shares.text)[1] == "one value left"
    assert (sizes.y, noise.y) == ((), ())  # no fixed choice of the other is complete at all values
    whole = effects(RESULTS, slices(RESULTS))
    shares, sizes, noise = effect_figure(whole, VAL_LOSS).data
    assert sum(shares.x) == pytest.approx(1)
    assert sizes.x == tuple(effect.size for effect in whole.effects)
    assert noise.x == pytest.approx([2 * effect.noise for effect in whole.effects])


def test_every_trial_is_a_point_at_its_cost_whose_bar_spans_its_seeds_and_the_front_is_joined() -> None:
    data = loss_against_cost(RESULTS)
    front, *points = cost_figure(data, None, VAL_LOSS).data
    assert front.y == tuple(point.loss for point in data.points if point.on_front)
    assert sum(len(trace.x) for trace in points) == len(data.points) == 54
    drawn = {
        (x, y, round(y - down, 9), round(y + up, 9))
        for trace in points
        for x, y, up, down in zip(trace.x, trace.y, trace.error_y.array, trace.error_y.arrayminus, strict=True)
    }
    assert drawn == {(p.cost, p.loss, round(p.low, 9), round(p.high, 9)) for p in data.points}
