"""Draws predicted against true masses, and their errors. Computes nothing that a reader would call a result."""

import math
from typing import Any

import numpy as np
import plotly.graph_objects as go

from clustersweep.report.model.masses import Parity, ResidualPanel
from clustersweep.report.style import BLUE, INK, LEGEND_ABOVE, ORANGE, axis_id, axis_key, base, domain, frame
from clustersweep.training.evaluation.results import Floats

MASS = "M<sub>500c</sub> [M<sub>☉</sub>]"
LOG_MASS = "log<sub>10</sub> M<sub>500c</sub> / M<sub>☉</sub>"


def parity_figure(data: Parity) -> go.Figure:
    """Draw predicted against true mass: the clusters with some error bars, and their density with its band."""
    figure = go.Figure(layout=base(560, margin={"l": 75, "r": 10, "t": 50, "b": 60}, legend=LEGEND_ABOVE))
    low, high = float(data.edges[0]) - 0.1, float(data.edges[-1]) + 0.1
    for number, (start, end) in enumerate(((0.0, 0.47), (0.53, 1.0))):
        x, y = axis_id("x", number), axis_id("y", number)
        ticks = _mass_ticks(low, high)
        figure.update_layout({
            axis_key(x): frame(f"true {MASS}", **ticks, domain=[start, end], anchor=y, constrain="domain"),
            axis_key(y): frame(f"predicted {MASS}", **ticks, anchor=x, scaleanchor=x, constrain="domain"),
        })  # fmt: skip
    for axes, density in (({"xaxis": "x", "yaxis": "y"}, False), ({"xaxis": "x2", "yaxis": "y2"}, True)):
        if density:
            _draw_density(figure, data, axes)
        else:
            _draw_clusters(figure, data, axes)
        figure.add_scatter(
            x=[10**low, 10**high], y=[10**low, 10**high], mode="lines", hoverinfo="skip", name="one to one",
            line={"color": INK, "width": 1.4, "dash": "dash"}, showlegend=not density, **axes,
        )  # fmt: skip
    _draw_band(figure, data)
    lines = [
        f"RMSE {data.rmse.value:.3f} dex",
        f"({data.rmse.low:.3f} to {data.rmse.high:.3f})",
        f"R² {data.r2.value:.3f}",
        f"{data.total:,} clusters",
    ]
    figure.add_annotation(
        text="<br>".join(lines), showarrow=False, align="left", xref="x domain", yref="y domain", x=0.02, y=0.98,
        xanchor="left", yanchor="top", bgcolor="rgba(255,255,255,0.85)", borderpad=4, font={"size": 13},
    )  # fmt: skip
    return figure


def _draw_clusters(figure: go.Figure, data: Parity, axes: dict[str, str]) -> None:
    scale = {"cmin": 0, "cmax": float(np.nanmax(data.redshift, initial=0.0)), "colorscale": "Viridis"}
    low, high = float(data.edges[0]), float(data.edges[-1])
    predicted = np.clip(data.predicted, low, high)
    # Labels say what the picture cuts; a diverged network's numbers may not fit into 32 bits, and have no label then.
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        pulls = (data.predicted - data.true) / data.sd
        labels = np.stack([data.true, data.predicted, data.sd, data.redshift, pulls], axis=1).astype(np.float32)
    # A colour bar inside the panel: the right-hand panel leaves no room beside it.
    bar = {
        "title": {"text": "z", "side": "top"}, "orientation": "v", "x": 0.455, "xanchor": "right", "y": 0.03,
        "yanchor": "bottom", "len": 0.4, "thickness": 10, "outlinewidth": 0, "tickfont": {"size": 11},
    }  # fmt: skip
    marker, z = {"color": data.redshift.astype(np.float32), "colorbar": bar, **scale}, ", z = %{customdata[3]:.3f}"
    if np.isnan(data.redshift).all():
        marker, z = {"color": BLUE}, ""
    figure.add_scatter(
        x=_solar(data.true), y=_solar(predicted), mode="markers", name="cluster", showlegend=False,
        marker={"size": 4, "opacity": 0.45, **marker},
        customdata=labels,
        hovertemplate=f"true log M = %{{customdata[0]:.3f}}{z}<br>predicted %{{customdata[1]:.3f}} "
                      "± %{customdata[2]:.3f}<br>pull %{customdata[4]:.2f}<extra></extra>",
        **axes,
    )  # fmt: skip
    rows = data.with_bars
    middle, sd = predicted[rows], np.minimum(data.sd[rows], high - low)  # a longer bar leaves the picture anyhow
    figure.add_scatter(
        x=_solar(data.true[rows]), y=_solar(middle), mode="markers", hoverinfo="skip",
        name=f"{len(rows)} clusters with ± 1σ",
        marker={"size": 6, "color": "white", "line": {"color": INK, "width": 1.2}},
        error_y={
            "type": "data", "symmetric": False, "array": 10 ** (middle + sd) - 10**middle, "width": 0,
            "arrayminus": 10**middle - 10 ** (middle - sd), "color": INK, "thickness": 1,
        },
        **axes,
    )  # fmt: skip


def _draw_density(figure: go.Figure, data: Parity, axes: dict[str, str]) -> None:
    cells = np.where(data.density > 0, data.density, np.nan)
    figure.add_heatmap(
        x=_solar(data.edges), y=_solar(data.edges), z=np.log10(cells).astype(np.float32), customdata=data.density,
        colorscale=[[0, "#d3e4f3"], [1, "#08306b"]], showscale=False,
        hovertemplate="%{customdata} clusters<extra></extra>", **axes,
    )  # fmt: skip


def _draw_band(figure: go.Figure, data: Parity) -> None:
    x, axes = [10**p.x for p in data.band], {"xaxis": "x2", "yaxis": "y2"}
    low, high = float(data.edges[0]), float(data.edges[-1])
    for values, name in (([p.low for p in data.band], "16 and 84%"), ([p.high for p in data.band], "")):
        figure.add_scatter(
            x=x, y=[10 ** min(max(v, low), high) for v in values], mode="lines", hoverinfo="skip", name=name,
            showlegend=bool(name),
            line={"color": ORANGE, "width": 1.5, "dash": "dot"}, **axes,
        )  # fmt: skip
    figure.add_scatter(
        x=x, y=[10 ** min(max(p.median, low), high) for p in data.band], mode="lines+markers",
        name="median prediction by true mass",
        line={"color": ORANGE, "width": 2}, marker={"size": 7, "line": {"color": "white", "width": 1}},
        hovertext=[f"{p.number:,} clusters<br>median {p.median:.3f}<br>16 to 84%: {p.low:.3f} to {p.high:.3f}"
                   for p in data.band], hoverinfo="text", **axes,
    )  # fmt: skip


def residual_figure(panels: tuple[ResidualPanel, ...], best_baseline: str) -> go.Figure:
    """Draw the errors against each quantity, with their bias and scatter and the best baseline's RMSE."""
    names = {"true": f"true {LOG_MASS}", "predicted": f"predicted {LOG_MASS}", "redshift": "redshift"}
    figure = go.Figure(layout=base(440, margin={"l": 70, "r": 10, "t": 50, "b": 60}, legend=LEGEND_ABOVE))
    width = (1 - 0.03 * (len(panels) - 1)) / len(panels)
    for number, panel in enumerate(panels):
        x, y, left = axis_id("x", number), axis_id("y", number), number * (width + 0.03)
        first = number == 0
        figure.update_layout({
            axis_key(x): frame(names[panel.quantity], domain=domain(left, left + width), anchor=y),
            axis_key(y): frame(
                "predicted − true [dex]" if first else None, anchor=x, showticklabels=first, matches=None if first
                else "y", range=[-1.05 * panel.limit, 1.05 * panel.limit],
            ),
        })  # fmt: skip
        axes = {"xaxis": x, "yaxis": y}
        figure.add_scatter(
            x=panel.x.astype(np.float32), y=panel.residual.astype(np.float32), mode="markers", showlegend=False,
            marker={"size": 3.5, "color": BLUE, "opacity": 0.28}, hovertemplate="%{x:.3f}: %{y:.3f} dex<extra></extra>",
            **axes,
        )  # fmt: skip
        figure.add_shape(
            type="line", xref=f"{x} domain", x0=0, x1=1, yref=y, y0=0, y1=0, line={"color": INK, "width": 1}
        )
        steps = [edge for b in panel.bins for edge in (b.low, b.high)]
        for sign in (1, -1):
            figure.add_scatter(
                x=steps, y=[sign * b.baseline_rmse for b in panel.bins for _ in (0, 1)], mode="lines",
                line={"color": ORANGE, "width": 1.5, "dash": "dash"}, name=f"± RMSE of the baseline “{best_baseline}”",
                showlegend=first and sign > 0, hovertemplate="%{y:.3f} dex<extra></extra>", **axes,
            )  # fmt: skip
        figure.add_scatter(
            x=[b.x for b in panel.bins], y=[b.bias for b in panel.bins], mode="markers", showlegend=first,
            name="mean ± standard deviation in bins", marker={"size": 8, "color": INK},
            error_y={"type": "data", "array": [b.scatter for b in panel.bins], "color": INK, "thickness": 1.6},
            hovertext=[f"{b.low:.2f} to {b.high:.2f}: {b.number:,} clusters<br>bias {b.bias:+.3f}, scatter "
                       f"{b.scatter:.3f} dex<br>best baseline: RMSE {b.baseline_rmse:.3f} dex" for b in panel.bins],
            hoverinfo="text", **axes,
        )  # fmt: skip
    return figure


def _solar(log_mass: Floats) -> Floats:
    return np.power(10.0, log_mass)


def _mass_ticks(low: float, high: float) -> dict[str, Any]:
    """Return a logarithmic axis of solar masses between two log10 masses, with ticks at 1, 2 and 5."""
    decades = range(math.floor(low), math.ceil(high) + 1)
    ticks = [(step, decade) for decade in decades for step in (1, 2, 5)]
    return {
        "type": "log",
        "range": [low, high],
        "tickvals": [step * 10.0**decade for step, decade in ticks],
        "ticktext": [f"10<sup>{decade}</sup>" if step == 1 else str(step) for step, decade in ticks],
    }
