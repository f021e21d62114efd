"""The curves of stages and seeds and the outlier regions, as they are drawn."""

import dataclasses
import math
import re

from example_training import example_page, stage

from clustersweep.report.model.stage_figures import outlier_figure, stage_figure
from clustersweep.report.model.stages import outlier_panels, stage_panels

STAGES = example_page(resamples=100).stages


def test_a_rejected_stage_is_drawn_dashed_and_named() -> None:
    drawn = stage_figure(stage_panels(STAGES))
    dashed = [trace for trace in drawn.data if trace.line.dash == "dash" and len(trace.x) > 1]
    assert len(dashed) == 1
    assert "seed 1" in dashed[0].hovertemplate
    titles = [annotation.text for annotation in drawn.layout.annotations]
    assert [("not kept: seed 1" in title) for title in titles] == [False, True, False, False, False, False]
    assert "validation, not kept" in [trace.name for trace in drawn.data]


def test_each_curve_marks_its_best_epoch_and_what_it_set_out_from() -> None:
    drawn = stage_figure(stage_panels((stage("base", loss=0.05), stage("outliers", loss=0.04))))
    marked = [(t.marker.symbol, t.x[0], t.y[0]) for t in drawn.data if t.mode == "markers"]
    assert marked == [(None, 2, 0.05), ("diamond-open", 0, 0.05), (None, 2, 0.04)]
    assert "validation, not kept" not in [trace.name for trace in drawn.data]


def test_a_curve_that_diverged_is_drawn() -> None:
    wild = dataclasses.replace(stage("base"), curve=((0.2, math.inf), (0.1, 0.05)), nll_curve=((math.nan, 1.0),) * 2)
    drawn = stage_figure(stage_panels((wild,)))
    for axis in (drawn.layout.yaxis, drawn.layout.yaxis2):
        assert all(math.isfinite(end) for end in axis.range)


def test_the_outlier_figure_shades_the_regions_and_says_what_was_kept() -> None:
    panels = outlier_panels(STAGES)
    drawn = outlier_figure(panels)
    assert len(drawn.layout.shapes) == sum(len(panel.worst) for panel in panels)
    first = drawn.layout.shapes[0]
    assert (first.x0, first.x1) == (panels[0].edges[panels[0].worst[0]], panels[0].edges[panels[0].worst[0] + 1])
    fates = [re.sub("<.*?>", "", annotation.text) for annotation in drawn.layout.annotations]
    assert fates == ["seed 0: kept", "seed 1: not kept", "seed 2: kept"]
    assert [trace.line.dash for trace in drawn.data[:6]] == [None, "solid", None, "dash", None, "solid"]
