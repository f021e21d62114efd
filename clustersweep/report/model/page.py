"""Puts a trained model's page together: measurements -> figure data -> figures -> one file. Holds no arithmetic."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from clustersweep.files import write_atomically
from clustersweep.report.model import calibration_figures, mass_figures, stage_figures, tables, text
from clustersweep.report.model.masses import parity, residuals
from clustersweep.report.model.stages import outlier_panels, stage_panels
from clustersweep.report.page import Section, definitions, document, figure, paragraph
from clustersweep.report.style import draw
from clustersweep.report.sweep.sections import FOOTER
from clustersweep.training.evaluation.evaluation import Evaluation
from clustersweep.training.evaluation.results import Predictions, StageResult


@dataclass(frozen=True, kw_only=True)
class TrainingPage:
    """Everything that a trained model's page shows.

    Attributes:
        title: The model's name.
        facts: Network, recipe, data, versions, ... by what they are, in the order in which they are shown.
        stages: Every stage of every seed, in the order of training.
        evaluation: What was measured.
        test: The test part and its predictions.
        commands: Command line by what it does.
        failed: Why a seed failed; the model has no network of it.
    """

    title: str
    facts: Mapping[str, str]
    stages: tuple[StageResult, ...]
    evaluation: Evaluation
    test: Predictions
    commands: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Illustration:
    """A figure with its caption; `name` is that of its PNG and its id on the page."""

    name: str
    drawn: go.Figure
    caption: str


def write_training_page(page: TrainingPage, to: Path) -> Path:
    """Write the page into the file `to`; it needs nothing else, and no network.

    Raises:
        StorageError: The disk is full or read-only.
    """
    write_atomically(to, training_page(page).encode(), what="report")
    return to


def training_figures(page: TrainingPage) -> dict[str, go.Figure]:
    """Return the page's figures by name, as `png.write_pngs` takes them."""
    return {illustration.name: illustration.drawn for illustration in _illustrations(page)}


def training_page(page: TrainingPage) -> str:
    """Return the whole page as HTML."""
    found = page.evaluation
    drawn = {
        illustration.name: figure(
            draw(illustration.drawn, f"figure-{illustration.name}"), f"Figure {number}. {illustration.caption}"
        )
        for number, illustration in enumerate(_illustrations(page), start=1)
    }
    masses = drawn["masses"] + drawn["residuals"]
    masses += "<h3>Whole parts</h3>\n" + tables.metrics_html(found)
    masses += "<h3>Baselines</h3>\n" + tables.baselines_html(found)
    for name, bins in (
        ("true log M", found.by_mass),
        ("predicted log M", found.by_predicted_mass),
        ("redshift", found.by_redshift),
    ):
        if not bins:  # no cluster has a redshift
            continue
        masses += f"<h3>By {escape(name)}</h3>\n" + tables.bins_html(name, bins, found.best_baseline)
    masses += paragraph(tables.bins_note(found), "note")
    calibration = drawn["reliability"] + drawn["uncertainty"] + tables.calibration_html(found)
    training = drawn.get("curves", "") + tables.stages_html(page.stages)
    sections = [
        Section("verdict", "What the model is worth", text.verdict_html(found, page.stages, page.failed), "verdict"),
        Section("masses", "Masses", masses),
        Section("uncertainties", "Uncertainties", calibration),
        Section("training", "Training", training),
    ]
    if "outliers" in drawn:
        panels = outlier_panels(page.stages)
        members = [panel for panel in panels if panel.seed not in page.failed]
        body = (
            (paragraph(text.outlier_text(members)) if members else "")
            + drawn["outliers"]
            + tables.outliers_html(panels)
        )
        sections.append(Section("outliers", "Retraining on outliers", body))
    sections.append(
        Section("published", "Beside the published values", tables.published_html(found, page.stages, page.failed))
    )
    made = definitions((name, escape(value)) for name, value in page.facts.items())
    for what, command in page.commands.items():
        made += f"<h3>{escape(what)}</h3><pre>{escape(command)}</pre>\n"
    sections.append(Section("provenance", "How it was made", made))
    subtitle = page.facts.get("data", "")
    return document(page.title, subtitle, sections, FOOTER, get_plotlyjs())


def _illustrations(page: TrainingPage) -> Iterator[Illustration]:
    """Draw the figures in the order of the page."""
    found = page.evaluation
    plot, errors = parity(page.test, found), residuals(page.test, found)
    yield Illustration("masses", mass_figures.parity_figure(plot), text.parity_caption(plot))
    best = found.best_baseline
    yield Illustration("residuals", mass_figures.residual_figure(errors, best), text.residual_caption(errors, best))
    yield Illustration("reliability", calibration_figures.reliability_figure(found), text.reliability_caption(found))
    sd = found.factor * page.test.sd
    drawn = calibration_figures.uncertainty_figure(found.test_calibration, sd)
    yield Illustration("uncertainty", drawn, text.uncertainty_caption(found, sd))
    curves = stage_panels(page.stages)
    if curves:
        yield Illustration("curves", stage_figures.stage_figure(curves), text.LOSSES_CAPTION)
    retrained = outlier_panels(page.stages)
    if retrained:
        yield Illustration("outliers", stage_figures.outlier_figure(retrained), text.OUTLIERS_CAPTION)
