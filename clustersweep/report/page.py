"""The shell of a self-contained page: document, figures, tables, escaping. Knows neither sweeps nor plotly."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources


@dataclass(frozen=True)
class Section:
    """One part of the page; `body` is HTML that is already escaped."""

    name: str
    title: str
    body: str
    kind: str = ""


@dataclass(frozen=True)
class Cell:
    """One cell of a table; `body` is HTML that is already escaped, `sort` is what its column is sorted by."""

    body: str
    sort: float | str | None = None
    kind: str = ""


def document(title: str, subtitle: str, sections: Sequence[Section], footer: str, plotly_js: str) -> str:
    """Put a page together that works without a network, now and in ten years.

    The content security policy makes that certain: the browser itself refuses every request.
    """
    files = resources.files("clustersweep.report")
    links = "".join(f'<a href="#{escape(s.name)}">{escape(s.title)}</a>' for s in sections)
    bodies = "\n".join(
        f'<section id="{escape(s.name)}" class="{escape(s.kind)}"><h2>{escape(s.title)}</h2>\n{s.body}</section>'
        for s in sections
    )
    policy = (
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
        "form-action 'none'; base-uri 'none'"
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>
{files.joinpath("page.css").read_text("utf-8")}</style>
<script>{plotly_js}</script>
</head>
<body>
<header><h1>{escape(title)}</h1><p class="subtitle">{escape(subtitle)}</p><nav>{links}</nav></header>
<main>
{bodies}
</main>
<footer>{footer}</footer>
<script>
{files.joinpath("page.js").read_text("utf-8")}</script>
</body>
</html>
"""


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph of plain text."""
    return f'<p class="{escape(kind)}">{escape(text)}</p>\n'


def figure(drawn: str, caption: str) -> str:
    """Put a drawn figure (HTML) over its caption (plain text)."""
    return f'<figure><div class="plot">{drawn}</div><figcaption>{escape(caption)}</figcaption></figure>\n'


def choices(name: str, question: str, options: Sequence[tuple[str, str]], chosen: int = 0) -> str:
    """Let the reader choose one of several bodies (HTML), each with its label (plain text); of one, return that.

    `name` is unique on the page; groups whose labels are the same change together.
    """
    if len(options) == 1:
        return options[0][1]
    radios, bodies = [], []
    for number, (label, body) in enumerate(options):
        checked, hidden = (" checked", "") if number == chosen else ("", " hidden")
        value = escape(label)
        radios.append(f'<label><input type="radio" name="{name}" value="{value}"{checked}> {value}</label>')
        bodies.append(f'<div class="choice" data-choice="{value}"{hidden}>{body}</div>')
    asked = f"<legend>{escape(question)}</legend>{' '.join(radios)}"
    return f'<div class="choices"><fieldset>{asked}</fieldset>\n' + "\n".join(bodies) + "</div>\n"


def table(head: Sequence[str], rows: Iterable[tuple[str, Sequence[Cell]]], text: Sequence[str] = ()) -> str:
    """Return a sortable table; each row comes with its class. Columns named in `text` are set to the left."""
    left = [name in text for name in head]
    heads = "".join(
        f'<th scope="col"{" class=text" if at_left else ""}><button type="button">{_breakable(name)}</button></th>'
        for name, at_left in zip(head, left, strict=True)
    )
    lines = []
    for kind, cells in rows:
        found = "".join(
            _cell(cell, f"{cell.kind} text" if at_left else cell.kind)
            for cell, at_left in zip(cells, left, strict=True)
        )
        lines.append(f'<tr class="{escape(kind)}">{found}</tr>')
    body = "\n".join(lines)
    both = f"<thead><tr>{heads}</tr></thead>\n<tbody>{body}</tbody>"
    return f'<div class="scroll"><table class="sortable">{both}</table></div>\n'


def _breakable(name: str) -> str:
    """Let a head wrap after an underscore, so that the name of a long axis does not widen its column."""
    return escape(name).replace("_", "_<wbr>")


def _cell(cell: Cell, kind: str) -> str:
    sort = cell.sort
    if isinstance(sort, float) and math.isnan(sort):
        sort = ""
    key = "" if sort is None else f' data-sort="{escape(str(sort))}"'
    return f'<td class="{escape(kind)}"{key}>{cell.body}</td>'


def definitions(items: Iterable[tuple[str, str]]) -> str:
    """Return a list of names and what they are; the latter is HTML that is already escaped."""
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{body}</dd>" for name, body in items) + "</dl>\n"


def text(value: object, sort: float | str | None = None, kind: str = "") -> Cell:
    """Return a cell of plain text."""
    return Cell(escape(str(value)), sort, kind)


def number(value: float, form: str = ".4f", kind: str = "") -> Cell:
    """Return a cell of one number, sorted by all its digits; a dash where it is not known."""
    return Cell("–" if math.isnan(value) else signed(value, form), value, kind)


def signed(value: float, form: str) -> str:
    """Write a number with a minus sign instead of a hyphen."""
    return format(value, form).replace("-", "−")
