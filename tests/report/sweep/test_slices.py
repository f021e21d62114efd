"""The data of a slice figure: its panels and lines, its means and its gaps."""

import dataclasses
import math
import statistics

import pytest
from example_results import GRID, fail_trial, figure_of, grid_results, replace_trial, stop_trials, sweep_of

from clustersweep.report.sweep.sections import slice_html
from clustersweep.report.sweep.slice_figure import slice_figure
from clustersweep.report.sweep.slices import Gap, slices
from clustersweep.study.results import TrialState
from clustersweep.study.stopping import compared_at

RESULTS = grid_results()


def test_every_hyperparameter_has_a_figure_with_27_lines_in_three_panels() -> None:
    figures = slices(RESULTS)
    assert [figure.axis for figure in figures] == list(GRID)
    assert all(len(panel.lines) == 27 for figure in figures for panel in figure.panels)
    assert [panel.rank for panel in figures[0].panels] == [1, 2, 3]


def test_panels_are_ordered_by_the_rank_of_the_seed_within_each_combination() -> None:
    trial = RESULTS.ranked()[0]
    expected = sorted((r.value, r.seed) for r in trial.replicates.values())
    figure = figure_of(RESULTS, "filters")
    found = [
        (point.loss, point.seed)
        for panel in figure.panels
        for line in panel.lines
        for point in line.points
        if point is not None and point.trial == trial.number
    ]
    assert found == expected


def test_impossible_cells_are_gaps_and_their_value_stays_on_the_axis() -> None:
    figure = figure_of(RESULTS, "kernel_size")
    assert figure.values == (3, 5, 7)
    deep = [line for line in figure.panels[0].lines if line.fixed["conv_blocks"] == 3]
    assert all([point is None for point in line.points] == [False, True, True] for line in deep)
    assert [(gap.x, gap.kind, gap.count) for gap in figure.gaps] == [(5, "impossible", 9), (7, "impossible", 18)]


def test_a_gap_says_why_and_what_its_combinations_share() -> None:
    (gap,) = [gap for gap in figure_of(RESULTS, "kernel_size").gaps if gap.x == 5]
    why = next(trial.infeasible for trial in RESULTS.trials if trial.infeasible)
    assert gap.reasons == (f"9: {why.reason} (conv_blocks = 3)",)


def test_the_mean_is_over_the_lines_that_have_all_values_only() -> None:
    figure = figure_of(RESULTS, "kernel_size")
    assert figure.whole_lines == 9  # only one block leaves room for every kernel
    panel = figure.panels[1]
    whole = [line.points for line in panel.lines if line.fixed["conv_blocks"] == 1]
    expected = [statistics.fmean(p.loss for p in at if p is not None) for at in zip(*whole, strict=True)]
    assert panel.mean == pytest.approx(expected)


def test_without_a_whole_line_there_is_no_mean_and_the_caption_says_why() -> None:
    results = sweep_of({(10, 1): (0.1, 0.2), (20, 2): (0.1, 0.3)})
    figure = figure_of(results, "filters")
    assert figure.panels[0].mean == ()
    assert math.isnan(figure.effect)
    caption = slice_html(1, figure, "", ["dense_layers"])
    assert "None has a point at every value of filters: no mean is drawn, it would compare unlike things." in caption


def test_failed_waiting_and_absent_trials_are_gaps_of_their_own_kind() -> None:
    results = sweep_of({(10, 1): (0.1, 0.2), (10, 2): (0.1, 0.2), (20, 1): (0.1, 0.2), (20, 2): (0.1, 0.3)})
    results = fail_trial(results, 0)
    results = replace_trial(results, 1, state=TrialState.RUNNING, value=None, replicates={})
    results = dataclasses.replace(results, trials=results.trials[:-1])
    assert figure_of(results, "filters").gaps == (
        Gap(10, "failed", 1, ("1: NonFiniteLoss",)),
        Gap(10, "unfinished", 1, ("1: running",)),
        Gap(20, "unfinished", 1, ("1: not launched",)),
    )


def test_a_trial_that_lacks_a_seed_is_not_drawn_among_complete_ones() -> None:
    results = fail_trial(sweep_of({(10, 1): (0.1, 0.2), (20, 1): (0.3, 0.4)}), 0)
    points = [line.points for panel in figure_of(results, "filters").panels for line in panel.lines]
    assert [[p and p.loss for p in line] for line in points] == [[None, 0.3], [None, 0.4]]


@pytest.mark.parametrize("seeds", [(4,), (0, 1), (0, 1, 2, 3, 4)])
def test_there_are_as_many_panels_as_seeds(seeds: tuple[int, ...]) -> None:
    results = grid_results({"filters": (10, 20), "pooling": ("max", "average")}, seeds)
    figure = figure_of(results, "pooling")
    assert len(figure.panels) == len(seeds)
    drawn = slice_figure(figure)
    assert sum("of " in a.text or "only" in a.text for a in drawn.layout.annotations) == len(seeds)


@pytest.mark.parametrize(
    ("axis", "values", "ordered", "scale"),
    [
        ("filters", (30, 10, 20), (10, 20, 30), "linear"),
        ("pooling", ("max", "average"), ("max", "average"), "category"),
        ("learning_rate", (1e-2, 1e-4, 1e-3), (1e-4, 1e-3, 1e-2), "log"),
        ("dropout", (0.0, 0.5), (0.0, 0.5), "linear"),
    ],
)
def test_numbers_ascend_on_a_numeric_axis_and_choices_keep_their_order(
    axis: str, values: tuple[float, ...], ordered: tuple[float, ...], scale: str
) -> None:
    figure = figure_of(grid_results({axis: values, "dense_layers": (1, 2)}), axis)
    assert (figure.values, figure.scale) == (ordered, scale)


def test_an_axis_with_one_value_has_no_figure_and_is_held_fixed_in_no_caption() -> None:
    figures = slices(grid_results({"filters": (10,), "dense_layers": (1, 2), "pooling": ("max", "average")}))
    assert [figure.axis for figure in figures] == ["dense_layers", "pooling"]
    assert [list(figure.others) for figure in figures] == [["pooling"], ["dense_layers"]]


def test_the_strongest_of_the_fixed_hyperparameters_comes_first() -> None:
    assert next(iter(figure_of(RESULTS, "filters").others)) == "conv_blocks"


STOPPED = stop_trials(RESULTS)


def test_a_budget_compares_values_until_there() -> None:
    figure = next(f for f in slices(compared_at(STOPPED, 2)) if f.axis == "dense_layers")
    best = min(value for t in RESULTS.ranked() for r in t.complete_replicates for _, value in r.curve[:2])
    assert figure.low == pytest.approx(best)
