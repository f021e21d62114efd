"""Whose learning curves are drawn, and which trials no cheaper one beats."""

from example_results import grid_results, sweep_of

from clustersweep.report.sweep.curves import learning_curves, loss_against_cost
from clustersweep.report.sweep.figures import cost_figure
from clustersweep.training.metric import VAL_LOSS

RESULTS = grid_results()


def test_learning_curves_are_those_of_the_best_trials_with_all_seeds() -> None:
    panels = learning_curves(RESULTS, 2)
    assert [panel.trial for panel in panels] == [trial.number for trial in RESULTS.ranked()[:2]]
    curve = panels[0].curves[0]
    replicate = RESULTS.ranked()[0].replicates[curve.seed]
    assert curve.val_loss[curve.best_epoch - 1] == replicate.value
    assert [c.seed for c in panels[0].curves] == [0, 1, 2]


def test_trials_without_a_curve_are_left_out() -> None:
    assert learning_curves(sweep_of({(10, 1): (0.1, 0.2)})) == ()


def test_the_front_holds_the_trials_that_no_cheaper_one_beats() -> None:
    figure = loss_against_cost(RESULTS)
    assert figure.unit == "parameters"
    front = [point for point in figure.points if point.on_front]
    assert front[-1].trial == RESULTS.ranked()[0].number
    for point in front:
        assert all(p.loss > point.loss for p in figure.points if p.cost < point.cost)


def test_cost_is_seconds_where_the_parameters_are_not_known() -> None:
    figure = loss_against_cost(sweep_of({(10, 1): (0.1, 0.2), (20, 1): (0.3, 0.3)}))
    assert figure.unit == "seconds"
    assert [point.cost for point in figure.points] == [2.0, 2.0]
    assert "[s]" in cost_figure(figure, None, VAL_LOSS).layout.xaxis.title.text
