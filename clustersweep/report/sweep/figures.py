"""Draws figure data with plotly. Computes nothing that a reader would call a result."""

import math
from collections.abc import Sequence
from html import escape

import plotly.graph_objects as go

from clustersweep.report.style import (
    COLOURS,
    WARN,
    axis_id,
    axis_key,
    base,
    colours,
    cost_axis,
    domain,
    frame,
    loss_axis,
    mark_constant,
    ordinal,
    params_text,
)
from clustersweep.report.sweep.curves import CostFigure, CurvePanel
from clustersweep.report.sweep.effects import Effects
from clustersweep.study.keys import Params
from clustersweep.study.objective import Metric


def effect_figure(data: Effects, metric: Metric) -> go.Figure:
    """Draw the shares of the sum of squares, and beside them each effect's size against its noise."""
    names, unit = [escape(effect.axis) for effect in data.effects], escape(metric.with_unit)
    shares = [effect.share for effect in data.effects]
    parts = [*names, "interactions", "seed alone"]
    values = [*shares, data.interactions, data.seeds]
    figure = go.Figure(layout=base(110 + 34 * len(parts), showlegend=True))
    figure.update_layout(
        margin={"l": 10, "r": 20, "t": 40, "b": 50},
        legend={
            "orientation": "h",
            "x": 1,
            "xanchor": "right",
            "y": 1.03,
            "yanchor": "bottom",
            "bgcolor": "rgba(0,0,0,0)",
        },
        xaxis=frame(domain=[0, 0.46], title="share of the sum of squares", tickformat=".0%", rangemode="tozero"),
        yaxis=frame(categoryarray=parts[::-1], type="category", automargin=True, showgrid=False),
        xaxis2=frame(domain=[0.58, 1], title=escape(metric.titled("effect")), anchor="y2", rangemode="tozero"),
        yaxis2=frame(categoryarray=names[::-1], type="category", anchor="x2", automargin=True, showgrid=False),
        bargap=0.4,
    )
    shown = [0.0 if math.isnan(value) else value for value in values]
    figure.add_trace(
        go.Bar(
            x=shown, y=parts, orientation="h", showlegend=False, cliponaxis=False,
            marker={"color": [COLOURS[0]] * len(names) + ["#9fb3c8", "#cbd2d9"]},
            text=["one value left" if math.isnan(v) and p in names else "one seed" if math.isnan(v) else f"{v:.1%}"
                  for p, v in zip(parts, values, strict=True)],
            textposition="outside", hovertemplate="%{y}: %{x:.2%}<extra></extra>",
        )
    )  # fmt: skip
    figure.layout.xaxis.range = [0, 1.22 * max(shown, default=1.0) or 1.0]
    known = [effect for effect in data.effects if not math.isnan(effect.size)]
    figure.add_trace(
        go.Bar(
            x=[e.size for e in known], y=[escape(e.axis) for e in known], orientation="h", xaxis="x2", yaxis="y2",
            name="effect", marker={"color": COLOURS[0]},
            customdata=[[str(e.best), e.lines] for e in known],
            hovertemplate=f"%{{y}}: %{{x:.5f}}{unit}<br>{metric.extreme} mean at %{{customdata[0]}}"
                          "<br>mean over %{customdata[1]} lines<extra></extra>",
        )
    )  # fmt: skip
    noisy = [effect for effect in known if not math.isnan(effect.noise)]
    figure.add_trace(
        go.Scatter(
            x=[2 * e.noise for e in noisy], y=[escape(e.axis) for e in noisy], mode="markers", xaxis="x2", yaxis="y2",
            name="noise of the seeds (2 standard errors)",
            marker={"symbol": "line-ns-open", "size": 22, "color": WARN, "line": {"width": 3, "color": WARN}},
            hovertemplate=f"%{{y}}: 2 × standard error = %{{x:.5f}}{unit}<extra></extra>",
        )
    )  # fmt: skip
    return figure


def curve_figure(panels: Sequence[CurvePanel], label_variance: float | None, metric: Metric) -> go.Figure:
    """Draw the metric (solid) and the same of the training part (dotted) against epoch, a panel for each trial."""
    unit, noun = escape(metric.with_unit), escape(metric.noun)
    seeds = sorted({curve.seed for panel in panels for curve in panel.curves})
    colour = dict(zip(seeds, colours(len(seeds)), strict=True))
    every = [v for p in panels for c in p.curves for v in (*c.loss, *c.val_loss) if math.isfinite(v)]
    span = (min(every), max(every))
    figure = go.Figure(layout=base(430))
    figure.update_layout(margin={"l": 70, "r": 10, "t": 76, "b": 50})
    width = (1 - 0.02 * (len(panels) - 1)) / len(panels)
    for number, panel in enumerate(panels):
        x, y, left = axis_id("x", number), axis_id("y", number), number * (width + 0.02)
        figure.update_layout(
            {
                axis_key(x): frame(domain=domain(left, left + width), anchor=y, title="epoch"),
                axis_key(y): frame(
                    **loss_axis(*span),
                    anchor=x,
                    showticklabels=number == 0,
                    title=escape(metric.titled(metric.noun)) if not number else None,
                ),
            }
        )
        if number:
            figure.layout[axis_key(x)].matches = "x"
            figure.layout[axis_key(y)].matches = "y"
        mark_constant(figure, label_variance, x, y, named=number == 0, within=span)
        for curve in panel.curves:
            look = {"legendgroup": str(curve.seed), "xaxis": x, "yaxis": y, "mode": "lines"}
            epochs = list(range(1, len(curve.val_loss) + 1))
            for name, losses, line in (
                (f"training {noun}", curve.loss, {"width": 1, "dash": "dot"}),
                (escape(metric.words), curve.val_loss, {"width": 1.8}),
            ):
                figure.add_scatter(
                    x=epochs, y=losses, line={**line, "color": colour[curve.seed]}, showlegend=False, **look,
                    hovertemplate=f"seed {curve.seed}, epoch %{{x}}<br>{name} %{{y:.5f}}{unit}<extra></extra>",
                )  # fmt: skip
            if 1 <= curve.best_epoch <= len(epochs):
                figure.add_scatter(
                    x=[curve.best_epoch], y=[curve.val_loss[curve.best_epoch - 1]], showlegend=False,
                    marker={"size": 8, "color": colour[curve.seed], "line": {"width": 1.5, "color": "white"}},
                    hovertemplate=f"seed {curve.seed}: best epoch %{{x}}<br>%{{y:.5f}}{unit}<extra></extra>",
                    **{**look, "mode": "markers"},
                )  # fmt: skip
        figure.add_annotation(
            text=f"<b>{ordinal(panel.place)}: trial {panel.trial}</b><br>{_short(panel.params)}", showarrow=False,
            x=left + width / 2, y=1, xref="paper", yref="paper", xanchor="center", yanchor="bottom", font={"size": 11},
        )  # fmt: skip
    for seed in seeds:
        figure.add_scatter(
            x=[None], y=[None], mode="lines", name=f"seed {seed}", legendgroup=str(seed),
            line={"color": colour[seed], "width": 2},
        )  # fmt: skip
    return figure


def cost_figure(data: CostFigure, label_variance: float | None, metric: Metric) -> go.Figure:
    """Draw each trial's value, with the range over its seeds, against its cost, and the front of the best."""
    figure = go.Figure(layout=base(430))
    unit = escape(metric.with_unit)
    span = min(p.low for p in data.points), max(p.high for p in data.points)
    costs = [point.cost for point in data.points]
    title = "trainable parameters" if data.unit == "parameters" else "training time of one replicate [s]"
    figure.update_layout(
        margin={"l": 70, "r": 10, "t": 20, "b": 50},
        xaxis=frame(**cost_axis(min(costs), max(costs)), title=title),
        yaxis=frame(**loss_axis(*span), title=escape(metric.titled(metric.words))),
    )
    mark_constant(figure, label_variance, "x", "y", named=True, within=span)
    front = [point for point in data.points if point.on_front]
    figure.add_scatter(
        x=[p.cost for p in front], y=[p.loss for p in front], mode="lines", hoverinfo="skip",
        line={"shape": "hv", "color": COLOURS[0], "width": 1.5}, showlegend=False,
    )  # fmt: skip
    for name, on_front, colour in (
        ("other trials", False, "#8794a3"),
        ("no cheaper one is better", True, COLOURS[0]),
    ):
        points = [point for point in data.points if point.on_front == on_front]
        if not points:
            continue
        figure.add_scatter(
            x=[p.cost for p in points], y=[p.loss for p in points], mode="markers", name=name,
            marker={"color": colour, "size": 9, "line": {"color": "white", "width": 1}},
            error_y={
                "type": "data", "symmetric": False, "color": colour, "thickness": 1, "width": 0,
                "array": [p.high - p.loss for p in points], "arrayminus": [p.loss - p.low for p in points],
            },
            hovertext=[f"<b>{p.loss:.5f}{unit}</b> ({p.low:.5f} to {p.high:.5f})<br>{params_text(p.params)}"
                       f"<br>{p.cost:,.0f} {data.unit}, trial {p.trial}" for p in points],
            hoverinfo="text",
        )  # fmt: skip
    return figure


def _short(params: Params) -> str:
    words = [escape(f"{name} {value}") for name, value in params.items()]
    return "<br>".join(", ".join(words[i : i + 2]) for i in range(0, min(len(words), 6), 2))
