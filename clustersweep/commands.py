"""What a person types: the program's name, and commands to be copied as a shell takes them. Runs nothing."""

import os
import shlex
import shutil
import sys
from pathlib import Path

# Names, in a container, what a person types outside for this program.
PROGRAM = "CLUSTERSWEEP_PROGRAM"


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
