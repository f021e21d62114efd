"""Draws how a model was trained: the curves of its stages, and what retraining on outliers changed."""

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from clustersweep.report.model.stages import OutlierPanel, StagePanel
from clustersweep.report.style import (
    COLOURS,
    LEGEND_ABOVE,
    MUTED,
    WARN,
    axis_id,
    axis_key,
    base,
    colours,
    domain,
    frame,
    loss_axis,
)

STAGE_NAMES = {
    "base": "base",
    "outliers": "outliers",
    "probabilistic": "probabilistic",
    "fine_tune": "fine-tuning",
}
_PER_ROW = 3
_MOST_NLL = 20.0  # likelihoods so much worse than the best would flatten the picture of all others
_ROW_PX, _TOP_PX, _MARGIN_PX = 270, 84, 132


def stage_figure(panels: Sequence[StagePanel]) -> go.Figure:
    """Draw the curves of every stage and seed: losses in the first row, likelihoods in the second."""
    stages = list(dict.fromkeys(panel.stage for panel in panels))
    measures = list(dict.fromkeys(panel.measure for panel in panels))
    seeds = sorted({curve.seed for panel in panels for curve in panel.curves})
    colour = dict(zip(seeds, colours(len(seeds)), strict=True))
    height = _MARGIN_PX + _ROW_PX * len(measures)
    figure = go.Figure(
        layout=base(height, margin={"l": 70, "r": 10, "t": _TOP_PX, "b": 48}, legend=_legend_place(height))
    )
    grid = _Grid(len(measures), len(stages), column_gap=0.075, row_gap=90 / (height - _MARGIN_PX))
    for number, panel in enumerate(panels):
        x, y = axis_id("x", number), axis_id("y", number)
        across, up = grid.cell(measures.index(panel.measure), stages.index(panel.stage))
        first = panel.stage == next(other.stage for other in panels if other.measure == panel.measure)
        unit = "loss [dex²]" if panel.measure == "mse" else "negative log-likelihood"
        figure.update_layout({
            axis_key(x): frame("epoch", domain=across, anchor=y, rangemode="tozero"),
            axis_key(y): frame(unit if first else None, domain=up, anchor=x, **_range(panel)),
        })  # fmt: skip
        for curve in panel.curves:
            _draw_curve(figure, panel, curve.seed, colour[curve.seed], {"xaxis": x, "yaxis": y})
        rejected = [str(curve.seed) for curve in panel.curves if not curve.kept]
        note = f"<br><span style='color:{WARN}'>not kept: seed {', '.join(rejected)}</span>" if rejected else "<br>"
        figure.add_annotation(
            text=f"<b>{STAGE_NAMES[panel.stage]}</b>{note}", showarrow=False, x=sum(across) / 2, y=up[1],
            xref="paper", yref="paper", xanchor="center", yanchor="bottom", font={"size": 12},
        )  # fmt: skip
    for seed in seeds:
        _legend(figure, f"seed {seed}", color=colour[seed], width=2)
    _legend(figure, "validation", color=MUTED, width=2)
    _legend(figure, "training", color=MUTED, width=1, dash="dot")
    if any(not curve.kept for panel in panels for curve in panel.curves):
        _legend(figure, "validation, not kept", color=MUTED, width=2, dash="dash")
    return figure


def outlier_figure(panels: Sequence[OutlierPanel]) -> go.Figure:
    """Draw the mean squared error by mass before and after retraining, a panel for each seed."""
    columns = min(_PER_ROW, len(panels))
    rows = -(-len(panels) // columns)
    height = _MARGIN_PX + _ROW_PX * rows
    figure = go.Figure(
        layout=base(height, margin={"l": 70, "r": 10, "t": _TOP_PX, "b": 48}, legend=_legend_place(height))
    )
    grid = _Grid(rows, columns, column_gap=0.03, row_gap=90 / (height - _MARGIN_PX))
    for number, panel in enumerate(panels):
        x, y = axis_id("x", number), axis_id("y", number)
        row, column = divmod(number, columns)
        across, up = grid.cell(row, column)
        figure.update_layout({
            axis_key(x): frame("true log<sub>10</sub> M<sub>500c</sub> / M<sub>☉</sub>", domain=across, anchor=y),
            axis_key(y): frame("MSE [dex²]" if not column else None, domain=up, anchor=x, rangemode="tozero",
                               showticklabels=not column, matches="y" if number else None),
        })  # fmt: skip
        for worst in panel.worst:
            figure.add_shape(
                type="rect", xref=x, yref=f"{y} domain", x0=panel.edges[worst], x1=panel.edges[worst + 1], y0=0, y1=1,
                fillcolor=COLOURS[1], opacity=0.22, line={"width": 0}, layer="below",
            )  # fmt: skip
        edges = [edge for low, high in zip(panel.edges[:-1], panel.edges[1:], strict=True) for edge in (low, high)]
        after = {"color": COLOURS[0], "width": 2, "dash": "solid" if panel.kept else "dash"}
        for name, values, line in (
            ("before", panel.before, {"color": MUTED, "width": 2}),
            ("after", panel.after, after),
        ):
            figure.add_scatter(
                x=edges, y=[value for value in values for _ in (0, 1)], mode="lines", line=line, name=name,
                showlegend=False, xaxis=x, yaxis=y,
                hovertemplate=f"{name}, log M = %{{x:.2f}}: %{{y:.4f}} dex²<extra></extra>",
            )  # fmt: skip
        fate = "kept" if panel.kept else f"<span style='color:{WARN}'>not kept</span>"
        figure.add_annotation(
            text=f"<b>seed {panel.seed}</b>: {fate}", showarrow=False, x=sum(across) / 2, y=up[1], xref="paper",
            yref="paper", xanchor="center", yanchor="bottom", font={"size": 12},
        )  # fmt: skip
    _legend(figure, "before", color=MUTED, width=2)
    if any(panel.kept for panel in panels):
        _legend(figure, "after", color=COLOURS[0], width=2)
    if not all(panel.kept for panel in panels):
        _legend(figure, "after, not kept", color=COLOURS[0], width=2, dash="dash")
    figure.add_scatter(
        x=[None], y=[None], mode="markers", name="outlier regions",
        marker={"symbol": "square", "size": 12, "color": COLOURS[1], "opacity": 0.4},
    )  # fmt: skip
    return figure


class _Grid:
    """Places panels in rows from the top and columns from the left; gaps are shares of the figure."""

    def __init__(self, rows: int, columns: int, *, column_gap: float, row_gap: float) -> None:
        self._column_gap, self._row_gap = column_gap, row_gap
        self._width = (1 - column_gap * (columns - 1)) / columns
        self._height = (1 - row_gap * (rows - 1)) / rows

    def cell(self, row: int, column: int) -> tuple[list[float], list[float]]:
        """Return the domains of a panel's x and y axis."""
        left, top = column * (self._width + self._column_gap), 1 - row * (self._height + self._row_gap)
        return domain(left, left + self._width), domain(top - self._height, top)


def _draw_curve(figure: go.Figure, panel: StagePanel, seed: int, colour: str, axes: dict[str, str]) -> None:
    curve = next(curve for curve in panel.curves if curve.seed == seed)
    epochs = list(range(1, len(curve.validation) + 1))
    unit = " dex²" if panel.measure == "mse" else ""
    for name, values, line in (
        ("training", curve.training, {"width": 1, "dash": "dot"}),
        ("validation", curve.validation, {"width": 1.8, "dash": "solid" if curve.kept else "dash"}),
    ):
        figure.add_scatter(
            x=epochs, y=values, mode="lines", line={**line, "color": colour}, showlegend=False,
            hovertemplate=f"seed {seed}, epoch %{{x}}<br>{name} %{{y:.5f}}{unit}<extra></extra>", **axes,
        )  # fmt: skip
    if curve.start is not None:
        figure.add_scatter(
            x=[0], y=[curve.start], mode="markers", showlegend=False, cliponaxis=False,
            marker={"symbol": "diamond-open", "size": 9, "color": colour, "line": {"width": 1.6}},
            hovertemplate=f"seed {seed} set out from %{{y:.5f}}{unit}<extra></extra>", **axes,
        )  # fmt: skip
    if 1 <= curve.best_epoch <= len(epochs):
        figure.add_scatter(
            x=[curve.best_epoch], y=[curve.validation[curve.best_epoch - 1]], mode="markers", showlegend=False,
            marker={"size": 9, "color": colour if curve.kept else "white",
                    "line": {"width": 1.5, "color": "white" if curve.kept else colour}},
            hovertemplate=f"seed {seed}: best epoch %{{x}}<br>%{{y:.5f}}{unit}<extra></extra>", **axes,
        )  # fmt: skip


def _range(panel: StagePanel) -> dict[str, Any]:
    """Return the axis of a panel: that of losses, or a linear one for likelihoods, which may be negative."""
    values = [v for c in panel.curves for v in (*c.training, *c.validation, c.start) if v is not None]
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    if panel.measure == "mse":
        return loss_axis(min(finite), max(finite))
    low, high = min(finite), min(max(finite), min(finite) + _MOST_NLL)
    pad = 0.05 * (high - low) or 0.1
    return {"range": [low - pad, high + pad], "nticks": 7}


def _legend_place(height: int) -> dict[str, Any]:
    """Put the legend above the panels' titles, whatever the height."""
    return {**LEGEND_ABOVE, "y": 1 + 44 / (height - _MARGIN_PX)}


def _legend(figure: go.Figure, name: str, **line: Any) -> None:
    figure.add_scatter(x=[None], y=[None], mode="lines", name=name, line=line)
