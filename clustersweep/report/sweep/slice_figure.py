"""Draws the slices with plotly. Computes nothing that a reader would call a result."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go

from clustersweep.report.style import (
    INK,
    MUTED,
    WARN,
    Encoding,
    axis_id,
    axis_key,
    base,
    domain,
    frame,
    loss_axis,
    mark_constant,
    ordinal,
    params_text,
    value_axis,
)
from clustersweep.report.sweep.slices import GAP_KINDS, Panel, Point, SliceFigure
from clustersweep.study.keys import Params, Scalar

PANEL_PX, STRIP_PX, BETWEEN_PX, TOP_PX, BOTTOM_PX = 330, 24, 86, 34, 52


def slice_figure(data: SliceFigure) -> go.Figure:
    """Draw one panel for each rank of the initialisation; a strip under each counts the gaps of its lines.

    A line's `meta` is `{"fixed": params}` and a legend entry's `{"entry": [axis, value]}`: the page's
    script hides and highlights lines by them.
    """
    kinds = [kind for kind in GAP_KINDS if any(gap.kind == kind for gap in data.gaps)]
    columns = min(len(data.panels), 3)
    rows = math.ceil(len(data.panels) / columns)
    strip_px = STRIP_PX * len(kinds)
    row_px = PANEL_PX + strip_px + BETWEEN_PX
    plot_px = rows * row_px - BETWEEN_PX
    encoding = Encoding(data.others)
    figure = go.Figure(layout=base(plot_px + TOP_PX + BOTTOM_PX))
    figure.update_layout(margin={"l": 84, "r": 10, "t": TOP_PX, "b": BOTTOM_PX})
    width = (1 - 0.02 * (columns - 1)) / columns
    for number, panel in enumerate(data.panels):
        row, column = divmod(number, columns)
        left, top = column * (width + 0.02), 1 - row * row_px / plot_px
        middle = top - PANEL_PX / plot_px
        x, y, strip = (axis_id("x", number), axis_id("y", number), axis_id("y", number + len(data.panels)))
        figure.add_traces([t.update(xaxis=x, yaxis=y) for t in _lines(data, panel, encoding)])
        figure.update_layout(
            {
                axis_key(x): frame(
                    **value_axis(data.values, data.scale),
                    domain=domain(left, left + width),
                    anchor=strip if kinds else y,
                    title=escape(data.axis),
                ),
                axis_key(y): frame(
                    **loss_axis(*_span(data)),
                    domain=domain(middle, top),
                    anchor=x,
                    showticklabels=column == 0,
                    title=escape(data.metric.titled(data.metric.words)) if column == 0 else None,
                ),
            }
        )
        if number:
            figure.layout[axis_key(y)].matches = "y"
        if kinds:
            figure.add_trace(_gap_marks(data).update(xaxis=x, yaxis=strip))
            figure.layout[axis_key(strip)] = frame(
                type="category",
                categoryarray=kinds[::-1],
                range=[-0.5, len(kinds) - 0.5],
                domain=domain(middle - strip_px / plot_px, middle),
                anchor=x,
                showticklabels=column == 0,
                showgrid=False,
                ticks="",
                tickfont={"size": 11, "color": MUTED},
                fixedrange=True,
            )
        figure.add_annotation(
            text=f"<b>{_rank_name(panel.rank, len(data.panels))}</b>", showarrow=False, font={"size": 13},
            x=left + width / 2, y=top, xref="paper", yref="paper", xanchor="center", yanchor="bottom",
        )  # fmt: skip
        mark_constant(figure, data.label_variance, x, y, named=number == 0, within=_span(data))
    figure.add_traces(list(_legend(data, encoding)))
    return figure


def _lines(data: SliceFigure, panel: Panel, encoding: Encoding) -> Iterator[go.Scatter]:
    """Yield one trace for all lines that look alike (in a grid of four axes: one), then the mean."""
    alike: dict[tuple[Scalar, ...], list[tuple[Params, tuple[Point | None, ...]]]] = defaultdict(list)
    for line in panel.lines:
        alike[tuple(line.fixed[axis] for axis in encoding.axes)].append((line.fixed, line.points))
    for values, lines in alike.items():
        fixed = dict(zip(encoding.axes, values, strict=True))
        colour, dash, symbol = encoding.look(fixed)
        x, y, text, hollow = [], [], [], []
        for params, points in lines:
            for value, point in zip(data.values, points, strict=True):
                x.append(_x(data, value))
                y.append(None if point is None else point.loss)
                text.append("" if point is None else _hover(data, params, point))
                hollow.append(point is not None and point.stopped)
            x, y, text, hollow = [*x, None], [*y, None], [*text, ""], [*hollow, False]  # lifts the pen
        yield go.Scatter(
            x=x, y=y, mode="lines+markers", connectgaps=False, opacity=0.6, showlegend=False, meta={"fixed": fixed},
            line={"color": colour, "dash": dash, "width": 1.4}, marker={"symbol": _symbols(symbol, hollow), "size": 6},
            hovertext=text, hoverinfo="text",
        )  # fmt: skip
    if panel.mean and len(panel.lines) > 1:
        names, unit = [_x(data, value) for value in data.values], escape(data.metric.with_unit)
        for colour, width in (("white", 7), (INK, 3.5)):
            yield go.Scatter(
                x=names, y=panel.mean, mode="lines+markers", showlegend=False, line={"color": colour, "width": width},
                marker={"size": width + 3, "color": colour}, meta={"mean": True},
                hovertemplate=f"<b>mean of {data.whole_lines} lines: %{{y:.5f}}{unit}</b><extra></extra>",
            )  # fmt: skip


def _symbols(symbol: str, hollow: Sequence[bool]) -> str | list[str]:
    """Return the symbol of every point, open for those of trials that were stopped there."""
    return [f"{symbol}-open" if one else symbol for one in hollow] if any(hollow) else symbol


def _legend(data: SliceFigure, encoding: Encoding) -> Iterator[go.Scatter]:
    if data.whole_lines and len(data.panels[0].lines) > 1:
        yield go.Scatter(
            x=[None], y=[None], mode="lines+markers", name=f"mean of {data.whole_lines} whole lines",
            line={"color": INK, "width": 3.5}, marker={"size": 7}, legendgroup="mean", meta={"entry": None},
        )  # fmt: skip
    for channel, (axis, looks) in encoding.channels.items():
        for value in looks:
            colour, dash, symbol = encoding.look({axis: value})
            yield go.Scatter(
                x=[None], y=[None], mode="lines+markers" if channel != "line" else "lines", name=escape(str(value)),
                legendgroup=channel, legendgrouptitle={"text": escape(axis), "font": {"size": 12}},
                line={"color": colour if channel == "colour" else MUTED, "dash": dash, "width": 2},
                marker={"symbol": symbol, "size": 7}, meta={"entry": [axis, value]},
            )  # fmt: skip


def _gap_marks(data: SliceFigure) -> go.Scatter:
    total = math.prod(len(values) for values in data.others.values())
    return go.Scatter(
        x=[_x(data, gap.x) for gap in data.gaps], y=[gap.kind for gap in data.gaps], mode="text", showlegend=False,
        text=[f"✕ {gap.count}" for gap in data.gaps], textfont={"size": 12, "color": WARN}, hoverinfo="text",
        hovertext=[
            f"<b>{gap.count} of {total} {gap.kind}</b> at {escape(f'{data.axis} = {gap.x}')}<br>"
            + "<br>".join(map(escape, gap.reasons)) for gap in data.gaps
        ],
    )  # fmt: skip


def _span(data: SliceFigure) -> tuple[float, float]:
    variance = data.label_variance
    return data.low, max(data.high, variance) if variance and variance < 1.5 * data.high else data.high


def _hover(data: SliceFigure, fixed: Params, point: Point) -> str:
    where = params_text({data.axis: point.x, **fixed})
    stopped = ", stopped here" if point.stopped else ""
    of = f"seed {point.seed}, trial {point.trial}{stopped}"
    return f"<b>{point.loss:.5f}{escape(data.metric.with_unit)}</b><br>{where}<br>{of}"


def _rank_name(rank: int, count: int) -> str:
    if count == 1:
        return "the only seed"
    return f"{'best' if rank == 1 else 'worst' if rank == count else ordinal(rank)} of {count} seeds"


def _x(data: SliceFigure, value: Scalar) -> Any:
    return str(value) if data.scale == "category" else value
