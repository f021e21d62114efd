"""Every failure that clustersweep raises on purpose, and the exit code each one has.

ClusterSweepError
+- StudyError            2   the study file is wrong: every problem at once
+- ConfigurationError    2   the training configuration is wrong: the same
+- DataError             2   the images, the catalogue or a backup are wrong
+- ModelError            2   the model's folder is incomplete, altered or no model's
+- StudyChangedError     2   the stored study differs from the file
+- StorageError          3   the database cannot be reached or used
|  +- StorageAwayError   3   the database does not answer at the moment
|  +- StudyLockedError   3   another launch of the study lives
+- WorkersError          3   the cluster cannot be reached, or cannot give what was asked
+- NothingCompleteError  1   there is nothing to report or to export
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

# What could move a terminal's cursor or turn its text around: control characters, separators and directions of lines.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

INTERRUPTED = 130
"""The exit code of what Ctrl-C ended, as shells give it."""

UNSEEN_GPU_REMEDY = (
    "Install it there with CUDA's libraries (`make setup GPU=1`) and check the driver (`nvidia-smi`), or ask for CPUs "
    "with resources.gpus_per_worker: 0"
)
"""What to do where TensorFlow does not see the GPU that a worker is to have."""

NOT_STORED_REMEDY = "Give the --home or --storage that it was launched with; if it never was, launch it first"
"""What to do about a study that is not to be found where somebody has looked."""


def first_line(error: BaseException | str) -> str:
    """Return what an error, or its text, says first: libraries go on for pages. One that says nothing has its name."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip()


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with what the user gave.

    Attributes:
        where: File, with the line where one is known (`grid.yaml:7`), or the option's name.
        key: The key, column or row concerned (`network.padding`); empty when it is the whole file.
        value: What was found there, as the user would write it; empty when nothing was.
        rule: What must hold.
        remedy: What to do about it.
    """

    where: str
    key: str
    value: str
    rule: str
    remedy: str

    def __str__(self) -> str:
        """Return the problem as one line: `grid.yaml:7: network.padding = diagonal: must be ... . Write ...`.

        What is not printable is replaced: names and values may come from anybody's file.
        """
        subject = self.key + (f" = {self.value}" if self.value else "")
        head = f"{self.where}: {subject}: " if subject else f"{self.where}: "
        return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", f"{head}{self.rule}. {self.remedy}")


class ClusterSweepError(Exception):
    """The base of the tree; `str()` is what a person reads, complete with the remedy."""

    exit_code: ClassVar[int] = 1


class ProblemsError(ClusterSweepError):
    """An error that lists problems."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type, tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


class StudyError(ProblemsError):
    """The study file is wrong; `problems` holds everything that is."""


class ConfigurationError(ProblemsError):
    """The training configuration is wrong; `problems` holds everything that is."""


class DataError(ProblemsError):
    """The images, the catalogue or a backup are missing, damaged or implausible."""


class ModelError(ProblemsError):
    """The folder of a trained model is incomplete, was altered, or is not one."""


class StudyChangedError(ClusterSweepError):
    """The study stored under this name was defined differently; the message is a diff."""

    exit_code = 2


class StorageError(ClusterSweepError):
    """The database cannot be reached, refuses us, or went away. Never carries a password."""

    exit_code = 3


class StorageAwayError(StorageError):
    """The database does not answer at the moment: the same may work in a minute, and a sweep waits for it."""


class StudyLockedError(StorageError):
    """Another launch of this study is alive."""


class WorkersError(ClusterSweepError):
    """The Ray cluster cannot be reached, or does not have what a worker needs."""

    exit_code = 3


class NothingCompleteError(ClusterSweepError):
    """No trial is complete, so there is nothing to report or to export."""
