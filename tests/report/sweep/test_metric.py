"""The report follows the metric: its name, its unit and its direction, and no other task's words."""

import csv
import dataclasses
import io

import pytest
from example_results import grid_results, mirrored
from rich.console import Console

from clustersweep.display.tables import print_best
from clustersweep.report.sweep.curves import learning_curves, loss_against_cost
from clustersweep.report.sweep.effects import effects
from clustersweep.report.sweep.figures import curve_figure
from clustersweep.report.sweep.listings import Provenance
from clustersweep.report.sweep.page import sweep_page
from clustersweep.report.sweep.sections import curves_caption
from clustersweep.report.sweep.slices import slices
from clustersweep.report.sweep.table import results_csv

RESULTS = dataclasses.replace(grid_results(dead=False), label_variance=None)
MIRRORED = mirrored(RESULTS)


def test_the_best_values_of_the_axes_are_the_same_whichever_way_is_up():
    found = [effects(results, slices(results)) for results in (RESULTS, MIRRORED)]
    assert [e.best for e in found[0].effects] == [e.best for e in found[1].effects]
    assert [e.size for e in found[0].effects] == pytest.approx([e.size for e in found[1].effects])


def test_the_front_of_cost_is_the_same_whichever_way_is_up():
    fronts = [{p.trial for p in loss_against_cost(results).points if p.on_front} for results in (RESULTS, MIRRORED)]
    assert fronts[0] == fronts[1]


def test_the_panel_of_the_best_seeds_has_the_highest_values_where_more_is_better():
    panels = slices(MIRRORED)[0].panels
    means = [sum(panel.mean) for panel in panels]
    assert means == sorted(means, reverse=True)


def test_a_page_about_another_metric_has_its_name_and_unit_and_no_words_about_masses():
    page = sweep_page(MIRRORED, Provenance(), "now")
    for word in (" dex", "[dex", "dex²", "dex\\u00b2", "RMSE", "eFEDS", "val_loss", "validation loss", "log mass"):
        assert word not in page, word
    assert "accuracy against cost" in page
    assert "accuracy [%]" in page
    assert "highest mean at" in page


def test_the_table_for_programs_has_the_metrics_own_columns():
    rows = list(csv.DictReader(io.StringIO(results_csv(MIRRORED).decode())))
    assert {"accuracy", "trial_value"} <= rows[0].keys()
    assert not {"val_loss_dex2", "rmse_dex", "r2", "val_nll"} & rows[0].keys()
    complete = next(row for row in rows if row["state"] == "complete")
    assert 0.5 < float(complete["accuracy"]) < 1


def test_the_table_on_the_terminal_has_the_metrics_name_and_unit():
    said = io.StringIO()
    print_best(MIRRORED, Console(file=said, width=150))
    assert "Best combinations (accuracy and its sd over the seeds in %)" in said.getvalue()
    assert "% of the best, the noise of the seeds" in said.getvalue()
    assert "dex" not in said.getvalue()
    assert "RMSE" not in said.getvalue()


def test_curves_without_a_training_part_are_drawn_and_described_without_it():
    panels = learning_curves(MIRRORED)
    alone = [
        type(p)(p.place, p.trial, p.params, tuple(
            type(c)(c.seed, (float("nan"),) * len(c.loss), c.val_loss, c.best_epoch) for c in p.curves))
        for p in panels
    ]  # fmt: skip
    assert "training" in curves_caption(panels, MIRRORED.metric)
    assert "training" not in curves_caption(alone, MIRRORED.metric)
    assert curve_figure(alone, None, MIRRORED.metric).data
