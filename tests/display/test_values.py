"""Values that show themselves: as text, and in a notebook."""

import re

import pytest

from clustersweep.display.values import WIDTH, Shown


def test_what_a_value_shows_is_shown_as_it_stands():
    class Tag(Shown):
        def show(self, out):
            out.print("<b>&", markup=False, highlight=False)

    assert repr(Tag()) == "<b>&"
    assert "&lt;b&gt;&amp;" in Tag()._repr_html_()


def test_what_is_printed_in_colour_is_plain_as_text_and_coloured_in_a_notebook():
    class Warned(Shown):
        def show(self, out):
            out.print("[red]careful[/red]")
            out.print("x" * (WIDTH + 1))

    assert repr(Warned()).splitlines() == ["careful", "x" * WIDTH, "x"]
    html = Warned()._repr_html_()
    assert re.search(r'<span style="color: #[0-9a-f]{6}[^>]*>careful</span>', html)
    assert html.startswith("<pre style=")
    assert "white-space: pre-wrap" in html
    assert html.endswith("</pre>")


def test_a_value_that_does_not_say_what_it_shows_is_a_mistake():
    with pytest.raises(NotImplementedError):
        repr(Shown())
