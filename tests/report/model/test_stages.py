"""The data of the figures of a training: what each stage set out from and came to."""

import dataclasses
import math

import numpy as np
import pytest
from example_training import example_page, stage

from clustersweep.report.model.stages import before, final, outlier_panels, stage_panels
from clustersweep.report.model.tables import outliers_html

STAGES = example_page(resamples=100).stages


def test_every_stage_has_a_panel_of_losses_and_those_with_a_variance_one_of_likelihoods() -> None:
    panels = stage_panels(STAGES)
    names = ["base", "outliers", "probabilistic", "fine_tune"]
    assert [(p.stage, p.measure) for p in panels] == [(n, "mse") for n in names] + [(n, "nll") for n in names[2:]]
    assert all([curve.seed for curve in panel.curves] == [0, 1, 2] for panel in panels)
    curve, result = panels[1].curves[1], next(r for r in STAGES if r.stage == "outliers" and r.seed == 1)
    assert not curve.kept
    assert curve.validation == tuple(pair[1] for pair in result.curve)
    assert curve.validation[curve.best_epoch - 1] == result.val_loss


def test_a_stage_sets_out_from_the_last_one_that_was_kept() -> None:
    stages = (stage("base", loss=0.05), stage("outliers", kept=False, loss=0.06), stage("base", 1, loss=0.9),
              stage("probabilistic", loss=0.055, nll=-0.1), stage("fine_tune", loss=0.04, nll=-0.2))  # fmt: skip
    assert [before(s, stages) for s in stages] == [None, 0.05, None, 0.05, 0.055]
    assert [before(s, stages, "nll") for s in stages] == [None, None, None, None, -0.1]
    stages += (stage("outliers", 1, kept=False),)
    assert [(s.seed, s.stage) for s in final(stages)] == [(0, "fine_tune"), (1, "base")]


def test_outlier_panels_split_the_error_into_regions_and_others() -> None:
    panel = outlier_panels(STAGES)[1]
    others = [number for number in range(10) if number not in panel.worst]
    assert not panel.kept
    assert panel.clusters == (255, 1016)
    assert panel.inside[0] == pytest.approx(np.mean([panel.before[number] for number in panel.worst]))
    assert panel.outside[1] == pytest.approx(np.mean([panel.after[number] for number in others]))
    base = next(result for result in STAGES if result.seed == 1)
    retrained = next(result for result in STAGES if result.seed == 1 and result.stage == "outliers")
    assert panel.whole == (base.val_loss, retrained.val_loss)


def test_empty_bins_are_left_out_of_the_means() -> None:
    results = [result for result in STAGES if result.regions is not None]
    regions = dataclasses.replace(results[0].regions, before=(math.nan, *results[0].regions.before[1:]))
    panel = outlier_panels((dataclasses.replace(results[0], regions=regions),))[0]
    assert math.isfinite(panel.inside[0])
    assert math.isnan(panel.whole[0])  # the stage before is not known
    assert "–" in outliers_html((panel,))
