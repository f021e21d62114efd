"""Values that show themselves: as text where they are printed, and in colour in a notebook."""

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a plan as JSON need not wait for it
    from rich.console import Console

WIDTH = 120
"""Columns that tables may take where no terminal says how many there are."""
PRE = '<pre style="white-space: pre-wrap">'  # sentences are longer than a cell is wide


class Shown:
    """A value that a person looks at. What it shows, `show` prints."""

    def show(self, out: "Console") -> None:
        """Print it."""
        raise NotImplementedError

    def __repr__(self) -> str:
        from rich.console import Console

        said = io.StringIO()
        self.show(Console(file=said, width=WIDTH, force_terminal=False, force_jupyter=False, color_system=None))
        return said.getvalue().rstrip()

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return html_of(self.show)


def html_of(show: "Callable[[Console], object]") -> str:
    """Return what a function prints to a console as HTML."""
    from rich.console import Console

    out = Console(file=io.StringIO(), width=WIDTH, record=True, force_terminal=True, force_jupyter=False)
    show(out)
    return out.export_html(inline_styles=True, code_format=f"{PRE}{{code}}</pre>")
