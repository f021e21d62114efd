"""What a sweep does while its database is away: it waits, and tells so."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

from clustersweep.errors import StorageAwayError
from clustersweep.sweep.events import StorageAway, StorageBack, SweepEvent
from clustersweep.sweep.timings import Clock, Timings

T = TypeVar("T")


class RetryOnOutage:
    """Does what needs the database, and does it again when that has been away.

    What is done must change nothing where it was done already: a connection may be lost as it commits.

    Args:
        on_event: Told when the database goes and when it is back.
        stop: Asked while it is away; when true, it is not waited for any longer.
        check_lock: Asked before anything is done again; raises when another launch has taken the study.
        timings: How long it is waited for, and how often it is tried.
        clock: By which.
    """

    def __init__(
        self,
        on_event: Callable[[SweepEvent], None],
        stop: Callable[[], bool],
        check_lock: Callable[[], None],
        *,
        timings: Timings = Timings(),
        clock: Clock = time,
    ) -> None:
        self._timings, self._clock = timings, clock
        self._on_event, self._stop, self._check_lock = on_event, stop, check_lock
        self.waited_s = 0.0

    def __call__(self, action: Callable[..., T], *given: Any, **named: Any) -> T:
        """Do it, and return what it returns.

        Raises:
            StorageAwayError: The database stays away too long, or we are asked to stop meanwhile.
            StudyLockedError: Another launch has taken the study meanwhile.
        """
        gone_at: float | None = None
        while True:
            try:
                if gone_at is not None:
                    self._check_lock()
                done = action(*given, **named)
                break
            except StorageAwayError as error:
                if gone_at is None:
                    gone_at = self._clock.monotonic()
                    self._on_event(StorageAway(str(error), self._timings.outage_patience_s))
                if self._stop() or self._clock.monotonic() - gone_at > self._timings.outage_patience_s:
                    raise
                self._clock.sleep(self._timings.try_every_s)
        if gone_at is not None:
            self.waited_s += self._clock.monotonic() - gone_at
            self._on_event(StorageBack(self._clock.monotonic() - gone_at))
        return done
