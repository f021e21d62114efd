"""Draws whether a model's uncertainties are honest. Computes nothing that a reader would call a result."""

import math
from typing import Any

import numpy as np
import plotly.graph_objects as go

from clustersweep.report.model.masses import FAR_DEX
from clustersweep.report.style import BLUE, INK, LEGEND_ABOVE, MUTED, ORANGE, base, frame
from clustersweep.training.evaluation.calibration import Calibration
from clustersweep.training.evaluation.evaluation import Calibrations, Evaluation
from clustersweep.training.evaluation.results import Floats


def reliability_figure(evaluation: Evaluation) -> go.Figure:
    """Draw nominal against observed coverage, their difference, and the pulls."""
    figure = go.Figure(layout=base(420, margin={"l": 60, "r": 10, "t": 50, "b": 60}, legend=LEGEND_ABOVE, bargap=0))
    percent = {"tickformat": ".0%", "range": [0, 1]}
    figure.update_layout(
        xaxis=frame("nominal coverage", domain=[0, 0.28], **percent),
        yaxis=frame("observed coverage", **percent),
        xaxis2=frame("nominal coverage", domain=[0.36, 0.64], anchor="y2", **percent),
        yaxis2=frame("observed − nominal [percentage points]", anchor="x2"),
        xaxis3=frame("pull: (predicted − true) / σ", domain=[0.72, 1], anchor="y3", range=[-5, 5]),
        yaxis3=frame("density", anchor="x3", rangemode="tozero"),
    )
    test = evaluation.test_calibration
    nominal = [0.0, *test.after.nominal, 1.0]
    margin = [196 * math.sqrt(p * (1 - p) / test.after.number) for p in nominal]
    figure.add_scatter(
        x=[*nominal, *nominal[::-1]], y=[*margin, *[-m for m in margin[::-1]]], fill="toself", mode="none",
        fillcolor="rgba(95,107,122,0.18)", hoverinfo="skip", name="95% by chance", xaxis="x2", yaxis="y2",
    )  # fmt: skip
    for axes, y in (({"xaxis": "x", "yaxis": "y"}, [0, 1]), ({"xaxis": "x2", "yaxis": "y2"}, [0, 0])):
        figure.add_scatter(x=[0, 1], y=y, mode="lines", line={"color": INK, "width": 1, "dash": "dash"},
                           hoverinfo="skip", showlegend=False, **axes)  # fmt: skip
    for name, found, look in (
        ("before recalibration", test.before, {"color": ORANGE, "width": 2}),
        ("after recalibration", test.after, {"color": BLUE, "width": 2}),
        ("validation part, after", evaluation.validation_calibration.after,
         {"color": MUTED, "width": 1.2, "dash": "dot"}),
    ):  # fmt: skip
        ends: dict[str, Any] = {"mode": "lines", "line": look, "legendgroup": name, "name": name}
        curve = [0.0, *found.observed, 1.0]
        figure.add_scatter(
            x=nominal, y=curve, hovertemplate="nominal %{x:.0%}: observed %{y:.1%}<extra></extra>", **ends
        )
        figure.add_scatter(
            x=nominal, y=[100 * (o - p) for o, p in zip(curve, nominal, strict=True)], showlegend=False, xaxis="x2",
            yaxis="y2", hovertemplate="nominal %{x:.0%}: %{y:+.1f} percentage points<extra></extra>", **ends,
        )  # fmt: skip
    _draw_pulls(figure, test)
    return figure


def _draw_pulls(figure: go.Figure, test: Calibrations) -> None:
    edges = np.array(test.after.pull_edges)
    middle, width = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
    axes = {"xaxis": "x3", "yaxis": "y3", "showlegend": False}

    def density(found: Calibration) -> Floats:
        return np.asarray(found.pull_clusters, np.float64) / float(found.number * width)

    figure.add_bar(
        x=middle, y=density(test.after), customdata=test.after.pull_clusters, marker={"color": BLUE, "opacity": 0.55},
        hovertemplate="%{x:.2f}: %{customdata} clusters<extra></extra>", **axes,
    )  # fmt: skip
    figure.add_scatter(
        x=middle, y=density(test.before), mode="lines", line={"color": ORANGE, "width": 1.6, "shape": "hvh"},
        hoverinfo="skip", **axes,
    )  # fmt: skip
    fine = np.linspace(-5, 5, 201)
    figure.add_scatter(
        x=fine, y=np.exp(-0.5 * fine**2) / math.sqrt(2 * math.pi), mode="lines", hoverinfo="skip", name="unit Gaussian",
        line={"color": INK, "width": 1.4, "dash": "dash"}, **{**axes, "showlegend": True},
    )  # fmt: skip


def uncertainty_figure(test: Calibrations, sd: Floats) -> go.Figure:
    """Draw the true error against the predicted one, and how the recalibrated `sd` (dex) are distributed.

    What is beyond `FAR_DEX` is drawn at the edge.
    """
    figure = go.Figure(layout=base(400, margin={"l": 75, "r": 10, "t": 50, "b": 60}, legend=LEGEND_ABOVE))
    bins = [*test.before.spread, *test.after.spread]
    # A bin whose errors overflow has no error bar: NaN.
    ends = [end for b in bins for end in (b.sd, b.rmse, b.rmse + b.rmse_error) if not math.isnan(end)]
    top = 1.08 * min(max(ends), FAR_DEX)
    figure.update_layout(
        xaxis=frame("predicted σ [dex], root mean square in bins", domain=[0, 0.46], range=[0, top]),
        yaxis=frame("RMS of the true errors [dex]", range=[0, top]),
        xaxis2=frame("predicted σ after recalibration [dex]", domain=[0.56, 1], anchor="y2"),
        yaxis2=frame("clusters", anchor="x2", rangemode="tozero"),
    )
    figure.add_scatter(x=[0, top], y=[0, top], mode="lines", line={"color": INK, "width": 1, "dash": "dash"},
                       hoverinfo="skip", name="honest")  # fmt: skip
    for name, found, marker in (
        ("before recalibration", test.before, {"color": "white", "line": {"color": ORANGE, "width": 1.6}, "size": 7}),
        ("after recalibration", test.after, {"color": BLUE, "size": 8}),
    ):
        figure.add_scatter(
            x=[min(b.sd, FAR_DEX) for b in found.spread], y=[min(b.rmse, FAR_DEX) for b in found.spread],
            mode="markers", name=name, marker=marker,
            error_y={"type": "data", "array": [b.rmse_error for b in found.spread], "thickness": 1.2, "width": 0,
                     "color": BLUE if found is test.after else ORANGE},
            hovertext=[f"{b.number:,} clusters<br>predicted {b.sd:.3f}, true {b.rmse:.3f} ± {b.rmse_error:.3f} dex"
                       for b in found.spread], hoverinfo="text",
        )  # fmt: skip
    # A network without a variance of its own says the same of all: that is one narrow bar.
    shown = np.minimum(sd, FAR_DEX)
    clusters, edges = np.histogram(shown, np.linspace(shown.min(), max(shown.max(), shown.min() + 0.03), 31))
    figure.add_bar(
        x=(edges[1:] + edges[:-1]) / 2, y=clusters, width=np.diff(edges), xaxis="x2", yaxis="y2", showlegend=False,
        marker={"color": BLUE, "opacity": 0.55}, hovertemplate="%{x:.3f} dex: %{y} clusters<extra></extra>",
    )  # fmt: skip
    return figure
