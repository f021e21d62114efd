"""A command as a person types it, in the test's own process, where a subprocess would take most of the time."""

import sys
from typing import NamedTuple

import pytest

from clustersweep.cli import main as cli


class Done(NamedTuple):
    """What a command left behind: its exit code, and what it said on stdout and on stderr."""

    code: int
    out: str
    err: str


def type_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> Done:
    """Run `clustersweep` with words, to its end."""
    monkeypatch.setattr(sys, "argv", ["clustersweep", *map(str, words)])
    code: object = 0
    try:
        cli.main()
    except SystemExit as end:
        code = end.code or 0
    assert isinstance(code, int)
    said = capsys.readouterr()
    return Done(code, said.out, said.err)
