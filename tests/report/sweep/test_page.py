"""The report's figure data and words; what the browser makes of them is in test_report_browser.py."""

import csv
import dataclasses
import io
import itertools
import json
import math
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
from example_results import GRID, LABEL_VARIANCE, fail_trial, grid_results, replace_trial, stop_trials

from clustersweep.errors import NothingCompleteError, StorageError
from clustersweep.masses.export import evidence_of
from clustersweep.report import Provenance, summary, write_report
from clustersweep.report.style import draw
from clustersweep.report.sweep.curves import learning_curves, loss_against_cost
from clustersweep.report.sweep.effects import effects
from clustersweep.report.sweep.figures import cost_figure, curve_figure, effect_figure
from clustersweep.report.sweep.listings import (
    infeasible_html,
    provenance_html,
    stopped_html,
    times_html,
    unfinished_html,
)
from clustersweep.report.sweep.page import sweep_page
from clustersweep.report.sweep.sections import slice_html, slices_introduction, verdict_html
from clustersweep.report.sweep.slice_figure import slice_figure
from clustersweep.report.sweep.slices import Gap, SliceFigure, slices
from clustersweep.report.sweep.table import results_csv
from clustersweep.report.sweep.verdict import r_squared, rmse, verdict
from clustersweep.study.events import Device
from clustersweep.study.objective import ObjectiveSpec
from clustersweep.study.ranking import typical_spread
from clustersweep.study.results import (
    Aggregate,
    CompleteReplicate,
    LaunchTime,
    SweepResults,
    TrialResult,
    TrialState,
    loss_of,
)
from clustersweep.study.stopping import compared_at
from clustersweep.training.metric import VAL_LOSS

RESULTS = grid_results()


def figure_of(results: SweepResults, axis: str) -> SliceFigure:
    return next(figure for figure in slices(results) if figure.axis == axis)


def sweep_of(losses: dict[tuple[int, int], tuple[float, ...]]) -> SweepResults:
    """Give a sweep over filters and dense_layers with given losses, a seed each."""
    axes = {"filters": tuple(sorted({f for f, _ in losses})), "dense_layers": tuple(sorted({d for _, d in losses}))}
    trials = []
    for number, ((filters, dense), values) in enumerate(losses.items()):
        done = {seed: CompleteReplicate(seed, v, 3, 5, 2.0, "w") for seed, v in enumerate(values)}
        params = {"filters": filters, "dense_layers": dense}
        trials.append(TrialResult(number, params, TrialState.COMPLETE, statistics.fmean(values), done))
    return SweepResults("tiny", "d1", axes, tuple(range(len(values))), tuple(trials), 0.2, metric=VAL_LOSS)


# ------------------------------------------------------------------------------------------------ slices


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


def test_the_introduction_explains_the_ranks_only_where_there_are_several() -> None:
    assert "its 3 seeds are ranked by loss" in slices_introduction(3, VAL_LOSS)
    assert "Every combination has one seed" in slices_introduction(1, VAL_LOSS)


# ------------------------------------------------------------------------------------------------ verdict


def test_the_best_and_those_within_two_standard_errors_of_it_are_named() -> None:
    near, far = (0.0615, 0.0625), (0.09, 0.1)
    results = sweep_of({(10, 1): (0.06, 0.061), (10, 2): near, (20, 1): far, (20, 2): far})
    found = verdict(results)
    assert found.margin == pytest.approx(2 * found.noise * math.sqrt(2 / 2))
    assert found.best.number == 0
    assert [trial.number for trial in found.ties] == [1]
    assert found.shared == {"filters": 10}
    words = verdict_html(results, found)
    assert "1 other combination lies within the noise of the seeds, so it may be as good." in words
    assert "They and the best agree in filters = 10." in words


@pytest.mark.parametrize(
    ("over_seeds", "factor", "words"),
    [("median", 0.66983, "medians"), ("min", 0.74798, "minima"), ("max", 0.74798, "maxima")],
)
def test_the_noise_is_that_of_what_the_seeds_become(over_seeds: Aggregate, factor: float, words: str) -> None:
    results = dataclasses.replace(RESULTS, over_seeds=over_seeds)
    found = verdict(results)
    assert found.margin == pytest.approx(2 * found.noise * math.sqrt(2) * factor, rel=1e-4)
    assert f"two {words} over 3 seeds are called different when" in verdict_html(results, found)
    assert evidence_of(results, found.best, 1, ObjectiveSpec(over_seeds=over_seeds)).margin == found.margin


def test_the_typical_spread_recovers_the_true_one_and_ignores_dead_networks() -> None:
    alive = grid_results(dead=False)
    true = statistics.fmean(trial.spread() ** 2 for trial in alive.ranked()) ** 0.5
    assert typical_spread(alive.ranked()) == pytest.approx(true, rel=0.25)
    assert verdict(RESULTS).dead_replicates > 2
    assert typical_spread(RESULTS.ranked()) == pytest.approx(true, rel=0.25)


def test_one_seed_gives_no_noise_and_the_page_says_so() -> None:
    results = grid_results(seeds=(0,))
    found = verdict(results)
    assert math.isnan(found.noise)
    assert found.ties == ()
    assert "nothing can be said about noise" in verdict_html(results, found)


def test_a_sweep_without_a_complete_trial_cannot_be_reported(tmp_path: Path) -> None:
    waiting = TrialResult(0, {"filters": 10}, TrialState.WAITING)
    results = SweepResults("s", "d", {"filters": (10,)}, (0,), (waiting,), metric=VAL_LOSS)
    with pytest.raises(NothingCompleteError, match=r"s: no trial is complete \(1 waiting\).*Run `clustersweep launch`"):
        write_report(results, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_trials_at_the_variance_of_the_labels_have_learned_nothing() -> None:
    results = sweep_of({(10, 1): (0.1, 0.1), (20, 1): (0.2, 0.3)})
    found = verdict(results)
    assert [trial.number for trial in found.learned_nothing] == [1]
    assert "1 trial learned nothing (no better than a constant)." in verdict_html(results, found)


def test_the_verdict_counts_what_is_impossible_failed_and_unfinished() -> None:
    results = replace_trial(fail_trial(RESULTS, 0), 1, state=TrialState.WAITING, value=None, replicates={})
    words = verdict_html(results, verdict(results))
    assert "Of 81 combinations, 52 complete, 27 impossible, 1 failed and 1 not finished." in words
    assert "The verdict is about the complete ones only." in words


def test_the_verdict_compares_with_the_published_losses_and_warns_that_variances_differ() -> None:
    words = verdict_html(RESULTS, verdict(RESULTS))
    assert "0.1471" in words
    assert "0.0533" in words
    assert "variance of log mass differs from one data set to another" in words


def test_rmse_is_in_dex_and_r_squared_needs_the_variance() -> None:
    assert rmse(0.04) == pytest.approx(0.2)
    assert r_squared(0.05, 0.2) == pytest.approx(0.75)
    assert math.isnan(r_squared(0.05, None))


# ------------------------------------------------------------------------------------------------ effects


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


# ------------------------------------------------------------------------------------------------ curves and cost


def test_learning_curves_are_those_of_the_best_trials_with_all_seeds() -> None:
    panels = learning_curves(RESULTS, 2)
    assert [panel.trial for panel in panels] == [trial.number for trial in RESULTS.ranked()[:2]]
    curve = panels[0].curves[0]
    replicate = RESULTS.ranked()[0].replicates[curve.seed]
    assert curve.val_loss[curve.best_epoch - 1] == replicate.value
    assert [c.seed for c in panels[0].curves] == [0, 1, 2]


def test_trials_without_a_curve_are_left_out() -> None:
    assert learning_curves(sweep_of({(10, 1): (0.1, 0.2)})) == ()


def test_a_curve_with_epochs_that_diverged_is_drawn() -> None:
    replicate = CompleteReplicate(0, 0.1, 2, 3, 1.0, "w", ((0.2, math.inf), (0.1, 0.1), (0.3, math.nan)))
    trial = TrialResult(0, {}, TrialState.COMPLETE, 0.1, {0: replicate})
    panels = learning_curves(SweepResults("s", "d", {}, (0,), (trial,), metric=VAL_LOSS))
    drawn = curve_figure(panels, None, VAL_LOSS)
    assert [len(trace.y) for trace in drawn.data[:2]] == [3, 3]
    assert all(math.isfinite(end) for end in drawn.layout.yaxis.range)


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


# ------------------------------------------------------------------------------------------------ tables


def test_the_table_has_a_row_for_each_replicate_and_each_impossible_combination() -> None:
    rows = list(csv.DictReader(io.StringIO(results_csv(RESULTS).decode())))
    assert len(rows) == 54 * 3 + 27
    done = [row for row in rows if row["state"] == "complete"]
    first = RESULTS.trials[0].replicates[0]
    assert float(done[0]["val_loss_dex2"]) == first.value  # every digit
    assert float(done[0]["r2"]) == pytest.approx(1 - loss_of(first) / LABEL_VARIANCE)
    impossible = [row for row in rows if row["state"] == "infeasible"]
    assert len(impossible) == 27
    assert impossible[0]["reason"].startswith("a 5 x 5 kernel")
    assert impossible[0]["seed"] == ""


def test_the_table_has_the_likelihood_of_networks_with_a_variance() -> None:
    trial = RESULTS.ranked()[0]
    judged = {0: dataclasses.replace(trial.replicates[0], val_nll=-0.25)}
    results = replace_trial(RESULTS, trial.number, replicates={**trial.replicates, **judged})
    rows = csv.DictReader(io.StringIO(results_csv(results).decode()))
    found = {row["seed"]: row["val_nll"] for row in rows if row["trial"] == str(trial.number)}
    assert found == {"0": "-0.25", "1": "", "2": ""}


def test_the_table_and_the_provenance_say_what_computed_each_replicate() -> None:
    trial = RESULTS.ranked()[0]
    devices = Device("CPU", "Xeon", 1, "float32", True), Device("GPU", "A100", 1, "tf32", deterministic=False)
    told = {seed: dataclasses.replace(trial.replicates[seed], devices=devices[:number])
            for seed, number in ((0, 1), (1, 2))}  # fmt: skip
    results = replace_trial(RESULTS, trial.number, replicates={**trial.replicates, **told})
    rows = csv.DictReader(io.StringIO(results_csv(results).decode()))
    names = ("device", "device_model", "threads", "precision", "deterministic")
    found = {row["seed"]: [row[name] for name in names] for row in rows if row["trial"] == str(trial.number)}
    assert found == {
        "0": ["CPU", "Xeon", "1", "float32", "True"],
        "1": ["CPU; GPU", "Xeon; A100", "1", "float32; tf32", "True; False"],
        "2": [""] * 5,
    }
    page = provenance_html(results, Provenance(), "now")
    assert "CPU Xeon, 1 thread, float32 (1 replicate)" in page
    assert "then GPU A100, 1 thread, tf32, order of sums left open (1 replicate)" in page
    assert "trained on" not in provenance_html(RESULTS, Provenance(), "now")


def test_failed_and_waiting_replicates_have_rows_too_on_one_line_each() -> None:
    results = fail_trial(RESULTS, 0, 'RuntimeError: "boom",\n  File x.py')
    results = replace_trial(results, 1, state=TrialState.WAITING, value=None, replicates={})
    text = results_csv(results).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == len(text.splitlines()) - 1
    (failed,) = [row for row in rows if row["state"] == "failed"]
    assert failed["error"] == 'RuntimeError: "boom", File x.py'
    assert failed["trial_state"] == "failed"
    assert [row["seed"] for row in rows if row["state"] == "waiting"] == ["0", "1", "2"]


def test_the_summary_is_plain_json() -> None:
    found = json.loads(json.dumps(summary(RESULTS)))
    best = RESULTS.ranked()[0]
    assert found["best"]["number"] == best.number
    assert found["best"]["seeds"]["0"] == best.replicates[0].value
    assert (len(found["trials"]), len(found["infeasible"])) == (54, 27)
    empty = dataclasses.replace(RESULTS, trials=())
    assert summary(empty)["best"] is None


# ------------------------------------------------------------------------------------------------ page


def test_a_report_is_one_html_file_and_a_table_beside_it(tmp_path: Path) -> None:
    files = write_report(RESULTS, tmp_path / "new" / "folder", Provenance(data="7,946 clusters"))
    page = files.html.read_text()
    assert files.csv.read_bytes() == results_csv(RESULTS)
    assert sorted(path.name for path in files.html.parent.iterdir()) == ["report.html", "results.csv"]
    assert page.count("* plotly.js v") == 1
    assert page.count('class="plotly-graph-div"') == 7
    assert "default-src 'none'" in page
    assert "7,946 clusters" in page
    assert files.html.stat().st_size < 6_000_000


def test_everything_from_outside_is_escaped(tmp_path: Path) -> None:
    evil = '<script>alert("x")</script>'
    results = dataclasses.replace(fail_trial(RESULTS, 0, f"{evil}\n{evil}"), study=evil, digest=evil)
    given = Provenance(data=evil, launched=evil, versions={evil: evil}, commands={evil: evil})
    page = write_report(results, tmp_path, given).html.read_text()
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert") > 8


def test_choices_are_escaped_in_figures_and_headings(tmp_path: Path) -> None:
    axes = {"<b>axis</b>": ("<i>a</i>", "<i>b</i>"), "filters": (10, 20)}
    page = write_report(grid_results(axes), tmp_path).html.read_text()
    assert "<b>axis" not in page
    assert "<i>a" not in page


def test_no_figure_offers_to_upload_its_data() -> None:
    drawn = draw(slice_figure(figure_of(RESULTS, "filters")), "name")
    assert '"showSendToCloud": false' in drawn
    assert "plotly.com" not in drawn


def test_failures_and_impossible_combinations_are_listed_with_their_evidence() -> None:
    body = unfinished_html(fail_trial(RESULTS, 0, "RuntimeError: boom\ntrace"))
    assert "Failed replicates (1)" in body
    assert "<summary>RuntimeError: boom</summary>" in body
    assert unfinished_html(RESULTS) == ""
    listed = infeasible_html(RESULTS)
    assert listed.count("kernel_exceeds_input") == 27
    assert "block2_pool&nbsp;3×3×20" in listed


@pytest.mark.parametrize(
    "axes",
    [{}, {"filters": (10,)}, {"filters": (10, 20)}, {**GRID, "pooling": ("max", "average"), "dropout": (0.0,)}],
    ids=["no axis", "one value", "one axis", "six axes"],
)
def test_sweeps_of_any_shape_can_be_reported(axes: dict[str, tuple[int, ...]], tmp_path: Path) -> None:
    assert write_report(grid_results(axes, (0, 1)), tmp_path).html.exists()


def test_incomplete_sweeps_of_unknown_variance_can_be_reported(tmp_path: Path) -> None:
    trials = tuple(t for t in RESULTS.trials if t.number % 3)
    results = dataclasses.replace(RESULTS, trials=trials, label_variance=None)
    assert "R²:" not in write_report(fail_trial(results, 1), tmp_path).html.read_text()


def test_a_folder_that_cannot_be_made_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"the report's table of .* bytes cannot be written"):
        write_report(RESULTS, tmp_path / "file")


def test_importing_the_report_does_not_import_plotly() -> None:
    code = "import sys, clustersweep.report; sys.exit('plotly' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_time_that_launches_took_is_compared_with_the_estimate_for_what_they_trained():
    first = LaunchTime(2, 24, 60, 120, estimated_s=100.0, seconds=40.0, measured=False)
    again = LaunchTime(8, 12, 60, 60, estimated_s=10.0, seconds=12.0, measured=True)
    shown = times_html(dataclasses.replace(RESULTS, launches=(first, again)))
    rows = [re.findall(r">([^<]*)</td>", row) for row in shown.split("<tr")[2:]]
    assert rows == [
        ["1", "2", "24", "60 of 120", "100", "40", "0.80", "a default"],
        ["2", "8", "12", "60 of 60", "10", "12", "1.20", "earlier sweeps there"],
    ]


def test_a_report_without_recorded_launches_says_nothing_of_time():
    page = sweep_page(RESULTS, Provenance(), "now")
    assert "Time, estimated and taken" not in page
    timed = dataclasses.replace(RESULTS, launches=(LaunchTime(2, 24, 60, 120, 100.0, 40.0, measured=True),))
    assert "Time, estimated and taken" in sweep_page(timed, Provenance(), "now")


# --- trials that were stopped early


STOPPED = stop_trials(RESULTS)


def test_where_trials_were_stopped_lines_are_drawn_for_every_budget_that_compares_them() -> None:
    page = sweep_page(STOPPED, Provenance(), "now")
    labels = ["after epoch 2 (54 combinations)", "after epoch 5 (19 combinations)"]
    labels.append("at the end of their training (7 combinations)")
    for label in labels:
        assert page.count(f'value="{label}"') == 2  # lines, and effects
    for number, name in itertools.product((1, 2, 3, 4), ("", "-after-2", "-after-5")):
        assert f'id="figure-slice-{number}{name}"' in page
    assert "only equal budgets are compared" in page
    assert "only equal budgets are compared" not in sweep_page(RESULTS, Provenance(), "now")


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


def test_a_budget_compares_values_until_there() -> None:
    figure = next(f for f in slices(compared_at(STOPPED, 2)) if f.axis == "dense_layers")
    best = min(value for t in RESULTS.ranked() for r in t.complete_replicates for _, value in r.curve[:2])
    assert figure.low == pytest.approx(best)


def test_stopped_trials_are_listed_with_rung_rank_and_value() -> None:
    text = re.sub("<[^>]*>", " ", stopped_html(STOPPED))
    trial = next(t for t in STOPPED.trials if t.stopped is not None)
    assert f"{trial.stopped.rank} of {trial.stopped.among}" in text
    assert f"{trial.stopped.value:.4f}" in text
    assert stopped_html(STOPPED).count("<tr") == 1 + 47


def test_the_verdict_says_how_many_were_stopped() -> None:
    text = verdict_html(STOPPED, verdict(STOPPED))
    assert "7 complete, 27 impossible, 0 failed, 47 stopped early and 0 not finished" in text
    assert "The verdict is about the complete ones only." in text


def test_the_summary_has_what_was_stopped() -> None:
    told = summary(STOPPED)["stopped"]
    assert len(told) == 47
    assert set(told[0]) == {"number", "params", "rung", "rank", "among", "value"}
