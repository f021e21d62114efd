"""Puts a sweep's report together: results -> figure data -> figures -> one page. Holds no arithmetic."""

from plotly.offline import get_plotlyjs

from clustersweep.report.page import Section, choices, document, figure, paragraph
from clustersweep.report.style import Encoding, draw
from clustersweep.report.sweep import figures, listings, sections
from clustersweep.report.sweep.curves import learning_curves, loss_against_cost
from clustersweep.report.sweep.effects import effects
from clustersweep.report.sweep.listings import Provenance
from clustersweep.report.sweep.slice_figure import slice_figure
from clustersweep.report.sweep.slices import slices
from clustersweep.report.sweep.verdict import verdict
from clustersweep.study.results import SweepResults, TrialState
from clustersweep.study.stopping import budgets, compared_at


def sweep_page(results: SweepResults, provenance: Provenance, written: str) -> str:
    """Return the whole report as HTML.

    Raises:
        NothingCompleteError: No trial is complete.
    """
    found, metric = verdict(results), results.metric
    parts = [Section("verdict", "The best combination", sections.verdict_html(results, found), "verdict")]
    if any(len(values) > 1 for values in results.axes.values()):
        parts += _hyperparameters(results)
    curves = learning_curves(results)
    if curves:
        drawn = draw(figures.curve_figure(curves, results.label_variance, metric), "figure-curves")
        parts.append(Section("curves", "Learning curves", figure(drawn, sections.curves_caption(curves, metric))))
    cost = loss_against_cost(results)
    drawn = draw(figures.cost_figure(cost, results.label_variance, metric), "figure-cost")
    parts.append(
        Section(
            "cost",
            f"{sections.capital(metric.noun, metric)} against cost",
            figure(drawn, sections.cost_caption(cost, metric)),
        )
    )
    parts.append(Section("trials", "All complete trials", listings.trials_html(results, found)))
    if results.count(TrialState.STOPPED):
        parts.append(Section("stopped", "Stopped early", listings.stopped_html(results)))
    if results.count(TrialState.INFEASIBLE):
        parts.append(Section("impossible", "Impossible combinations", listings.infeasible_html(results)))
    unfinished = listings.unfinished_html(results)
    if unfinished:
        parts.append(Section("unfinished", "Failed and unfinished", unfinished))
    if results.launches:
        parts.append(Section("times", sections.times_title(results), listings.times_html(results)))
    parts.append(Section("provenance", "Provenance", listings.provenance_html(results, provenance, written)))
    return document(results.study, provenance.data, parts, sections.FOOTER, get_plotlyjs())


def _hyperparameters(results: SweepResults) -> list[Section]:
    """Return the sections about each hyperparameter; where trials were stopped, for every budget that compares them."""
    lines, noise = [], []
    for epoch in budgets(results):
        at = compared_at(results, epoch)
        data, name = slices(at), "" if epoch is None else f"-after-{epoch}"
        body = ""
        for number, one in enumerate(data, start=1):
            drawn = draw(slice_figure(one), f"figure-slice-{number}{name}")
            body += sections.slice_html(number, one, drawn, Encoding(one.others).axes)
        split = effects(at, data)
        drawn = draw(figures.effect_figure(split, results.metric), f"figure-effects{name}")
        label = sections.budget_label(at, epoch)
        lines.append((label, body))
        noise.append((label, sections.effects_html(at, split, drawn)))
    count = len(slices(compared_at(results, budgets(results)[0]))[0].panels)
    told = paragraph(sections.slices_introduction(count, results.metric), "note")
    if len(lines) > 1:
        told += paragraph(sections.BUDGETS, "note")
    question = "All combinations compared"
    return [
        Section("hyperparameters", "Each hyperparameter", told + choices("lines", question, lines), "slices"),
        Section("noise", "Effect against noise", choices("effects", question, noise)),
    ]
