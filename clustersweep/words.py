"""What a person reads and types: times and counts in words, and commands to be copied. Runs nothing."""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

# Names, in a container, what a person types outside for this program.
PROGRAM = "CLUSTERSWEEP_PROGRAM"

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration(seconds: float) -> str:
    """Write a time as people say it: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def read_duration(text: str) -> float:
    """Return the seconds of what a person writes: `90s`, `30m`, `1.5h`, `2d` or `0`.

    Raises:
        ValueError: It is something else; says what it must be.
    """
    if text.strip() == "0":
        return 0.0
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd])\s*", text)
    if found is None:
        raise ValueError(f"{text!r} is not a number with its unit (s, m, h or d), as in 90s, 30m, 2h or 1d, nor 0")
    return float(found[1]) * _UNITS[found[2]]


def counted(number: int, one: str, several: str = "") -> str:
    """Return `1 seed` or `3 seeds`; `several` is what more than one are called where an s at the end will not do."""
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"


def size(count: float) -> str:
    """Write a number of bytes as people say it: `512 bytes`, `1.5 MB`."""
    if count < 1000:
        return f"{count} bytes"
    units = iter(("kB", "MB", "GB"))
    unit = ""
    while count >= 1000 and (larger := next(units, "")):
        count, unit = count / 1000, larger
    return f"{count:,.1f} {unit}"


def listed(words: Iterable[str]) -> str:
    """Return `a, b and c`."""
    *others, last = [*words] or [""]
    return f"{', '.join(others)} and {last}" if others else last


def program() -> str:
    """Return what to type to run this program: its name where the PATH finds it, else its path from here."""
    if named := os.environ.get(PROGRAM):
        return named
    run = Path(sys.argv[0]).absolute()
    found = shutil.which("clustersweep")
    if run.name != "clustersweep" or (found is not None and Path(found).absolute() == run):
        return "clustersweep"
    return str(run.relative_to(Path.cwd())) if run.is_relative_to(Path.cwd()) else str(run)


def command(*words: object) -> str:
    """Return a command of this program to be copied, its words quoted where a shell needs it."""
    return f"{program()} {shlex.join(map(str, words))}"
