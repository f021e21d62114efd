"""What a person types: the program's name, and commands to be copied as a shell takes them. Runs nothing."""

import os
import shlex

# Names, in a container, what a person types outside for this program.
PROGRAM = "CLUSTERSWEEP_PROGRAM"


def command(*words: object) -> str:
    """Return a command of this program to be copied, its words quoted where a shell needs it."""
    return f"{os.environ.get(PROGRAM) or 'clustersweep'} {shlex.join(map(str, words))}"
