"""Draws a survey: figure 1 (masses and redshifts) and example clusters band by band, in one HTML file."""

from html import escape
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from clustersweep.files import write_atomically
from clustersweep.report.page import Section, definitions, document, figure, paragraph
from clustersweep.report.style import COLOURS, INK, MUTED, axis_id, axis_key, base, draw, frame
from clustersweep.survey import figures
from clustersweep.survey.dataset import Dataset
from clustersweep.survey.figures import Example, Histogram, MassRedshift
from clustersweep.words import counted

_COLUMNS_PER_ROW, _GAP = 5, 0.025


def write_survey_page(dataset: Dataset, to: Path, source: str) -> Path:
    """Write the page of a survey into the file `to`; `source` says in words where the data are from.

    Raises:
        StorageError: The disk is full or read-only.
    """
    write_atomically(to, survey_page(dataset, source).encode(), what="survey's page")
    return to


def survey_page(dataset: Dataset, source: str) -> str:
    """Return the whole page as HTML that needs nothing else."""
    facts = definitions((name.strip(), escape(value)) for name, value in figures.summary(dataset).items())
    missing = int(np.isnan(dataset.redshift).sum())
    if missing < len(dataset):
        without = f" {counted(missing, 'cluster')} without a redshift not drawn." if missing else ""
        histograms = figures.mass_histogram(dataset), figures.redshift_histogram(dataset)
        points = draw(mass_redshift_figure(figures.mass_redshift(dataset)), "figure-plane")
        distribution = figure(
            draw(histogram_figure(*histograms), "figure-histograms"),
            f"Figure 1. Masses and redshifts of the clusters. Dotted lines: medians.{without}",
        ) + figure(points, f"Figure 2. Mass against redshift, coloured by the sum of the image.{without}")
        first_example = 3
    else:
        distribution = figure(
            draw(histogram_figure(figures.mass_histogram(dataset)), "figure-histograms"),
            "Figure 1. Masses of the clusters. Dotted line: median. No cluster has a redshift.",
        )
        first_example = 2
    shown = figures.examples(dataset)
    body = paragraph(
        "From the lightest to the heaviest, one panel a band. The colour is the square root of a pixel's value, on "
        "one scale for all bands of a cluster, from black for 0; about one pixel in a thousand is above its end.",
        "note",
    )
    for number, example in enumerate(shown):
        drawn = draw(example_figure(example), f"figure-example-{number + 1}")
        body += figure(drawn, _caption(number + first_example, example))
    sections = [
        Section("summary", "The data", facts),
        Section("distribution", "Masses and redshifts", distribution),
        Section("examples", "Example clusters", body),
    ]
    return document("Survey", source, sections, "Written by clustersweep.", get_plotlyjs())


def histogram_figure(*histograms: Histogram) -> go.Figure:
    """Draw histograms side by side."""
    drawn = go.Figure(layout=base(360, showlegend=False, margin={"l": 60, "r": 20, "t": 20, "b": 55}, bargap=0.0))
    share = 1 / len(histograms)
    for number, data in enumerate(histograms):
        x, y = axis_id("x", number), axis_id("y", number)
        domain = [number * share + (0.05 if number else 0.0), (number + 1) * share - (0.05 if number == 0 else 0.0)]
        drawn.update_layout({
            axis_key(x): frame(data.quantity, domain=domain, anchor=y),
            axis_key(y): frame("clusters", anchor=x, rangemode="tozero"),
        })  # fmt: skip
        middle, width = (data.edges[1:] + data.edges[:-1]) / 2, np.diff(data.edges)
        ranges = [f"{low:.2f} to {high:.2f}" for low, high in zip(data.edges[:-1], data.edges[1:], strict=True)]
        drawn.add_trace(
            go.Bar(
                x=middle, y=data.clusters, width=width, xaxis=x, yaxis=y, customdata=ranges,
                marker={"color": COLOURS[0], "line": {"color": "white", "width": 1}},
                hovertemplate="%{customdata}: %{y} clusters<extra></extra>",
            )
        )  # fmt: skip
        drawn.add_shape(
            type="line", xref=x, x0=data.median, x1=data.median, yref=f"{y} domain", y0=0, y1=1,
            line={"color": INK, "width": 1.2, "dash": "dot"},
        )  # fmt: skip
    return drawn


def mass_redshift_figure(data: MassRedshift) -> go.Figure:
    """Draw mass against redshift."""
    counts = np.log10(np.maximum(data.counts, 1))
    drawn = go.Figure(layout=base(420, showlegend=False, margin={"l": 60, "r": 20, "t": 20, "b": 55}))
    drawn.update_layout(
        xaxis=frame("redshift"), yaxis=frame("log<sub>10</sub> M<sub>500c</sub> / M<sub>☉</sub>")
    )  # fmt: skip
    drawn.add_trace(
        go.Scatter(
            x=data.redshift.astype(np.float32), y=data.log_mass.astype(np.float32), mode="markers",
            marker={"size": 3, "color": counts.astype(np.float32), "colorscale": "Viridis",
                    "colorbar": {"title": {"text": "log<sub>10</sub> sum"}, "outlinewidth": 0}},
            hovertemplate="z = %{x:.3f}, log M = %{y:.2f}<extra></extra>",
        )
    )  # fmt: skip
    return drawn


def example_figure(example: Example) -> go.Figure:
    """Draw one cluster, a panel a band, on one colour scale."""
    bands = len(example.bands)
    columns = min(_COLUMNS_PER_ROW, bands)
    rows = -(-bands // columns)
    drawn = go.Figure(layout=base(60 + 190 * rows, showlegend=False, margin={"l": 10, "r": 10, "t": 30, "b": 10}))
    top = float(np.sqrt(example.brightest)) or 1.0
    for number, image in enumerate(example.bands):
        row, column = divmod(number, columns)
        x, y = axis_id("x", number), axis_id("y", number)
        left, bottom = column / columns + _GAP / 2, 1 - (row + 1) / rows
        plain = {"visible": False, "constrain": "domain"}
        drawn.update_layout({
            axis_key(x): {**plain, "domain": [left, left + 1 / columns - _GAP], "anchor": y},
            axis_key(y): {**plain, "domain": [bottom, bottom + 1 / rows - 0.12], "anchor": x, "scaleanchor": x},
        })  # fmt: skip
        drawn.add_trace(
            go.Heatmap(
                z=np.sqrt(image).astype(np.float32), customdata=image.astype(np.float32), xaxis=x, yaxis=y,
                zmin=0, zmax=top, colorscale="Inferno", showscale=False,
                hovertemplate="pixel (%{x}, %{y}): %{customdata:.4g}<extra></extra>",
            )
        )  # fmt: skip
        name = "{:.4g} to {:.4g} keV".format(*example.bands_kev[number]) if example.bands_kev else f"band {number + 1}"
        drawn.add_annotation(
            text=f"{name}<br>{image.sum():,.0f}", xref=f"{x} domain", x=0.5, xanchor="center", yref=f"{y} domain",
            y=1.02, yanchor="bottom", showarrow=False, font={"size": 11, "color": MUTED},
        )  # fmt: skip
    return drawn


def _caption(number: int, example: Example) -> str:
    redshift = f"z = {example.redshift:.3f}" if np.isfinite(example.redshift) else "no redshift"
    return (
        f"Figure {number}. Cluster {example.identifier} (row {example.row}): log M = {example.log_mass:.2f}, "
        f"{redshift}, sum {example.counts:,.0f}; heavier than {example.share:.0%} of the clusters. "
        f"Above each panel: the band and its sum. Brightest colour: {example.brightest:.3g} or more in a pixel."
    )
