"""How long a sweep waits, how often it looks, and by which clock: passed in, so that simulations have their own."""

from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """What tells and passes time; Python's module `time` is one."""

    def monotonic(self) -> float:
        """Return the seconds since some moment."""

    def sleep(self, seconds: float, /) -> None:
        """Let so many seconds pass."""


@dataclass(frozen=True)
class Timings:
    """Seconds of a sweep.

    Attributes:
        curves_every_s: Learning curves of running trials reach the database at most so often; finished ones at once.
        look_every_s: The lock on the study is looked at so often.
        stop_grace_s: So long workers may take to end their epoch once they are asked to stop.
        outage_patience_s: So long a database that has gone is waited for.
        try_every_s: And it is tried so often.
        tell_after_s: A launch that waits for room says so after this. Within seconds it is told what is wrong with a
            study, or who else launches it: that comes first, and alone.
    """

    curves_every_s: float = 5.0
    look_every_s: float = 5.0
    stop_grace_s: float = 60.0
    outage_patience_s: float = 600.0
    try_every_s: float = 1.0
    tell_after_s: float = 3.0
