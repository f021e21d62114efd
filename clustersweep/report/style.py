"""What all figures of the report share: colours, fonts, axes, HTML. Knows no results."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import plotly.colors
import plotly.graph_objects as go
from plotly.io import to_html

from clustersweep.report.sweep.slices import Scale
from clustersweep.study.keys import Params, Scalar

INK, MUTED, GRID, WARN = "#1f2933", "#5f6b7a", "#e6eaef", "#a4262c"
# Okabe & Ito's colours, told apart by colour-blind readers too; their yellow is too pale for lines.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
BLUE, ORANGE = COLOURS[0], COLOURS[4]
DASHES = ("solid", "dash", "dot", "longdashdot")
SYMBOLS = ("circle", "square", "triangle-up", "diamond", "cross", "star")
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_MOST_DECADES = 10
LEGEND_ABOVE = {
    "orientation": "h",
    "x": 0,
    "xanchor": "left",
    "y": 1.02,
    "yanchor": "bottom",
    "bgcolor": "rgba(0,0,0,0)",
}


def base(height: int, **layout: Any) -> go.Layout:
    """Return a light layout of one height in px; `layout` adds to it."""
    return go.Layout(
        {
            "template": go.layout.Template(),
            "height": height,
            "font": {"family": FONT, "size": 13, "color": INK},
            "paper_bgcolor": "white",
            "plot_bgcolor": "white",
            "hoverlabel": {
                "bgcolor": "white",
                "bordercolor": "#9aa5b1",
                "font": {"family": FONT, "size": 13},
            },
            "hovermode": "closest",
            "legend": {"font": {"size": 12}, "tracegroupgap": 10, "itemsizing": "constant"},
            **layout,
        }
    )


def frame(title: str | None = None, **axis: Any) -> dict[str, Any]:
    """Return an axis: a thin frame, pale grid lines, no zero line; `axis` adds to it."""
    return {
        "showline": True,
        "mirror": True,
        "linecolor": "#9aa5b1",
        "gridcolor": GRID,
        "zeroline": False,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": "#9aa5b1",
        **axis,
        "title": {"text": title, "font": {"size": 13}, "standoff": 6},
    }


def domain(start: float, end: float) -> list[float]:
    """Return the part of a figure that an axis spans; plotly refuses what rounding puts beyond its edges."""
    return [max(0.0, start), min(1.0, end)]


def loss_axis(low: float, high: float) -> dict[str, Any]:
    """Return an axis for values from `low` to `high`: logarithmic where they span a factor of three."""
    if low > 0 and high / low >= 3:
        many, some, few = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9), (1, 1.5, 2, 3, 4, 5, 7), (1, 2, 5)
        return log_axis(low, high, few if high / low >= 50 else some if high / low >= 8 else many)
    pad = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return {"type": "linear", "range": [low - pad, high + pad], "nticks": 8}


def cost_axis(low: float, high: float) -> dict[str, Any]:
    """Return an axis for costs from `low` to `high`: logarithmic where they span a factor of ten."""
    if low > 0 and high / low >= 10:
        return log_axis(low, high, (1, 2, 5) if high / low <= 10_000 else (1,))
    return {"type": "linear", "rangemode": "tozero"}


def log_axis(low: float, high: float, steps: Sequence[float]) -> dict[str, Any]:
    """Return a logarithmic axis with ticks at `steps` in every decade; at powers of ten only, where these are many."""
    start, end = math.log10(low), math.log10(high)
    pad = 0.04 * (end - start)
    decades = range(math.floor(start), math.ceil(end) + 1)
    if len(decades) > _MOST_DECADES:  # a network that diverged: losses of any size
        decades, steps = decades[:: -(-len(decades) // _MOST_DECADES)], (1,)
    ticks = [float(f"{step}e{decade}") for decade in decades for step in steps]
    return {
        "type": "log",
        "range": [start - pad, end + pad],
        "tickvals": ticks,
        "ticktext": [f"{t:,.0f}" if 10 <= t < 1e6 else f"{t:.3g}" for t in ticks],
    }


def value_axis(values: Sequence[Scalar], scale: Scale) -> dict[str, Any]:
    """Return an axis with a tick at each value of a hyperparameter, and room at both ends."""
    if scale == "category":
        names = [str(value) for value in values]
        return {"type": "category", "categoryarray": names, "range": [-0.35, len(names) - 0.65]}
    numbers = [float(value) for value in values]
    ends = [math.log10(n) for n in numbers] if scale == "log" else numbers
    pad = 0.1 * (max(ends) - min(ends)) or 1.0
    return {
        "type": scale,
        "range": [min(ends) - pad, max(ends) + pad],
        "tickvals": numbers,
        "ticktext": [str(value) for value in values],
    }


def colours(count: int) -> list[str]:
    """Return so many colours that can be told apart; beyond six they run from dark to light."""
    if count <= len(COLOURS):
        return list(COLOURS[:count])
    return list(plotly.colors.sample_colorscale("Viridis", [0.88 * i / (count - 1) for i in range(count)]))


class Encoding:
    """Which fixed hyperparameter is told by colour, which by line style and which by symbol."""

    def __init__(self, axes: Mapping[str, tuple[Scalar, ...]]) -> None:
        free = dict(axes)
        self.channels: dict[str, tuple[str, dict[Scalar, str]]] = {}
        for channel, limit in (("colour", math.inf), ("line", len(DASHES)), ("symbol", len(SYMBOLS))):
            axis = next((name for name, values in free.items() if len(values) <= limit), None)
            if axis is not None:
                values = free.pop(axis)
                looks = {"colour": colours(len(values)), "line": DASHES, "symbol": SYMBOLS}[channel]
                self.channels[channel] = axis, dict(zip(values, looks, strict=False))

    @property
    def axes(self) -> tuple[str, ...]:
        """The hyperparameters that can be seen."""
        return tuple(axis for axis, _ in self.channels.values())

    def look(self, params: Mapping[str, Scalar]) -> tuple[str, str, str]:
        """Return a line's colour, dash and symbol; the default where `params` or the encoding has none."""
        default = {"colour": COLOURS[0], "line": DASHES[0], "symbol": SYMBOLS[0]}
        for channel, (axis, looks) in self.channels.items():
            if axis in params:
                default[channel] = looks[params[axis]]
        return default["colour"], default["line"], default["symbol"]


def mark_constant(
    figure: go.Figure, variance: float | None, x: str, y: str, *, named: bool, within: tuple[float, float]
) -> None:
    """Mark what predicting a constant gives, where it lies in the picture."""
    if variance is None or not within[0] <= variance <= within[1]:
        return
    figure.add_shape(
        type="line", xref=f"{x} domain", x0=0, x1=1, yref=y, y0=variance, y1=variance,
        line={"color": WARN, "width": 1.2, "dash": "dot"}, layer="below",
    )  # fmt: skip
    if named:
        height = math.log10(variance) if figure.layout[axis_key(y)].type == "log" else variance
        figure.add_annotation(
            text="predicting a constant", xref=f"{x} domain", x=0.99, xanchor="right", yref=y, y=height,
            yanchor="bottom", showarrow=False, font={"size": 11, "color": WARN},
        )  # fmt: skip


def params_text(params: Params) -> str:
    """Write params for a hover label, one a line."""
    return "<br>".join(escape(f"{name} = {value}") for name, value in params.items())


def ordinal(number: int) -> str:
    """Write 1st, 2nd, 3rd, ..."""
    ending = "th" if 10 < number % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def axis_id(letter: str, number: int) -> str:
    """Return the name that traces use for an axis, counted from 0: `x`, `x2`, `x3`, ..."""
    return letter if number == 0 else f"{letter}{number + 1}"


def axis_key(axis: str) -> str:
    """Return the name that layouts use for the axis `x2`: `xaxis2`."""
    return f"{axis[0]}axis{axis[1:]}"


def draw(figure: go.Figure, name: str) -> str:
    """Return a figure as HTML that needs plotly.js on its page and nothing else; `name` is unique on the page."""
    config = {
        "displaylogo": False,
        "responsive": True,
        "modeBarButtonsToRemove": ["select2d", "lasso2d"],
        # plotly.js shows a button by default that uploads the data to its maker.
        "showSendToCloud": False,
        "plotlyServerURL": "",
    }
    height = f"{figure.layout.height}px"
    return str(to_html(figure, config, include_plotlyjs=False, full_html=False, div_id=name, default_height=height))
