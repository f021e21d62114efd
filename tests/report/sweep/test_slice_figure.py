"""A slice figure as it is drawn: a trace for each look, and gaps that nothing bridges."""

from example_results import figure_of, grid_results, stop_trials

from clustersweep.report.sweep.slice_figure import slice_figure
from clustersweep.report.sweep.slices import slices
from clustersweep.study.stopping import compared_at

RESULTS = grid_results()


def test_the_drawing_has_a_trace_for_each_line_whose_gap_is_not_bridged() -> None:
    drawn = slice_figure(figure_of(RESULTS, "kernel_size"))
    lines = [trace for trace in drawn.data if trace.meta and "fixed" in trace.meta]
    assert len(lines) == 27 * 3
    assert not any(trace.connectgaps for trace in lines)
    deep = next(trace for trace in lines if trace.meta["fixed"]["conv_blocks"] == 3)
    assert list(deep.y[1:3]) == [None, None]
    assert "filters = 10" in deep.hovertext[0]
    assert "seed " in deep.hovertext[0]
    looks = {(t.line.color, t.line.dash, t.marker.symbol) for t in lines}
    assert len(looks) == 27  # every line can be told from every other


def test_lines_that_look_alike_share_a_trace_so_that_large_grids_stay_light() -> None:
    axes = {"filters": (10, 20), "dense_layers": (0, 1, 2, 3), "padding": ("same",), "dropout": (0.0, 0.1, 0.2)}
    figure = figure_of(grid_results({**axes, "pool_size": tuple(range(1, 9))}, (0,)), "filters")
    lines = [trace for trace in slice_figure(figure).data if trace.meta and "fixed" in trace.meta]
    assert len(figure.panels[0].lines) == 96
    assert len(lines) < 96
    assert sum(y is not None for trace in lines for y in trace.y) == 192


STOPPED = stop_trials(RESULTS)


def test_points_of_trials_that_were_stopped_there_are_hollow_and_those_stopped_before_are_gaps() -> None:
    first, later = (next(f for f in slices(compared_at(STOPPED, e)) if f.axis == "dense_layers") for e in (2, 5))
    points = [point for line in first.panels[0].lines for point in line.points if point is not None]
    assert (len(points), sum(point.stopped for point in points)) == (54, 35)
    symbols = [
        s for trace in slice_figure(first).data if trace.meta and "fixed" in trace.meta for s in trace.marker.symbol
    ]
    assert sum(str(symbol).endswith("-open") for symbol in symbols) == 3 * 35
    kinds = {(gap.kind, gap.reasons) for gap in later.gaps}
    assert any(kind == "stopped" and "after epoch 2" in reasons[0] for kind, reasons in kinds)
    assert sum(gap.count for gap in later.gaps if gap.kind == "stopped") == 35
